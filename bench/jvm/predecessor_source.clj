(ns predecessor-source
  "Reads from a Datomic Local database what the predecessor's algorithm (predecessor.clj) restores, into a file: reading is not
  what is measured, and the engine that is restored into may be another one.

  java FLAGS -cp BRIDGE.jar:JARS clojure.main -i bench/jvm/harness.clj -i bench/jvm/local.clj bench/jvm/predecessor_source.clj \\
    STORAGE-DIR SYSTEM DB LIMIT FILE

  Prints one line of JSON: transactions."
  (:require [datomic.client.api :as d]
            [harness]
            [local])
  (:import (java.io FileOutputStream ObjectOutputStream)))

(defn bootstrap?
  "Datomic's own first transactions: dated at the epoch, or with no instant at all."
  [{:keys [data]}]
  (let [tx (nth (first data) 3)]
    (not-any? (fn [[e _ v]] (and (= e tx) (inst? v) (pos? (inst-ms v)))) data)))

(defn entry
  "A log entry as plain data: the client's datoms may be views of something that is read lazily."
  [{:keys [t data]}]
  {:t      t
   :tx     (nth (first data) 3)
   :datoms (mapv (fn [[e a v _ added]] [e a v added]) data)})

(defn ids [db query]
  (into #{} (map first) (d/q query db)))

(defn read-source
  "The log's entries and what the algorithm must know of the source's attributes."
  [conn limit]
  (let [db (d/db conn)
        [bootstrap entries] (split-with bootstrap? (local/log conn))
        base (d/as-of db (:t (last bootstrap)))]
    {:entries     (into [] (comp (take limit) (map entry)) entries)
     :last-base-t (:t (last bootstrap))
     :base-idents (into {} (d/q '[:find ?e ?ident :where [?e :db/ident ?ident]] base))
     :refs        (ids db '[:find ?a :where [?a :db/valueType :db.type/ref]])
     :composites  (ids db '[:find ?a :where [?a :db/tupleAttrs]])
     :to-one      (ids db '[:find ?a :where [?a :db/cardinality :db.cardinality/one]])}))

(defn -main []
  (let [{:keys [storage system db limit file]}
        (harness/arguments "predecessor_source.clj STORAGE-DIR SYSTEM DB LIMIT FILE" [:storage :system :db :limit :file])
        conn   (d/connect (local/client (local/storage storage) system) {:db-name db})
        source (read-source conn (parse-long limit))]
    (with-open [out (ObjectOutputStream. (FileOutputStream. ^String file))]
      (.writeObject out source))
    (harness/print-json {:transactions (count (:entries source))})))

(-main)
(shutdown-agents)
