(ns asyncrestore.logs
  "Datoms in columns, many at a time: cheap to send and to turn into a table."
  (:require [asyncrestore.engine :as engine]
            [asyncrestore.frames :as frames]
            [asyncrestore.values :as values])
  (:import (java.util ArrayList)))

(set! *warn-on-reflection* true)

(def ^:private schema-attributes
  "Their whole history gives the schema at any moment, the requests for excision, and what names code or is code."
  [:db/ident :db/valueType :db/cardinality :db/unique :db/tupleAttrs :db/tupleTypes :db/tupleType :db.attr/preds
   :db.entity/preds :db/fn :db/code :db/ensure :db/isComponent :db/excise :db.excise/attrs :db.excise/before :db.excise/beforeT])

(defn- ident-at
  "The entity that had an ident at a transaction: idents are renamed and reused."
  [idents ident tx]
  (->> (get idents ident)
       (filter #(and (:added %) (<= (long (:tx %)) (long tx))))
       (sort-by :tx)
       last
       :e))

(defn- ref-slots
  "For each attribute whether its values are references; for a tuple a vector of that, by slot; :float for floats.
  Value types and the types of tuples never change, so the newest schema is right for all time."
  [db]
  (let [idents (group-by :v (engine/history db :db/ident))
        ref-type (:e (first (get idents :db.type/ref)))
        float-type (:e (first (get idents :db.type/float)))
        types (into {} (map (juxt :e :v)) (engine/history db :db/valueType))
        ref? #(= ref-type (get types %))
        slots (fn [attribute f] (for [d (engine/history db attribute)] [(:e d) (f d)]))]
    (into (into {} (for [[a type] types] [a (if (= float-type type) :float (ref? a))]))
          (concat
            ;; A homogeneous tuple has two to eight slots of its one type.
            (slots :db/tupleType #(vec (repeat 8 (= :db.type/ref (:v %)))))
            (slots :db/tupleTypes #(mapv (fn [t] (= :db.type/ref t)) (:v %)))
            (slots :db/tupleAttrs (fn [d] (mapv #(ref? (ident-at idents % (:tx d))) (:v d))))))))

(defn- ref-slot
  "The entry of `ref-slots` for an attribute. Reads the schema again only for an attribute that it does not know."
  [db attribute]
  (let [slot (get @(:known db) attribute)]
    (if (some? slot)
      slot
      (get (reset! (:known db) (ref-slots db)) attribute false))))

(defn- columns
  "Datoms as [count, then packed: transactions, entities, attributes, numbers; then kinds, added, texts].
  Kinds has one letter for each datom, added one + or -; texts has, in order, one for each datom whose kind has no
  number."
  [db ^ArrayList datoms]
  (let [n (.size datoms)
        txs (long-array n) es (long-array n) as (long-array n) numbers (long-array n)
        kinds (StringBuilder. n) added (StringBuilder. n) texts (ArrayList.)]
    (dotimes [i n]
      (let [datom (.get datoms i)
            a (long (nth datom 1))
            slot (ref-slot db a)
            ;; A server that is away sends floats as doubles.
            float? (identical? slot :float)
            v (if float? (.floatValue ^Number (nth datom 2)) (nth datom 2))
            ref? (if float? false slot)
            kind (values/kind v ref?)]
        (aset es i (long (nth datom 0)))
        (aset as i a)
        (aset txs i (long (nth datom 3)))
        (.append kinds (char kind))
        (.append added (if (nth datom 4) \+ \-))
        (if (values/numeric? kind)
          (aset numbers i (values/number kind v))
          (.add texts (values/payload kind v ref?)))))
    [n (frames/pack txs) (frames/pack es) (frames/pack as) (frames/pack numbers) (str kinds) (str added) texts]))

(defn weight
  "One, and one more for every 64 characters or bytes of the value, as `model.weight` in Python."
  ^long [datom]
  (let [v (nth datom 2)]
    (cond
      (string? v) (inc (quot (.length ^String v) 64))
      (bytes? v) (inc (quot (alength ^bytes v) 64))
      :else 1)))

(defn page
  "Reads whole transactions from the log, with start <= t < end, until their datoms weigh `size`.
  Returns [t columns], where t is the one to continue from, nil if there is no more before end."
  [db start end size]
  (let [datoms (ArrayList.)]
    (loop [transactions (seq (engine/log db start end)), weighs 0]
      (if-let [{:keys [t data]} (first transactions)]
        (let [data (vec data)
              weighs (long (reduce (fn [^long sum datom] (+ sum (weight datom))) weighs data))]
          (.addAll datoms ^java.util.Collection data)
          (if-let [others (when (>= weighs (long size)) (next transactions))]
            (let [next-t (inc (long t))]
              ;; An engine that reads ahead goes on there.
              (some-> (:ahead db) (swap! conj [[next-t end] others]))
              [next-t (columns db datoms)])
            (recur (next transactions) weighs)))
        [nil (columns db datoms)]))))

(defn schema
  "The history of the attributes that make up the schema, in columns, unordered."
  [db]
  (let [datoms (ArrayList.)]
    ;; Several at once: a server may be far away.
    (doseq [history (pmap #(vec (engine/history db %)) schema-attributes)]
      (.addAll datoms ^java.util.Collection history))
    (columns db datoms)))
