(ns local
  "Datomic Local: opening databases, reading their logs."
  (:require [datomic.client.api :as d]))

(defn storage
  "The storage directory named on a command line: an absolute path, or `:mem` for a database in memory."
  [arg]
  ;; Datomic Local takes absolute paths only.
  (if (= arg ":mem") :mem (.getAbsolutePath (java.io.File. ^String arg))))

(defn client [storage-dir system]
  (d/client {:server-type :datomic-local :storage-dir storage-dir :system system}))

(defn create
  "Connection to a new database. Throws when there is one of that name: nothing is measured on used ground."
  [client db-name]
  (when (some #{db-name} (d/list-databases client {}))
    (throw (ex-info (str "database " db-name " exists already: delete it or name another") {:db-name db-name})))
  (d/create-database client {:db-name db-name})
  (d/connect client {:db-name db-name}))

(defn log
  "The database's log, whole: a sequence of `{:t .. :data [datom ..]}`, read as it is consumed."
  [conn]
  ;; Without a limit of -1 the client stops silently after 1,000 transactions.
  (d/tx-range conn {:start 0 :limit -1}))
