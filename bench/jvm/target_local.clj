(ns target
  "The predecessor's target in Datomic Local. target_peer.clj has the same functions."
  (:require [datomic.client.api :as d]
            [local]))

(def lookup-schema
  "What an attribute needs beside its type so that its values can be looked up."
  {})

(defn create
  "Connection to a new database. Place: a storage directory or `:mem`."
  [place db-name]
  (local/create (local/client (local/storage place) "predecessor-target") db-name))

(def db d/db)
(def q d/q)

(defn holder
  "The entity that has the value."
  [db attribute value]
  (:e (first (d/datoms db {:index :avet :components [attribute value]}))))

(defn transact [conn tx-data] (d/transact conn {:tx-data tx-data}))
