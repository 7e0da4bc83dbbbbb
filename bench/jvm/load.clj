(ns load
  "Loads the MusicBrainz batches into a durable Datomic Local database, as a source to measure with.

  java -cp 'JARS/*:bench/jvm' clojure.main bench/jvm/load.clj MBRAINZ-DIR STORAGE-DIR SYSTEM DB small|large

  large: a batch is a transaction. small: of the files after super-enums, each five entity maps of a batch are one.
  A batch's id is unique, so it goes on the first of its transactions only.
  Prints one line of JSON: transactions made, transactions and datoms in the log, seconds."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [datomic.client.api :as d]
            [harness]
            [local])
  (:import (java.io PushbackReader)
           (java.util.zip GZIPInputStream)))

(def whole-files ["schema" "enums" "super-enums"])
(def split-files ["labels" "artists" "areleases" "areleases-artists" "releases" "releases-artists"])
(def maps-in-small-transaction 5)

(def batch-id-schema
  [{:db/ident       :mbrainz.initial-import/batch-id
    :db/valueType   :db.type/string
    :db/cardinality :db.cardinality/one
    :db/unique      :db.unique/identity}])

(defn without-fulltext
  "Datomic Local has no full-text search. The peer would index each such value in Lucene before it answers: most of its
  time, and nothing that a restore has a part in."
  [data]
  (mapv #(if (map? %) (dissoc % :db/fulltext) %) data))

(defn batches [dir file]
  (with-open [in (-> (io/file dir (str file ".edn.gz")) io/input-stream GZIPInputStream. io/reader PushbackReader.)]
    (into []
          (comp (take-while some?) (map #(update % :data without-fulltext)))
          (repeatedly #(edn/read {:eof nil} in)))))

(defn one-transaction [{:keys [batch-ident data]}]
  [(into [batch-ident] data)])

(defn small-transactions [{:keys [batch-ident data]}]
  (let [[first-maps & more] (partition-all maps-in-small-transaction data)]
    (into [(into [batch-ident] first-maps)] (map vec) more)))

(defn transactions [dir split]
  (concat [batch-id-schema]
          (mapcat one-transaction (mapcat #(batches dir %) whole-files))
          (mapcat split (mapcat #(batches dir %) split-files))))

(defn -main []
  (let [{:keys [dir storage system db size]}
        (harness/arguments "load.clj MBRAINZ-DIR STORAGE-DIR SYSTEM DB small|large" [:dir :storage :system :db :size])
        split (or ({"small" small-transactions "large" one-transaction} size)
                  (throw (ex-info "the size is small or large" {:size size})))
        conn  (local/create (local/client (local/storage storage) system) db)
        start (System/nanoTime)
        made  (reduce (fn [n tx-data] (d/transact conn {:tx-data tx-data}) (inc n)) 0 (transactions dir split))
        taken (harness/seconds-since start)
        log   (local/log conn)]
    (harness/print-json {:size             size
                         :transactions     made
                         :log_transactions (count log)
                         :log_datoms       (transduce (map (comp count :data)) + log)
                         :seconds          (harness/rounded taken)})))

(-main)
(shutdown-agents)
