(ns asyncrestore.peer
  "Datomic Pro through its peer library, embedded in this process: all that is specific to it."
  (:require [asyncrestore.bridge :as bridge]
            [asyncrestore.engine :as engine]
            [clojure.string :as str]
            [datomic.api :as d])
  (:import (java.net SocketException SocketTimeoutException UnknownHostException)
           (java.sql SQLInvalidAuthorizationSpecException SQLNonTransientConnectionException SQLTransientException)
           (java.util.concurrent TimeoutException))
  (:gen-class))

(set! *warn-on-reflection* true)

(def ^:private sync-patience-ms
  "How long the transactor may take to report its newest t."
  60000)

(def ^:private transact-patience-ms
  "How long a transaction may take before its outcome counts as unknown; under back pressure that can be minutes.
  It is less than Python waits for an answer, so that the answer can name the transaction."
  240000)

;; Errors. Those of a transaction have a category; most errors of connecting to a transactor have none.

(def ^:private categories
  {:db.error/db-not-found :cognitect.anomalies/not-found
   :db.error/invalid-db-uri :cognitect.anomalies/incorrect
   :db.error/transaction-timeout :cognitect.anomalies/unavailable
   :db.error/transactor-unavailable :cognitect.anomalies/unavailable
   :db.error/connection-released :cognitect.anomalies/unavailable})

(defn- category [data causes]
  (let [any? (fn [& classes] (some (fn [cause] (some #(instance? % cause) classes)) causes))]
    (cond
      (:cognitect.anomalies/category data) (:cognitect.anomalies/category data)
      (categories (:db/error data)) (categories (:db/error data))
      (any? SQLInvalidAuthorizationSpecException) :cognitect.anomalies/forbidden
      (any? SocketException SocketTimeoutException UnknownHostException TimeoutException
            SQLNonTransientConnectionException SQLTransientException) :cognitect.anomalies/unavailable
      :else :cognitect.anomalies/fault)))

(defn- missing-library
  "Class and message of the cause that means a storage's library is not on the class path, or nil."
  [causes]
  (some (fn [cause]
          (let [message (str (ex-message cause))]
            (when (or (instance? ClassNotFoundException cause) (instance? NoClassDefFoundError cause)
                      (= message "No suitable driver"))
              (str (.getSimpleName (class cause)) ": " message))))
        causes))

(defn- categorised
  "The exception as one that has a category. Its message begins with `uri`, if there is one, without the options, which
  may hold a password."
  [^Throwable thrown uri]
  (let [causes (take-while some? (iterate #(.getCause ^Throwable %) thrown))
        data (or (some ex-data causes) {})
        missing (missing-library causes)
        reason (or (:cognitect.anomalies/message data)
                   (when missing
                     (str "a library for this storage is missing (" missing "). Let ASYNCRESTORE_PEER_JARS name its jars"))
                   (some ex-message (reverse causes))
                   (str (class thrown)))
        [place options] (str/split (str uri) #"\?" 2)
        message (if (str/blank? options) reason (str/replace reason options "..."))]
    (ex-info (if uri (str place ": " message) message)
             (assoc (dissoc data :cognitect.anomalies/message)
                    :cognitect.anomalies/category (category data causes)))))

(defmacro ^:private saying-categories [uri & body]
  `(try ~@body (catch Throwable thrown# (throw (categorised thrown# ~uri)))))

;; Partitions, so that entities that were stored side by side are stored so again. Only an entity's own id gives its
;; partition, and a new entity's original id is in its transaction.

(def ^:private original-id :asyncrestore/original-id)
(def ^:private schema-partition 0)
(def ^:private user-partition 4)
(def ^:private first-implicit-partition (bit-shift-left 1 19))

(defn- named-partition
  "The target's id of a partition, by its id in the source. Nil if it is not a partition, or not known to be there yet:
  partitions are an optimisation, and a restore does not wait for one."
  [conn partitions id]
  (or (get @partitions id)
      (let [db (d/db conn)
            entity (when (d/entid db original-id) (d/entid db [original-id id]))]
        (when (and entity (seq (d/datoms db :vaet entity :db.install/partition)))
          (swap! partitions assoc id entity)
          entity))))

(defn- partition-of [conn partitions ^long source-id]
  (let [p (bit-shift-right source-id 42)]
    (cond
      (== p (long user-partition)) nil
      (== p (long schema-partition)) :db.part/db
      (>= p (long first-implicit-partition)) (d/implicit-part (- p (long first-implicit-partition)))
      :else (named-partition conn partitions p))))

(defn- said-of
  "The entities of which the transaction data says more than their original id. The others are stand-ins for entities
  that are referred to or left out: in the partition of attributes Pro would give their ids to the next attribute."
  [tx-data]
  (into #{} (for [[_ entity attribute] (filter vector? tx-data) :when (not= attribute original-id)] entity)))

(defn- in-partitions
  "The transaction data, with a request that new entities be in the partitions that they had in the source."
  [conn partitions tx-data]
  (let [said (delay (said-of tx-data))
        forced (into {}
                     (for [operation tx-data
                           :when (vector? operation)
                           :let [[_ tempid attribute id] operation]
                           :when (and (= attribute original-id) (string? tempid) (not= tempid "datomic.tx"))
                           :let [chosen (partition-of conn partitions id)]
                           :when (and chosen (or (not= chosen :db.part/db) (contains? @said tempid)))]
                       [tempid chosen]))]
    (if (empty? forced) tx-data (conj (vec tx-data) {:db/force-partition forced}))))

(def ^:private first-t
  "The t of the first transaction in a log. Those before it made the base schema; they are in the indexes alone."
  1000)

;; `known` is an atom that caches parts of the schema (see logs.clj), `partitions` one that caches named partitions.
(defrecord PeerDatabase [conn id known partitions]
  engine/Database
  (database-id [_] id)
  (basis-t [_]
    ;; The transactor is asked: this process may not know the newest transactions yet.
    (let [db (saying-categories nil (deref (d/sync conn) sync-patience-ms nil))]
      (when-not db
        (throw (ex-info (str "The transactor did not answer within " (quot (long sync-patience-ms) 1000) " s")
                        {:cognitect.anomalies/category :cognitect.anomalies/unavailable})))
      (d/basis-t db)))
  (log [_ start end] (d/tx-range (d/log conn) start end))
  (transactions [_ start end]
    (let [db (d/db conn), tx-instant (d/entid db :db/txInstant), end (d/t->tx end)]
      (->> (d/seek-datoms (d/history db) :aevt tx-instant (d/t->tx (max (long start) (long first-t))))
           (take-while #(and (= (:a %) tx-instant) (< (long (:e %)) (long end))))
           (filter :added)
           (map #(d/tx->t (:e %))))))
  (history [_ attribute]
    (let [db (d/db conn)]
      ;; A database made by an old version may lack newer schema attributes.
      (if (d/entid db attribute) (d/datoms (d/history db) :aevt attribute) [])))
  (with-values [_ attribute values]
    (let [db (d/db conn)] (mapv #(mapv :e (d/datoms db :avet attribute %)) values)))
  (values-of [_ attribute entities]
    (let [db (d/db conn)] (mapv #(:v (first (d/datoms db :eavt % attribute))) entities)))
  (transact [_ tx-data]
    ;; The peer commits in the order of submission, so the next transaction need not wait for the answer.
    (let [answer (try
                   (d/transact-async conn (in-partitions conn partitions tx-data))
                   (catch Throwable thrown thrown))]
      (delay
        (let [{:keys [db-before tx-data tempids]}
              (saying-categories nil
                (when (instance? Throwable answer) (throw answer))
                (or (deref answer transact-patience-ms nil)
                    (throw (ex-info (str "No answer within " (quot (long transact-patience-ms) 1000) " s")
                                    {:db/error :db.error/transaction-timeout}))))]
          {:before (d/basis-t db-before)
           :tx (:tx (first tx-data))
           :tempids (into {} (filter (comp string? key)) tempids)}))))
  (ordered? [_] true)
  (overlaps? [_] true)
  (query [_ as-of query arguments]
    (let [db (d/db conn)]
      (apply d/q query (if as-of (d/as-of db as-of) db) arguments))))

(defn- identity-of
  "The UUID of a database, which is part of the id that the peer gives it."
  [db]
  (let [id (str (:id db))]
    (when (re-find #"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" id) id)))

(defn- databases
  "Names of the databases of a URI that has an asterisk in place of the name."
  [{:strs [uri]}]
  (saying-categories uri
    (vec (sort (d/get-database-names uri)))))

(defn- open
  "Opens a database. If it does not exist and `create` is set, makes it first. Returns [database created?]."
  [{:strs [uri create]}]
  (saying-categories uri
    (let [created? (boolean (and create (d/create-database uri)))
          conn (d/connect uri)]
      [(->PeerDatabase conn (identity-of (d/db conn)) (atom {}) (atom {})) created?])))

(def ^:private engine
  {:open open :databases databases :release (constantly nil)
   :scratch #(open {"uri" "datomic:mem://warm-up" "create" true})})

(defn- warm-up [] (bridge/warm-up engine))

(defn -main [& [argument]] (bridge/main engine argument))
