(ns asyncrestore.cloudserver.operations
  "The operations of the client protocol, carried out by Datomic Local in memory."
  (:require [asyncrestore.cloudserver.wire :as wire]
            [datomic.client.api :as d]))

(set! *warn-on-reflection* true)

(def ^:private default-chunk 1000)
(def ^:private tokens-kept 256)
(def ^:private patience-ms
  "How long a read waits for a t that the database does not have yet."
  10000)

(defn system
  "A system without databases. `databases` holds them by name, `names` their names by id, `tokens` what later requests
  refer to, in the order in which it was made."
  []
  {:client (d/client {:server-type :datomic-local :storage-dir :mem :system (str (random-uuid))})
   :databases (atom (sorted-map))
   :names (atom {})
   :tokens (atom (sorted-map))
   :numbers (atom 0)})

(defn databases [system] (vec (keys @(:databases system))))

(defn create
  "Makes a database; one that is there stays. Returns whether it is new."
  [{:keys [client databases names]} db]
  (locking databases
    (when-not (@databases db)
      (d/create-database client {:db-name db})
      (let [connection (d/connect client {:db-name db})
            id (str (:id (d/db connection)))]
        (swap! databases assoc db {:connection connection :id id})
        (swap! names assoc id db)
        true))))

(defn delete
  "Deletes a database. Returns whether it was there."
  [{:keys [client databases names]} db]
  (locking databases
    (when-let [{:keys [id]} (@databases db)]
      (d/delete-database client {:db-name db})
      (swap! databases dissoc db)
      (swap! names dissoc id)
      true)))

(defn- found [system db]
  (or (get @(:databases system) db) (throw (wire/error :not-found (str "Db not found: " db)))))

(defn name-of
  "The name of the database that a request means. A deleted database's id means none, whatever has its name now."
  [{:keys [names]} {:keys [db-name database-id]}]
  (if database-id
    (or (get @names database-id) (throw (wire/error :not-found (str "Db not found: " database-id))))
    db-name))

(defn- connection-of [system request] (:connection (found system (name-of system request))))

(defn- id-of [connection] (str (:id (d/db connection))))

(defn- keep-token [{:keys [tokens numbers]} value]
  (let [number (swap! numbers inc)]
    (swap! tokens #(let [more (assoc % number value)]
                     (if (> (count more) (long tokens-kept)) (dissoc more (key (first more))) more)))
    (str number)))

(defn- kept [{:keys [tokens]} token]
  (or (get @tokens (some-> token parse-long))
      (throw (wire/error :not-found "Token expired"))))

(defn expire-tokens [{:keys [tokens]}] (reset! tokens (sorted-map)))

(defn- described [connection db]
  {:database-id (id-of connection) :t (:t db) :next-t (inc (long (:t db)))})

(defn- reached
  "The newest database, once it has t."
  [connection t]
  (let [deadline (+ (System/currentTimeMillis) (long patience-ms))]
    (loop [db (d/db connection)]
      (cond
        (or (nil? t) (<= (long t) (long (:t db)))) db
        (< (System/currentTimeMillis) deadline) (do (Thread/sleep 5) (recur (d/db connection)))
        :else (throw (wire/error :unavailable (str "There is no t " t " yet")))))))

(defn- database
  "The database value that a request or a query's argument names."
  [system {:keys [t as-of since history next-token] :as context}]
  (let [connection (connection-of system context)
        newest (if next-token (kept system next-token) (reached connection t))]
    (cond-> newest
      as-of (d/as-of as-of)
      (and (not as-of) (not next-token) t (< (long t) (long (:t newest)))) (d/as-of t)
      since (d/since since)
      history d/history)))

(defn- chunk-of
  "A chunk of items from an offset, and how to ask for the next. `before` is the token of the chunk before this one: who
  asks for this chunk has that, so only this one may be asked for again."
  [{:keys [tokens] :as system} items offset size before]
  (let [[data more] (split-at size items)]
    (when before (swap! tokens dissoc (parse-long before)))
    (cond-> {:data (vec data)}
      (seq more)
      (assoc :next-offset (+ (long offset) (count data)) :chunk size))))

(defn- chunked [system items {:keys [limit chunk]} default-limit]
  (let [limit (long (or limit default-limit))
        items (if (neg? limit) items (take limit items))
        size (or chunk default-chunk)
        answer (chunk-of system items 0 size nil)]
    (cond-> answer
      (:next-offset answer) (assoc :next-token (keep-token system {:items (drop size items) :size size :offset size})))))

(defn- next-chunk [system {:keys [next-token]}]
  (let [{:keys [items size offset before]} (kept system next-token)
        answer (chunk-of system items offset size before)]
    (cond-> answer
      (:next-offset answer)
      (assoc :next-token (keep-token system {:items (drop size items) :size size :offset (+ (long offset) (long size))
                                             :before next-token})))))

(def ^:private components {:eavt [:e :a :v] :aevt [:a :e :v] :avet [:a :v :e] :vaet [:v :a :e]})

(defn- datoms [system {:keys [index] :as request}]
  (let [values (into [] (comp (take-while #(contains? request %)) (map request)) (components index))]
    (chunked system (d/datoms (database system request) {:index index :components values :limit -1}) request 1000)))

(defn- index-range [system {:keys [attrid start end] :as request}]
  (chunked system (d/index-range (database system request) {:attrid attrid :start start :end end :limit -1}) request 1000))

(defn- index-pull [system {:keys [index selector start reverse] :as request}]
  (chunked system
           (d/index-pull (database system request)
                         (cond-> {:index index :selector selector :start start :limit -1} reverse (assoc :reverse true)))
           request 1000))

(defn- t-of [point] (if (int? point) (bit-and (long point) (dec (bit-shift-left 1 42))) point))

(defn- tx-range [system {:keys [start end t] :as request}]
  (let [connection (connection-of system request)
        newest (:t (reached connection t))
        items (if (and (int? start) (> (long (t-of start)) (long newest)))
                []  ; Local throws an IndexOutOfBoundsException
                (d/tx-range connection {:start start :end end :limit -1}))]
    (chunked system items request 1000)))

(defn- argument [system value]
  (if (and (map? value) (:database-id value)) (database system value) value))

(defn- q [system {:keys [query args] :as request}]
  (chunked system (d/q {:query query :args (mapv #(argument system %) args) :limit -1}) request -1))

(defn- result-of [connection {:keys [db-before db-after] :as result} token]
  (let [after (cond-> (described connection db-after) token (assoc :next-token token))]
    (cond-> {:db-before (described connection db-before) :db-after after
             :tx-data (vec (:tx-data result)) :tempids (:tempids result)}
      (not token) (assoc :dbs [after]))))

(defn- transact [system {:keys [tx-data] :as request}]
  (let [connection (connection-of system request)]
    (result-of connection (d/transact connection {:tx-data tx-data}) nil)))

(defn- with [system {:keys [tx-data next-token] :as request}]
  (let [connection (connection-of system request)
        result (d/with (kept system next-token) {:tx-data tx-data})]
    (result-of connection result (keep-token system (:db-after result)))))

(defn- with-db [system request]
  (let [connection (connection-of system request)
        db (d/with-db connection)]
    (assoc (described connection db) :next-token (keep-token system db))))

(defn- status [system request]
  (let [connection (connection-of system request)]
    (described connection (d/db connection))))

(defn perform
  "Carries out an operation other than making and deleting databases. Returns the answer's body; throws anomalies."
  [system operation {:keys [db-name selector eid] :as request}]
  (case operation
    "administer-system" (d/administer-system (:client system) (select-keys request [:db-name :action]))
    "list-dbs" {:result (databases system)}
    "resolve-db" {:database-id (:id (found system db-name))}
    "status" (status system request)
    "transact" (transact system request)
    "with-db" (with-db system request)
    "with" (with system request)
    "next" (next-chunk system request)
    "tx-range" (tx-range system request)
    "datoms" (datoms system request)
    "index-range" (index-range system request)
    "index-pull" (index-pull system request)
    "pull" {:result (d/pull (database system request) {:selector selector :eid eid})}
    "q" (q system request)
    "db-stats" {:result (d/db-stats (database system request))}
    (throw (wire/error :unsupported (str "Unknown operation " operation)))))
