(ns asyncrestore.client
  "Datomic Local behind the client API. (Servers that are away have the same API, and need more: remote.clj.)"
  (:require [asyncrestore.engine :as engine]
            [datomic.client.api :as d]))

(set! *warn-on-reflection* true)

(defn- as-of-or-now
  "The database as of an instant. Local cannot answer for an instant after its newest transaction."
  [db ^java.util.Date instant]
  (let [newest (:db/txInstant (d/pull db [:db/txInstant] (bit-or (bit-shift-left 3 42) (long (:t db)))))]
    (if (or (nil? instant) (nil? newest) (.after instant newest))
      db
      (d/as-of db instant))))

;; `known` is an atom that caches parts of the schema (see logs.clj), `commit` a function of connection and data.
;; Without :limit -1 every read of the client API stops silently after 1000 items.
(defrecord ClientDatabase [conn id known commit]
  engine/Database
  (database-id [_] id)
  (basis-t [_] (:t (d/db conn)))
  (log [_ start end]
    ;; Local throws an IndexOutOfBoundsException for a range after its newest transaction.
    (when (<= (long start) (long (:t (d/db conn))))
      (d/tx-range conn {:start start :end end :limit -1})))
  ;; Transactions have a counter of their own here, so their t is consecutive.
  (transactions [_ start end]
    (range (long start) (min (long end) (inc (long (:t (d/db conn)))))))
  (history [_ attribute]
    (let [db (d/db conn)]
      ;; Pro alone has :db/excise.
      (if (seq (d/datoms db {:index :avet :components [:db/ident attribute] :limit 1}))
        (d/datoms (d/history db) {:index :aevt :components [attribute] :limit -1})
        [])))
  (with-values [_ attribute values]
    (let [db (d/db conn)]
      (mapv #(mapv :e (d/datoms db {:index :avet :components [attribute %] :limit -1})) values)))
  (values-of [_ attribute entities]
    (let [db (d/db conn)]
      (mapv #(:v (first (d/datoms db {:index :eavt :components [% attribute] :limit -1}))) entities)))
  (transact [_ tx-data]
    (delay
      (let [{:keys [db-before tx-data tempids]} (commit conn tx-data)]
        {:before (:t db-before) :tx (:tx (first tx-data)) :tempids tempids})))
  (ordered? [_] true)
  (overlaps? [_] false)
  (query [_ as-of query arguments]
    (let [db (d/db conn)]
      (d/q {:query query :args (into [(as-of-or-now db as-of)] arguments) :limit -1}))))
