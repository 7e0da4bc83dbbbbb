(ns large
  "Writes a durable Datomic Local database of many small transactions by Local's own import, in seconds. As after every
  import, its log has everything, and of its indexes nothing is there.

  java -cp 'JARS/*' clojure.main -i harness.clj -i local.clj large.clj STORAGE-DIR SYSTEM DB TRANSACTIONS

  A transaction is like those of bench/synthetic.py: two new items, five changed values, one more tag.
  Prints one line of JSON: transactions and datoms in the log, seconds."
  (:require [datomic.client.api :as d]
            [datomic.client.api.protocols :as protocols]
            [datomic.client.impl.shared.datom :as datom]
            [datomic.local]
            [harness]
            [local])
  (:import (clojure.lang ILookup)
           (java.nio.file Files)
           (java.nio.file.attribute FileAttribute)
           (java.util Date Random)))

(def attributes
  (for [[ident type] {:item/id :db.type/long, :item/name :db.type/string, :item/count :db.type/long
                      :item/parent :db.type/ref, :item/made :db.type/instant, :item/tags :db.type/keyword}]
    (cond-> {:db/ident ident, :db/valueType type
             :db/cardinality (if (= ident :item/tags) :db.cardinality/many :db.cardinality/one)}
      (= ident :item/id) (assoc :db/unique :db.unique/identity))))

(def words ["amber" "brook" "cedar" "delta" "ember" "fjord" "grove" "heath" "islet" "jetty" "knoll"])
(def recent 1000)
(def day-ms 86400000)

(defn earlier
  "The datom, with an instant before all generated ones in the place of now."
  [[e a v tx added :as datom]]
  (if (and (inst? v) (pos? (inst-ms v))) (datom/create e a (Date. (* day-ms 16435)) tx added) datom))

(defn first-transactions
  "Those of a new database with the attributes, and the attributes' ids: [transactions {ident id}]."
  []
  (let [directory (str (Files/createTempDirectory "schema" (make-array FileAttribute 0)))
        conn      (local/create (local/client directory "bench") "schema")]
    (d/transact conn {:tx-data attributes})
    [(mapv #(update % :data (partial mapv earlier)) (local/log conn))
     (into {} (d/q '[:find ?i ?e :where [?e :db/ident ?i]] (d/db conn)))]))

(defn item [n] (+ (bit-shift-left 19 42) 100 n))

(defn transaction
  "The datoms of transaction t, before which there are `items` items. What an item has now is in `counts` and `parents`."
  [^Random random ids t ^longs counts ^longs parents items]
  (let [tx     (bit-or (bit-shift-left 3 42) t)
        add    (fn [e a v] (datom/create e (ids a) v tx true))
        any    #(if (zero? items) 0 (.nextInt random items))
        late   #(- items 1 (.nextInt random (min recent items)))
        change (fn [^longs values n a new value]
                 (let [old (aget values n)]
                   (aset values n (long new))
                   (when (not= old new)
                     [(datom/create (item n) (ids a) (value old) tx false) (add (item n) a (value new))])))
        word   #(nth words (.nextInt random (count words)))
        make   (fn [n parent]
                 (aset counts n (.nextInt random 1000))
                 (aset parents n (long parent))
                 [(add (item n) :item/id n)
                  (add (item n) :item/name (str (word) " " (word) " " n))
                  (add (item n) :item/count (aget counts n))
                  (add (item n) :item/parent (item parent))
                  (add (item n) :item/tags (keyword "tag" (str "t" (.nextInt random 50))))
                  (add (item n) :item/made (Date. (* day-ms (+ 14000 (.nextInt random 5000)))))])]
    (-> [(add tx :db/txInstant (Date. (+ (* day-ms 16436) (* 1000 t))))]
        (into (make items (any)))
        (into (make (inc items) items))
        (conj (add (item (any)) :item/tags (keyword "tag" (str "c" t))))
        (into (when (pos? items) (change parents (late) :item/parent (dec items) item)))
        (into (when (pos? items)
                (mapcat #(change counts % :item/count (+ 1000000 t) identity) (distinct [(any) (late) (any) (late)])))))))

(defn history
  "The first transactions, and generated ones; lazily, the same each time."
  [[first-ones ids] transactions datoms]
  (let [random (Random. 1), size (+ 2 (* 2 transactions))
        counts (long-array size), parents (long-array size)]
    (reset! datoms 0)
    (map #(do (swap! datoms + (count (:data %))) %)
         (concat first-ones
                 (for [n (range transactions) :let [t (+ (count first-ones) n)]]
                   {:t t :data (transaction random ids t counts parents (* 2 n))})))))

(defn source
  "A client and connection, as much of them as an import asks for."
  [history t]
  (reify
    protocols/Client
    (connect [this _] this)
    protocols/Connection
    (db [this] this)
    (tx-range [_ {:keys [start limit]}]
      (cond->> (drop-while #(< (:t %) (or start 0)) (history)) (pos? limit) (take limit)))
    ILookup
    (valAt [_ k] (when (= k :t) t))
    (valAt [_ k default] (if (= k :t) t default))))

(defn -main []
  (let [{:keys [storage system db transactions]}
        (harness/arguments "large.clj STORAGE-DIR SYSTEM DB TRANSACTIONS" [:storage :system :db :transactions])
        wanted     (parse-long transactions)
        first-ones (first-transactions)
        datoms     (atom 0)
        t          (+ (count (first first-ones)) wanted -1)
        start      (System/nanoTime)]
    ;; An import asks the client API for its source, and that looks here for this kind of client.
    (intern (create-ns 'datomic.peer-client) 'create-client
            (fn [_] (source #(history first-ones wanted datoms) t)))
    (dosync (commute @#'clojure.core/*loaded-libs* conj 'datomic.peer-client))
    (datomic.local/import-cloud
      {:source {:server-type :peer-client :db-name "generated"
                :access-key "" :secret "" :endpoint "" :validate-hostnames false}
       :dest   {:server-type :datomic-local :storage-dir (local/storage storage) :system system :db-name db}})
    (println)
    (harness/print-json {:transactions (inc t) :datoms @datoms :seconds (harness/rounded (harness/seconds-since start))})))

(-main)
(shutdown-agents)
