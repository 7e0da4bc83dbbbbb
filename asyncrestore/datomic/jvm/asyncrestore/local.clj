(ns asyncrestore.local
  "Datomic Local, embedded in this process: all that is specific to it."
  (:require [asyncrestore.bridge :as bridge]
            [asyncrestore.client :as client]
            [asyncrestore.local-files :as local-files]
            [clojure.java.io :as io]
            [datomic.client.api :as d])
  (:import (java.io File))
  (:gen-class))

(set! *warn-on-reflection* true)

(def ^:private clients (atom {}))

(defn- anomaly [category message]
  (ex-info message {:cognitect.anomalies/category category}))

(defn- connect-client
  "The one client for a storage directory and system: a database in memory lives as long as its client."
  [storage-dir system]
  (locking clients
    (or (get @clients [storage-dir system])
        (let [c (d/client {:server-type :datomic-local
                           :storage-dir (if (= storage-dir ":mem") :mem storage-dir)
                           :system system})]
          (swap! clients assoc [storage-dir system] c)
          c))))

(defn- present?
  "Does the system exist? Asking the client would create its directory."
  [storage-dir system]
  (or (= storage-dir ":mem") (.isDirectory (File. ^String storage-dir ^String system))))

(defn- databases [{:strs [storage-dir system]}]
  (if (present? storage-dir system)
    (vec (sort (d/list-databases (connect-client storage-dir system) {:limit -1})))
    []))

(defn- identity-of
  "The UUID of a database in memory. A durable one has only its name, so it has no identity."
  [db]
  (let [id (str (:id db))]
    (when (re-matches #"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}" id) id)))

(def ^:private lock-patience-ms
  "How long to wait until another process releases a database: one that was killed needs a moment to end."
  5000)

(defn- locked? [^Throwable thrown]
  (some-> (.getMessage thrown) (.contains "in use by another process")))

(defn- when-free
  "Calls f, and again as long as another process has the database open, up to `lock-patience-ms`."
  [f]
  (let [deadline (+ (System/currentTimeMillis) (long lock-patience-ms))]
    (loop []
      (let [result (try (f) (catch Exception e (if (locked? e) e (throw e))))]
        (cond
          (not (instance? Exception result)) result
          (< (System/currentTimeMillis) (long deadline)) (do (Thread/sleep 100) (recur))
          :else (throw (anomaly :cognitect.anomalies/busy
                                (str (.getMessage ^Exception result)
                                     " A Datomic Local database belongs to one process at a time."))))))))

(defn- open
  "Opens a database. If it does not exist and `create` is set, makes it first. Returns [database created?]."
  [{:strs [storage-dir system db create] :as place}]
  (let [there? (some #{db} (databases place))]
    (when-not (or there? create)
      (throw (anomaly :cognitect.anomalies/not-found (str "There is no database " db " in system " system " of " storage-dir))))
    (let [c (connect-client storage-dir system)
          dir (io/file storage-dir system db)]
      (when-not there?
        (if (= storage-dir ":mem") (d/create-database c {:db-name db}) (local-files/create c dir db)))
      (let [conn (local-files/opened dir (fn [] (when-free #(d/connect c {:db-name db}))))]
        [(client/->ClientDatabase conn (identity-of (d/db conn)) (atom {}) local-files/transact) (not there?)]))))

(def ^:private engine
  {:open open :databases databases :scratch {"storage-dir" ":mem" "system" "warm-up" "db" "warm-up"}})

(defn- warm-up [] (bridge/warm-up engine))

(defn -main [& [argument]] (bridge/main engine argument))
