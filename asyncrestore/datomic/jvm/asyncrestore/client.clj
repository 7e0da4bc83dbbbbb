(ns asyncrestore.client
  "A database behind Datomic's client API (Local and Cloud have the same one)."
  (:require [asyncrestore.engine :as engine]
            [datomic.client.api :as d]))

(set! *warn-on-reflection* true)

;; Without :limit -1 every read of the client API stops silently after 1000 items.
(defrecord ClientDatabase [conn id]
  engine/Database
  (database-id [_] id)
  (basis-t [_] (:t (d/db conn)))
  (log [_ start end]
    ;; Local fails with an IndexOutOfBoundsException when asked for what comes after its newest transaction.
    (when (<= (long start) (long (:t (d/db conn))))
      (d/tx-range conn {:start start :end end :limit -1})))
  (history [_ attribute]
    (d/datoms (d/history (d/db conn)) {:index :aevt :components [attribute] :limit -1}))
  (with-value [_ attribute value]
    (map :e (d/datoms (d/db conn) {:index :avet :components [attribute value] :limit -1})))
  (value-of [_ entity attribute]
    (:v (first (d/datoms (d/db conn) {:index :eavt :components [entity attribute] :limit -1}))))
  (transact [_ tx-data]
    (let [{:keys [db-before tx-data tempids]} (d/transact conn {:tx-data tx-data})]
      {:before (:t db-before) :tx (:tx (first tx-data)) :tempids tempids}))
  (query [_ as-of query arguments]
    (let [db (d/db conn)]
      (d/q {:query query :args (into [(if as-of (d/as-of db as-of) db)] arguments) :limit -1}))))
