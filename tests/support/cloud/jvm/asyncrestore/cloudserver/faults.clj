(ns asyncrestore.cloudserver.faults
  "Which faults happen to which posts, by number or by chance, and what has happened so far."
  (:import (java.util Random)))

(set! *warn-on-reflection* true)

(def known
  "The faults: [stage action argument]. Stage :before is before the operation is carried out, :after is after it."
  (into {"cut-before" [:before :cut] "cut-after" [:after :cut]
         "cut-body" [:after :cut-body]
         "html-before" [:before :status 200] "html-after" [:after :status 200]
         "late-commit" [:before :late] "late-answer" [:after :late]
         "refused" [:before :refuse]
         "expired" [:before :expire]}
        (for [status [413 429 500 502 503 504] stage [:before :after]]
          [(str status "-" (name stage)) [stage :status status]])))

(def none {:rules [] :latency 0 :jitter 0 :late 0 :largest Long/MAX_VALUE :in-message false})

(defn fresh
  "What changes while the server runs: the faults, their choices, and the counts."
  []
  {:faults none :random (Random. 0) :numbers {} :counts {}})

(defn parse
  "Faults from a control message; unknown names are errors."
  [{:strs [rules latency_ms jitter_ms late_ms largest_body errors_in_message] :as message}]
  (when-let [unknown (not-empty (dissoc message "rules" "latency_ms" "jitter_ms" "late_ms" "largest_body"
                                        "errors_in_message" "seed"))]
    (throw (ex-info (str "Unknown: " (keys unknown)) {})))
  (doseq [{:strs [fault]} rules]
    (when-not (known fault) (throw (ex-info (str "Unknown fault " fault) {}))))
  {:rules (vec rules) :latency (or latency_ms 0) :jitter (or jitter_ms 0) :late (or late_ms 0)
   :largest (or largest_body Long/MAX_VALUE) :in-message (boolean errors_in_message)})

(defn set-faults [state {:strs [seed] :as message}]
  (let [faults (parse message)]
    (swap! state assoc :faults faults :random (Random. (or seed 0)) :numbers {} :counts {})))

(defn tell [state & path]
  (swap! state update-in (into [:counts] path) (fnil inc 0)))

(defn- kinds
  "The names by which a rule may mean an operation."
  [operation]
  (if (= operation "transact") ["transact" "all"] [operation "reads" "all"]))

(defn- matching [rules numbers operation ^Random random]
  (let [names (set (kinds operation))]
    ;; A number is drawn for every rule, so that the choices of one do not depend on what the others say.
    (->> (mapv (fn [{:strs [of at chance fault]}]
                 (let [drawn (.nextDouble random)]
                   (when (and (names of) (or (some #{(get numbers of)} at) (< drawn (double (or chance 0)))))
                     fault)))
               rules)
         (some identity))))

(defn arrive
  "Counts a post. Returns what will happen to it: {:fault NAME-or-nil :before-ms :after-ms}."
  [state operation]
  (locking state
    (let [numbers (reduce #(update %1 %2 (fnil inc 0)) (:numbers @state) (kinds operation))
          {:keys [faults ^Random random]} @state
          {:keys [latency jitter rules]} faults
          fault (matching rules numbers operation random)]
      (swap! state assoc :numbers numbers)
      (tell state "posts" operation)
      (when fault (tell state "faults" fault))
      {:fault fault
       :before-ms (+ (/ latency 2.0) (* (double jitter) (.nextDouble random)))
       :after-ms (/ latency 2.0)})))
