(ns asyncrestore.requests
  "Requests through Datomic's client to a server that is away: each under a deadline, its answer read whole or asked for
  again, its errors with a name by which Python knows what helps (datomic/access.py).

  The client takes an answer that was cut, or that a proxy made, for an empty one, or waits for ever for its next part.
  So the methods by which it reads answers are wrapped here (`whole?`). An answer that never comes ends by our own timer."
  (:require [clojure.core.async :as async]
            [clojure.edn :as edn]
            [clojure.string :as str]
            [datomic.client.impl.shared :as shared])
  (:import (java.io IOException)
           (javax.net.ssl SSLException)))

(set! *warn-on-reflection* true)

(def ^:private answer-ms
  "How long a single answer, or the next part of one, may take."
  60000)

(def patience-ms
  "How long a request is made again after the last sign of the server. With the last answer that is waited for it is less
  than Python waits."
  50000)

(def ^:private most-faults
  "After this many faults in a row, which say nothing about their cause, a request is not made again."
  3)

;; Answers

(def ^:private whole?
  "Is the answer to an operation one of Datomic's, and complete? Only a map is: what was cut cannot be decoded, and what a
  proxy made is nil or a text here."
  (let [with-data (fn [answer] (and (map? answer) (some? (:data answer))))
        with-t (fn [answer] (and (map? answer) (int? (:t answer))))]
    {:datomic.catalog/resolve-db (fn [answer] (and (map? answer) (some? (:database-id answer))))
     :datomic.catalog/list-dbs map?
     :status with-t
     :with-db with-t
     :tx-range with-data
     :datoms with-data
     :q with-data
     :transact (fn [answer]
                 (and (map? answer) (seq (:tx-data answer))
                      (int? (:t (:db-before answer))) (int? (:t (:db-after answer)))))}))

(def ^:private garbled
  {:cognitect.anomalies/category :cognitect.anomalies/unavailable
   :cognitect.anomalies/message "The answer was cut, or something between here and Datomic made it"
   ::garbled true})

(doseq [[operation whole] whole?]
  (let [read-answer (get-method shared/client-resp->api* operation)]
    (.addMethod ^clojure.lang.MultiFn shared/client-resp->api* operation
                (fn [op requester answer]
                  (when-not (whole answer) (throw (ex-info "garbled" garbled)))
                  (read-answer op requester answer)))))

;; Errors

(def ^:private names
  "Names for what the client, the AWS library and Java say in words only."
  [[#"Unable to find keyfile|No current key" :asyncrestore/keyfile-missing]
   [#"Forbidden to read keyfile" :asyncrestore/keyfile-forbidden]
   [#"No AWS profile named|profile file" :asyncrestore/profile-missing]
   [#"(?i)token.*expired|ExpiredToken|InvalidAccessKeyId|SignatureDoesNotMatch|security token" :asyncrestore/credentials-refused]
   [#"PKIX|SSLHandshake|CertificateException|No subject alternative|No name matching|unable to find valid certification"
    :asyncrestore/certificate]
   [#"Unrecognized SSL message|Not an SSL" :asyncrestore/no-tls]
   [#"Unable to execute HTTP request|Status Code: 5\d\d" :asyncrestore/keyfile-unreachable]
   [#"^Db not found" :asyncrestore/database-gone]])

(defn- named
  "The name of an error. An older system has it at the beginning of the message only."
  [{:keys [db/error] :cognitect.anomalies/keys [message]}]
  (or error
      (some->> (re-find #"^:db\.error/([\w-]+)" (str message)) second (keyword "db.error"))
      (some (fn [[pattern error]] (when (re-find pattern (str message)) error)) names)))

(defn- in-words
  "The data of an error that an older system has in its message only: a map behind the first line."
  [message]
  (let [text (second (str/split (str message) #"\n" 2))
        data (when (and text (str/starts-with? text "{"))
               (try (edn/read-string {:default (fn [_ value] value)} text) (catch Exception _ nil)))]
    (if (map? data) data {})))

(defn- said
  "The message of an anomaly. Jetty's is a dump of its connection."
  [{:cognitect.anomalies/keys [category message] :keys [http-result]}]
  (let [status (:status http-result)
        text (cond
               (str/blank? (str message)) (if status "an answer without a reason" (name category))
               (re-find #"^HttpConnectionOverHTTP@|^HttpDestination|^HttpChannel" message) "the connection was cut"
               :else message)]
    (if status (str text " (HTTP status " status ")") text)))

(defn- broken?
  "Did the connection break? Of all the ways in which it can, the client knows a few; the others are faults to it, and a
  host that cannot be resolved for a moment is not found."
  [anomaly]
  (let [thrown (:cognitect.http-client/throwable anomaly)]
    (and (instance? IOException thrown) (not (instance? SSLException thrown)))))

(def ^:private open-errors
  "Errors of a peer server that leave open what happened, whatever their category."
  #{:db.error/transaction-timeout :db.error/transactor-unavailable :db.error/connection-released})

(defn explained
  "An anomaly of the client as one that Python understands. Of the rest nothing is kept: it may hold the configuration."
  [anomaly]
  (let [thrown (:datomic.client/ex anomaly)
        {:cognitect.anomalies/keys [category] :as anomaly} (if (::garbled (ex-data thrown)) garbled anomaly)
        error (named anomaly)
        id (when (= error :db.error/not-an-entity)
             (some->> (re-find #"\[:asyncrestore/original-id (\d+)\]" (str (:cognitect.anomalies/message anomaly)))
                      second parse-long))]
    (cond-> (merge (when-not (:db/error anomaly) (select-keys (in-words (:cognitect.anomalies/message anomaly)) [:entity :e :a :v]))
                   (select-keys anomaly [:entity :e :a :v :http-result ::garbled])
                   {:cognitect.anomalies/category (or category :cognitect.anomalies/fault)
                    :cognitect.anomalies/message (said (merge {:cognitect.anomalies/category :cognitect.anomalies/fault} anomaly))})
      error (assoc :db/error error)
      (or (broken? anomaly) (open-errors error)) (assoc :cognitect.anomalies/category :cognitect.anomalies/unavailable)
      (= error :asyncrestore/keyfile-unreachable) (assoc :cognitect.anomalies/category :cognitect.anomalies/unavailable)
      (and id (not (:entity anomaly))) (assoc :entity [:asyncrestore/original-id id]))))

(defn failure
  "The exception for an explained anomaly."
  [anomaly]
  (ex-info (:cognitect.anomalies/message anomaly) (dissoc anomaly :http-result)))

(defn- anomaly? [answer] (contains? answer :cognitect.anomalies/category))

;; Reading

(defn- next-of
  "What a channel gives next, nil at its end; an anomaly if nothing comes."
  [channel]
  (let [[answer port] (async/alts!! [channel (async/timeout answer-ms)])]
    (if (= port channel)
      answer
      {:cognitect.anomalies/category :cognitect.anomalies/interrupted
       :cognitect.anomalies/message (str "No answer within " (quot (long answer-ms) 1000) " s")})))

(defn- collect
  "All parts of an answer, or an anomaly. Calls `heard` with the number of each."
  [channel heard]
  (loop [n 1, parts []]
    (let [part (next-of channel)]
      (cond
        (nil? part) parts
        (and (map? part) (anomaly? part)) part
        :else (do (heard n) (recur (inc n) (into parts part)))))))

(defn- again?
  "May a request that changes nothing succeed when it is made again?"
  [{:cognitect.anomalies/keys [category] :keys [db/error]} faults]
  (case category
    (:cognitect.anomalies/unavailable :cognitect.anomalies/interrupted :cognitect.anomalies/busy) true
    :cognitect.anomalies/fault (and (nil? error) (< (long faults) (long most-faults)))
    false))

(defn- persist
  "Calls `attempt` until it gives something other than an anomaly, as long as that may be cured by time."
  [attempt patience]
  (let [heard-at (atom (System/nanoTime))
        most (atom 0)
        ;; A part that came before is no progress: the one behind it may never come.
        heard (fn [n] (when (< (long @most) (long n)) (reset! most n) (reset! heard-at (System/nanoTime))))]
    (loop [n 0, faults 1]
      (let [answer (attempt heard)]
        (if-not (and (map? answer) (anomaly? answer))
          answer
          (let [anomaly (explained answer)
                silent-ms (quot (- (System/nanoTime) (long @heard-at)) 1000000)
                pause-ms (min 3000 (bit-shift-left 100 (min n 5)))]
            (when-not (and (again? anomaly faults) (< (+ silent-ms pause-ms) (long patience)))
              (throw (failure anomaly)))
            (Thread/sleep (long pause-ms))
            (recur (inc n) (if (= :cognitect.anomalies/fault (:cognitect.anomalies/category anomaly)) (inc faults) faults))))))))

(defn ask
  "The answer to a request that changes nothing, or that may be made twice. `request` returns the client's channel."
  ([request] (ask request patience-ms))
  ([request patience]
   (persist (fn [_] (next-of (request))) patience)))

(defn ask-all
  "The whole answer to a request that is answered in parts, as a vector."
  ([request] (ask-all request patience-ms))
  ([request patience]
   (persist (fn [heard] (collect (request) heard)) patience)))

;; Writing

(def transact-ms
  "How long a transaction may take before its outcome counts as unknown."
  60000)

(defn- outcome
  "An anomaly of a transaction with the category that says whether it is certain that it did not commit. `ms` is when it
  came. `tx-data` names what an error that is in words only does not."
  [anomaly ms tx-data]
  (let [{:cognitect.anomalies/keys [category] :keys [db/error http-result] :as explained} (explained anomaly)
        status (:status http-result)
        as (fn [category] (assoc explained :cognitect.anomalies/category category))
        cas (some #(when (= :db/cas (first %)) (second %)) tx-data)]
    (case category
      ;; After one such answer the client sends again; when that is not answered in time it reports the first one.
      :cognitect.anomalies/busy (if (< (long ms) (quot (long transact-ms) 2)) explained (as :cognitect.anomalies/interrupted))
      ;; Not Datomic's refusal, but somebody's between.
      :cognitect.anomalies/incorrect (cond
                                       (= status 408) (as :cognitect.anomalies/unavailable)
                                       status (dissoc (as :cognitect.anomalies/fault) :db/error)
                                       :else explained)
      :cognitect.anomalies/conflict (cond-> explained
                                      (and (= error :db.error/cas-failed) (vector? cas) (not (vector? (:e explained))))
                                      (assoc :entity cas))
      (:cognitect.anomalies/unavailable :cognitect.anomalies/interrupted
       :cognitect.anomalies/forbidden :cognitect.anomalies/not-found :cognitect.anomalies/unsupported) explained
      ;; A fault with a name would count as a refusal.
      (cond-> (as :cognitect.anomalies/fault)
        (= "db.error" (some-> error namespace)) (dissoc :db/error)))))

(defn send-once
  "Sends a transaction once. Returns a promise of the client's answer, or of an exception."
  [request tx-data]
  (let [answer (promise)
        begun (System/nanoTime)
        ended (fn [given]
                (let [given (or given garbled)]
                  (deliver answer (if (anomaly? given)
                                    (failure (outcome given (quot (- (System/nanoTime) begun) 1000000) tx-data))
                                    given))))]
    (try
      (async/take! (request) ended)
      ;; What the client refuses to send is not there.
      (catch Throwable thrown (deliver answer thrown)))
    answer))
