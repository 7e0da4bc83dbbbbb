(ns asyncrestore.remote
  "A database behind Datomic's client and a server that is away: in Datomic Cloud, or behind a peer server."
  (:require [asyncrestore.canned :as canned]
            [asyncrestore.engine :as engine]
            [asyncrestore.read-ahead :as read-ahead]
            [asyncrestore.requests :as requests]
            [datomic.client.api.async :as d]
            [datomic.client.impl.shared :as shared]
            [datomic.client.impl.shared.protocols :as p])
  (:import (java.util Arrays)))

(set! *warn-on-reflection* true)

(def client-options
  "More requests may be under way than ever are: the client refuses the one above its limit."
  {:pending-ops-limit 1024 :max-connections-per-destination 128})

(defn- newest-t
  "t of the newest transaction, whoever committed it. `d/db` and `d/sync` ask nobody. What is read afterwards is at least
  that new."
  [conn]
  (let [{:keys [t next-t]} (requests/ask #(d/with-db conn))]
    (shared/-advance-t conn (cond-> {:t t} next-t (assoc :next-t next-t)))
    t))

(defn- datoms [db index & components]
  (requests/ask-all #(d/datoms db {:index index :components (vec components) :limit -1 :chunk 10000})))

;; The log

(def ^:private most-readings 3)

(def ^:private part-ts
  "How many transactions a part of an answer has at most: large ones shall not make it too long for what is between."
  256)

(def ^:private whole-ms
  "How long a window is asked for before it is asked for in halves: its answer may be too long to come."
  15000)

(declare window)

(defn- halves [conn consecutive? start end]
  (let [middle (quot (+ (long start) (long end)) 2)]
    (into (vec (window conn consecutive? start middle)) (window conn consecutive? middle end))))

(defn- curable?
  "May what failed for a window succeed for half of it?"
  [thrown]
  (not (#{:cognitect.anomalies/forbidden :cognitect.anomalies/not-found} (:cognitect.anomalies/category (ex-data thrown)))))

(defn- window
  "The transactions with start <= t < end. If t is consecutive and one is missing, they are read again; what persists
  is for the reader to judge."
  [conn consecutive? start end]
  (let [ts (- (long end) (long start))
        read #(requests/ask-all (fn [] (d/tx-range conn {:start start :end end :limit -1 :chunk (min ts (long part-ts))})) %)]
    (if (= ts 1)
      (read requests/patience-ms)
      (let [read-whole (fn [] (try (read whole-ms) (catch clojure.lang.ExceptionInfo e (if (curable? e) nil (throw e)))))]
        (loop [n 1]
          (let [transactions (read-whole)]
            (cond
              (nil? transactions) (halves conn consecutive? start end)
              (or (not consecutive?) (= n (long most-readings)) (= (map :t transactions) (range start end))) transactions
              :else (recur (inc n)))))))))

(defn- log [{:keys [conn consecutive? ahead]} start end]
  (or (read-ahead/take-kept ahead start end)
      (let [known (:t (p/db conn))
            newest (if (< (long known) (dec (long end))) (newest-t conn) known)]
        (read-ahead/transactions #(window conn consecutive? %1 %2) start (min (long end) (inc (long newest)))))))

;; The t of all transactions, where they have gaps

(def ^:private first-own-t
  "Where a database of Pro begins with its own transactions. Those before it are in the index, and not in the log."
  1000)

(defn- tx->t [tx] (bit-and (long tx) 4398046511103))

(defn- indexed
  "The t of each transaction with start <= t < end that the index of :db/txInstant has, sorted."
  ^longs [conn start end]
  (let [db (-> (p/db conn) (d/history) (d/since (dec (long start))) (d/as-of (dec (long end))))
        ts (long-array (map #(tx->t (:e %)) (filter :added (datoms db :aevt :db/txInstant))))]
    (Arrays/sort ts)
    ts))

(defn- index-of ^long [^longs ts t]
  (let [at (Arrays/binarySearch ts (long t))]
    (if (neg? at) (- (inc at)) at)))

(defn- indexed-through
  "The part of the index that was read, with all that is needed for start <= t < end."
  [{:keys [from to ts] :as read} conn start end]
  (cond
    (nil? read) {:from start :to end :ts (indexed conn start end)}
    (< (long start) (long from)) (recur (assoc read :from start :ts (long-array (concat (indexed conn start from) ts))) conn start end)
    (< (long to) (long end)) (assoc read :to end :ts (long-array (concat ts (indexed conn to end))))
    :else read))

(defn- indexed-ts
  "As `engine/transactions`. The index has no order by t on the server's side, so no part of it is read twice."
  [{:keys [conn index first-t]} start end]
  (locking index
    (let [start (max (long start) (long first-t))
          end (min (long end) (inc (long (:t (p/db conn)))))]
      (when (< start end)
        (let [{:keys [^longs ts]} (swap! index indexed-through conn start end)]
          (Arrays/copyOfRange ts (index-of ts start) (index-of ts end)))))))

;; Attributes

(defn- has-attribute?
  "Has the database this ident? Only Pro has those of excision, for one."
  [{:keys [conn idents]} attribute]
  (or (contains? @idents attribute)
      (contains? (reset! idents (into #{} (map :v) (datoms (p/db conn) :aevt :db/ident))) attribute)))

(defn- answers
  "For each key, all that a query gives for it. The query finds pairs of key and value."
  [conn keys query]
  (let [rows (mapcat (fn [some-keys] (requests/ask-all #(d/q {:query query :args [(p/db conn) (vec some-keys)] :limit -1})))
                     (partition-all 1000 (distinct keys)))
        found (group-by first rows)]
    (mapv #(mapv second (get found %)) keys)))

;; Transactions

(defn- commit
  "Sends a transaction. Returns what `engine/transact` does."
  [{:keys [conn]} tx-data]
  (let [tx-data (vec tx-data)
        sent (requests/send-once #(d/transact conn {:tx-data tx-data :timeout requests/transact-ms}) tx-data)]
    (delay
      (let [answer (deref sent (+ (long requests/transact-ms) 5000) nil)]
        (cond
          (nil? answer) (throw (ex-info "No answer" {:cognitect.anomalies/category :cognitect.anomalies/interrupted}))
          (instance? Throwable answer) (throw answer)
          :else (let [{:keys [db-before tx-data tempids]} answer]
                  {:before (:t db-before) :tx (:tx (first tx-data)) :tempids (into {} (filter (comp string? key)) tempids)}))))))

;; `known` caches parts of the schema (see logs.clj), `idents` and `index` what was read of those, `ahead` what was read
;; of the log before it was asked for. `consecutive?` says whether t is, `first-t` where else the log begins.
(defrecord RemoteDatabase [conn consecutive? first-t known idents index ahead]
  engine/Database
  (database-id [_] (str (:database-id conn)))
  (basis-t [_] (newest-t conn))
  (log [db start end] (log db start end))
  (transactions [db start end]
    (if consecutive?
      (range (long start) (min (long end) (inc (long (:t (p/db conn))))))
      (indexed-ts db start end)))
  (history [db attribute]
    (if (has-attribute? db attribute) (datoms (d/history (p/db conn)) :aevt attribute) []))
  (with-values [_ attribute values]
    (answers conn values [:find '?v '?e :in '$ '[?v ...] :where ['?e attribute '?v]]))
  (values-of [_ attribute entities]
    (mapv first (answers conn entities [:find '?e '?v :in '$ '[?e ...] :where ['?e attribute '?v]])))
  (transact [db tx-data] (commit db tx-data))
  (overlaps? [_] false)
  (ordered? [_] false)
  (query [_ as-of query arguments]
    (newest-t conn)
    (let [db (p/db conn)]
      (requests/ask-all #(d/q {:query query :args (into [(if as-of (d/as-of db as-of) db)] arguments) :limit -1})))))

(def ^:private connect-ms 10000)

(def ^:private made-ms
  "How long a database that was just made may be unknown: what Cloud makes is not there at once."
  30000)

(defn error
  "An exception that Python knows by its name (datomic/access.py)."
  [category name message]
  (ex-info message {:cognitect.anomalies/category (keyword "cognitect.anomalies" category)
                    :cognitect.anomalies/message message
                    :db/error (keyword "asyncrestore" name)}))

(defn- absent? [thrown]
  (= :cognitect.anomalies/not-found (:cognitect.anomalies/category (ex-data thrown))))

(defn- unconnected
  "The exception for one by which a connection could not be made. `where` is what was asked, `refused` and `unreachable`
  are the names of what it may say."
  [{:keys [where refused unreachable]} db thrown]
  (let [{:keys [db/error] :cognitect.anomalies/keys [category message]} (ex-data thrown)]
    (case error
      :asyncrestore/database-gone (asyncrestore.remote/error "not-found" "no-database" (str where " has no database " db))
      nil (case category
            :cognitect.anomalies/forbidden
            (asyncrestore.remote/error "forbidden" refused (str where " refuses the keys: " message))
            :cognitect.anomalies/not-found
            (asyncrestore.remote/error "not-found" "no-database" (str where " has no database " db ": " message))
            (:cognitect.anomalies/unavailable :cognitect.anomalies/interrupted)
            (asyncrestore.remote/error "unavailable" unreachable (str where " cannot be reached: " message))
            thrown)
      thrown)))

(defn- connect [client asked db]
  (try
    (requests/ask #(d/connect client {:db-name db :timeout connect-ms}) connect-ms)
    (catch clojure.lang.ExceptionInfo e (throw (unconnected asked db e)))))

(defn- connect-if-there
  "A connection, or nil if there is no such database."
  [client asked db]
  (try
    (connect client asked db)
    (catch clojure.lang.ExceptionInfo e
      (when-not (absent? e) (throw e)))))

(defn- connect-made
  "Connects to a database that was just made."
  [client asked db]
  (let [deadline (+ (System/nanoTime) (* 1000000 (long made-ms)))]
    (loop []
      (or (connect-if-there client asked db)
          (if (< deadline (System/nanoTime))
            (connect client asked db)
            (do (Thread/sleep 200) (recur)))))))

(defn- begins
  "[whether t is consecutive, the t from which it is looked for otherwise]. The log of Cloud and of Local has a transaction
  of t 0, and goes on without gaps. Pro's has none before its own."
  [conn]
  (let [there? (fn [end] (seq (requests/ask-all #(d/tx-range conn {:start 0 :end end :limit 1}))))]
    (cond
      (there? 1) [true 0]
      (there? first-own-t) [false 0]
      :else [false first-own-t])))

(defn open
  "Opens a database through a client. If it does not exist and `create` is set, calls `make` first. Returns
  [database created?]. `asked` has :where, what is asked, and the names of errors, see `unconnected`."
  [client asked {:strs [db create]} make]
  (let [there (if create (connect-if-there client asked db) (connect client asked db))
        conn (or there (do (make client db) (connect-made client asked db)))
        [consecutive? first-t] (begins conn)]
    [(->RemoteDatabase conn consecutive? first-t (atom {}) (atom #{}) (atom nil) (atom [])) (nil? there)]))

(defn databases [client]
  (vec (sort (requests/ask #(d/list-databases client {:timeout connect-ms})))))

(defn scratch
  "A database to warm up with, where all requests have fixed answers."
  []
  (open (canned/client client-options) "warm-up" {"db" "warm-up"} nil))
