(ns readlog
  "Reads a database's whole log in a loop: the yardstick for backup and verify, which cannot be faster.

  java -cp 'JARS/*:bench/jvm' clojure.main bench/jvm/readlog.clj STORAGE-DIR SYSTEM DB REPEATS
  Prints one line of JSON a repeat."
  (:require [datomic.client.api :as d]
            [harness]))

(defn count-datoms
  "Reads the log and every field of each datom, since a backup needs them all: `[transactions datoms]`."
  [conn]
  (reduce (fn [[transactions datoms] {:keys [data]}]
            [(inc transactions)
             (reduce (fn [n [e a v tx added]] (if (and e a (some? v) tx (some? added)) (inc n) n)) datoms data)])
          [0 0]
          (local/log conn)))

(defn -main []
  (let [{:keys [storage system db repeats]}
        (harness/arguments "readlog.clj STORAGE-DIR SYSTEM DB REPEATS" [:storage :system :db :repeats])
        conn (d/connect (local/client (local/storage storage) system) {:db-name db})]
    (dotimes [repeat (parse-long repeats)]
      (let [start (System/nanoTime)
            [transactions datoms] (count-datoms conn)
            taken (harness/seconds-since start)]
        (harness/print-json {:repeat         (inc repeat)
                             :transactions   transactions
                             :datoms         datoms
                             :seconds        (harness/rounded taken)
                             :datoms_per_s   (Math/round (/ datoms taken))})))))

(-main)
(shutdown-agents)
