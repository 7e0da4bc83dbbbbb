(ns target
  "The predecessor's target in Datomic Pro, through the peer, in memory. target_local.clj has the same functions."
  (:require [datomic.api :as d]))

(def lookup-schema
  "What an attribute needs beside its type so that its values can be looked up."
  {:db/index true})

(defn create
  "Connection to a new database in memory, whatever the place."
  [_place db-name]
  (let [uri (str "datomic:mem://" db-name)]
    (when-not (d/create-database uri)
      (throw (ex-info (str "database " db-name " exists already") {:db-name db-name})))
    (d/connect uri)))

(def db d/db)
(def q d/q)

(defn holder
  "The entity that has the value."
  [db attribute value]
  (:e (first (d/datoms db :avet attribute value))))

(defn transact [conn tx-data] @(d/transact conn tx-data))
