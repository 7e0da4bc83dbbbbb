(ns harness
  "What the JVM-side benchmark programs share: opening a Datomic Local database and printing results."
  (:require [datomic.client.api :as d])
  (:import (org.json.simple JSONValue)))

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

(defn seconds-since [start-ns]
  (/ (- (System/nanoTime) start-ns) 1e9))

(defn rounded [x]
  (/ (Math/round (* 1000.0 (double x))) 1000.0))

(defn print-json
  "One line of JSON on stdout. The map's keys are keywords."
  [m]
  (println (JSONValue/toJSONString (update-keys m name)))
  (flush))

(defn arguments
  "The command line as a map by `names`. Prints the usage and exits with 2 when their numbers differ."
  [usage names]
  (if (= (count names) (count *command-line-args*))
    (zipmap names *command-line-args*)
    (do (binding [*out* *err*] (println "usage:" usage))
        (System/exit 2))))
