(ns predecessor
  "The restore algorithm of the Clojure tool that this project succeeds, to compare with: one transaction at a time,
  a counter in the target swapped by each of them, and questions to the target about ids.

  java FLAGS -cp BRIDGE.jar:JARS clojure.main -i bench/jvm/harness.clj -i bench/jvm/local.clj \\
    -i bench/jvm/target_local.clj bench/jvm/predecessor.clj SOURCE-FILE TARGET-STORAGE|:mem LIMIT ROUND-TRIP-MS ROUNDS

  With Datomic Pro's jars, target_peer.clj is in the place of local.clj and target_local.clj. SOURCE-FILE is what
  predecessor_source.clj wrote.
  Restores the first LIMIT transactions, each round into a fresh target. Reading the source and installing the
  bookkeeping are not timed. Each call that a database elsewhere would answer (the query for the counter, the look-up
  of an id, transact) takes ROUND-TRIP-MS longer, in the last round; the rounds before it warm the JVM.
  Prints one line of JSON: transactions, seconds of the first round and of the last, and of the last one the calls that
  took a round trip and the seconds passed at each 500.

  Left out, to its advantage: the spot checks of ids believed new, specs and logging on every call, and asking twice
  for an id that occurs twice in a transaction. Nothing was added that costs time. Kept are its losses: values of a
  composite tuple that came without a change of a component, and references to earlier transactions."
  (:require [harness]
            [target])
  (:import (java.io BufferedInputStream FileInputStream ObjectInputStream)
           (java.util Date LinkedHashMap)
           (java.util.concurrent.locks LockSupport)))

(def cache-size 1000000)
(def index-mask 0x3FFFFFFFFFF)
(def mark-every 500)

;;; The network. A parked thread wakes some 50 microseconds late, so the last of a wait is spun.

(def spin-ns 100000)

(defn wait-ns! [ns]
  (let [until (+ (System/nanoTime) (long ns))]
    (loop []
      (let [left (- until (System/nanoTime))]
        (when (pos? left)
          (if (> left (long spin-ns)) (LockSupport/parkNanos (- left (long spin-ns))) (Thread/onSpinWait))
          (recur))))))

(defn across
  "What a database elsewhere answers: it takes a round trip longer."
  [{:keys [round-trip-ns calls]} answer]
  (vswap! calls inc)
  (wait-ns! round-trip-ns)
  answer)

;;; The source, read before anything is timed.

(defn entry
  "A log entry as it was: a false that was read from a file is another object than false, and true to Clojure."
  [written]
  (update written :datoms (partial mapv (fn [[e a v added]] [e a v (= true added)]))))

(defn read-source
  "What predecessor_source.clj wrote, with the first `limit` transactions."
  [file limit]
  (with-open [in (ObjectInputStream. (BufferedInputStream. (FileInputStream. ^String file)))]
    (update (.readObject in) :entries #(into [] (comp (take limit) (map entry)) %))))

;;; Ids: known in the cache, known in the target, or new.

(defn lru-cache ^LinkedHashMap []
  (proxy [LinkedHashMap] [1024 (float 0.75) true]
    (removeEldestEntry [_] (> (.size ^LinkedHashMap this) (long cache-size)))))

(defn index [id] (bit-and id index-mask))

(defn ask-target [{:keys [db] :as env} id]
  (across env (target/holder db :predecessor/original-id id)))

(defn resolve-id
  "Target id, ident or tempid of the source entity `id`."
  [{:keys [tx base-idents ^LinkedHashMap cache max-index] :as env} id]
  (cond
    (= id tx)                      "datomic.tx"
    (contains? base-idents id)     (base-idents id)
    (> (index id) (long @max-index)) (str id)
    :else (or (.get cache id)
              (when-let [found (ask-target env id)]
                (.put cache id found)
                found)
              (str id))))

(defn remember-new! [{:keys [^LinkedHashMap cache max-index]} tempids]
  (doseq [[tempid target-id] tempids
          :let [id (parse-long tempid)]
          :when id]
    (.put cache id target-id)
    (vswap! max-index max (index id))))

;;; A source transaction as the target's.

(defn bookkeeping [{:keys [db id-of] :as env} {:keys [t datoms]}]
  (let [current (across env (ffirst (target/q '[:find ?t :where [:predecessor/last-t :predecessor/last-t ?t]] db)))]
    (into [[:db/cas :predecessor/last-t :predecessor/last-t current t]]
          (for [e (into #{} (map first) datoms)
                :let [target (id-of e)]
                :when (string? target)]
            [:db/add target :predecessor/original-id e]))))

(defn replaced
  "The places `[e a]` whose value a cardinality-one assertion replaces: their retractions are not sent."
  [{:keys [to-one]} datoms]
  (into #{} (keep (fn [[e a _ added]] (when (and added (to-one a)) [e a]))) datoms))

(defn operations [{:keys [refs composites id-of] :as env} {:keys [datoms]}]
  (let [replaced (replaced env datoms)
        own?     (into #{} (map first) datoms)]
    (for [[e a v added] datoms
          :when (not (or (composites a)
                         (and (not added) (replaced [e a]))))
          :let [target-v (if (refs a) (id-of v) v)]
          ;; A tempid that is only a value is refused by Datomic; the tool drops such datoms.
          :when (or (not (refs a)) (not (string? target-v)) (own? v))]
      [(if added :db/add :db/retract) (id-of e) (id-of a) target-v])))

(defn restore-one! [conn env entry]
  (let [env   (assoc env :db (target/db conn) :tx (:tx entry))
        env   (assoc env :id-of (memoize #(resolve-id env %)))
        tx-data (into (bookkeeping env entry) (operations env entry))]
    (remember-new! env (:tempids (across env (target/transact conn tx-data))))))

(defn install-bookkeeping! [conn last-base-t]
  (target/transact conn [{:db/id "datomic.tx" :db/txInstant (Date. 1000)}
                         (into target/lookup-schema
                               {:db/ident       :predecessor/original-id
                                :db/valueType   :db.type/long
                                :db/cardinality :db.cardinality/one})
                         {:db/ident       :predecessor/last-t
                          :db/valueType   :db.type/long
                          :db/cardinality :db.cardinality/one
                          :db/noHistory   true}])
  (target/transact conn [{:db/id "datomic.tx" :db/txInstant (Date. 2000)}
                         [:db/add :predecessor/last-t :predecessor/last-t last-base-t]]))

(defn restore!
  "Restores all entries into the new database behind `conn`: the seconds passed at each 500 and at the end, and the
  number of calls that took a round trip."
  [conn {:keys [entries last-base-t] :as source} round-trip-ns]
  (install-bookkeeping! conn last-base-t)
  (let [calls (volatile! 0)
        env   (assoc source :cache (lru-cache) :max-index (volatile! 0) :calls calls :round-trip-ns round-trip-ns)
        start (System/nanoTime)]
    (loop [done 0, marks []]
      (let [marks (if (and (pos? done) (zero? (mod done mark-every)))
                    (conj marks (harness/rounded (harness/seconds-since start)))
                    marks)]
        (if (= done (count entries))
          {:at_500 marks :seconds (harness/seconds-since start) :calls @calls}
          (do (restore-one! conn env (nth entries done))
              (recur (inc done) marks)))))))

(defn -main []
  (let [{:keys [file place limit round-trip-ms rounds]}
        (harness/arguments "predecessor.clj SOURCE-FILE TARGET-STORAGE|:mem LIMIT ROUND-TRIP-MS ROUNDS"
                           [:file :place :limit :round-trip-ms :rounds])
        source  (read-source file (parse-long limit))
        rounds  (parse-long rounds)
        results (mapv (fn [round]
                        (let [round-trip-ns (if (= round rounds) (long (* 1e6 (parse-double round-trip-ms))) 0)]
                          (restore! (target/create place (str "predecessor-" round)) source round-trip-ns)))
                      (range 1 (inc rounds)))
        {:keys [seconds at_500 calls]} (peek results)]
    (harness/print-json {:transactions  (count (:entries source))
                         :first_seconds (harness/rounded (:seconds (first results)))
                         :seconds       (harness/rounded seconds)
                         :calls         calls
                         :at_500        at_500})))

(-main)
(shutdown-agents)
