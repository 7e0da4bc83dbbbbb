(ns asyncrestore.local
  "Datomic Local, embedded in this process: all that is specific to it."
  (:require [asyncrestore.bridge :as bridge]
            [asyncrestore.client :as client]
            [asyncrestore.local-files :as local-files]
            [asyncrestore.work :as work]
            [clojure.java.io :as io]
            [datomic.client.api :as d]
            [datomic.local :as local])
  (:import (java.io Writer)
           (java.nio.file AccessDeniedException Files LinkOption NoSuchFileException Path)
           (java.nio.file.attribute BasicFileAttributes))
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

(defn- explained
  "The exception, or a clearer one if access to a file was denied: the class alone says that, and engines wrap it."
  [^Throwable thrown]
  (if-let [denied (some #(when (instance? AccessDeniedException %) %) (take-while some? (iterate ex-cause thrown)))]
    (anomaly :cognitect.anomalies/forbidden
             (str (.getFile ^AccessDeniedException denied)
                  ": access denied. Check the owner and mode of each part of this path."))
    thrown))

(defn- explaining
  "The function of a place, with exceptions that are `explained`."
  [f]
  (fn [place] (try (f place) (catch Exception e (throw (explained e))))))

(defn- missing [^Path path what]
  (ex-info (str path) {:cognitect.anomalies/category :cognitect.anomalies/fault
                       :cognitect.anomalies/message (str path " " what)
                       :db/error :asyncrestore/files-missing}))

(defn- attributes
  "What the file system knows of a file, links followed; nil if there is none. Throws if that cannot be told: the methods
  of java.io.File take every error for none, and a database that is taken for none is made anew. A link that leads
  nowhere is not none, but perhaps a disk that is not mounted."
  ^BasicFileAttributes [^Path path]
  (try
    (Files/readAttributes path BasicFileAttributes ^"[Ljava.nio.file.LinkOption;" (make-array LinkOption 0))
    (catch NoSuchFileException _
      (when (Files/isSymbolicLink path) (throw (missing path "is a link that leads nowhere"))))))

(defn- directory? [path]
  (boolean (some-> (attributes path) .isDirectory)))

(defn- holds-database?
  "Is the directory a database? The engine's own listing goes by this file, too, but passes over errors."
  [^Path directory]
  (and (directory? directory) (some? (attributes (.resolve directory "db.log")))))

(defn- system-directory
  "The directory of a durable system; nil if there is none. Asking the client would create it."
  ^Path [storage-dir system]
  (let [storage (Path/of storage-dir (make-array String 0))
        directory (.resolve storage ^String system)]
    (when (and (directory? storage) (directory? directory)) directory)))

(defn- databases [{:strs [storage-dir system]}]
  (if (= storage-dir ":mem")
    (vec (sort (d/list-databases (connect-client storage-dir system) {:limit -1})))
    (if-let [directory (system-directory storage-dir system)]
      (with-open [entries (Files/newDirectoryStream directory)]
        (into [] (map #(str (.getFileName ^Path %))) (sort (filter holds-database? entries))))
      [])))

(defn- exists? [{:strs [storage-dir system db] :as place}]
  (if (= storage-dir ":mem")
    (some #{db} (databases place))
    (when-let [directory (some-> (system-directory storage-dir system) (.resolve ^String db))]
      (or (holds-database? directory)
          ;; To make a database there would write to what is left of another one.
          (when (and (directory? directory) (attributes (.resolve directory "log.idx")))
            (throw (missing directory "has a database's log.idx, and no db.log")))))))

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
                                     " A Datomic Local database belongs to one process at a time: stop the other"
                                     " one, or use a snapshot of the directory."))))))))

(defn- telling-percent
  "A writer for what Local prints while it makes the indexes that a database lacks on disk: \"Loading\", and a dot for each
  percent of the transactions. The dots become the request's progress; all else goes to `other`."
  ^Writer [^Writer other]
  (let [dots (atom 0)
        text (fn [x] (if (string? x) x (String. ^chars x)))
        write (fn [^String text]
                (if (re-matches #"(Loading)?\.*" text)
                  (work/percent (swap! dots + (count (filter #{\.} text))))
                  (.write other text)))]
    (proxy [Writer] []
      (write
        ([x] (write (if (integer? x) (str (char x)) (text x))))
        ([x from n] (write (subs (text x) from (+ (int from) (int n))))))
      (flush [] (.flush other))
      (close []))))

(def ^:private durable
  "The durable databases that were opened, as `release-db` names them."
  (atom #{}))

(defn- connect [client {:strs [storage-dir system db]}]
  (let [conn (binding [*err* (telling-percent *err*)]
               (when-free #(d/connect client {:db-name db})))]
    (when-not (= storage-dir ":mem")
      (swap! durable conj {:storage-dir storage-dir :system system :db-name db}))
    conn))

(defn- release
  "Closes the durable databases. Local then writes their indexes, if many datoms are not in them: what ends without that
  leaves it to the next process that opens the database."
  []
  (run! local/release-db @durable))

(defn- open
  "Opens a database. If it does not exist and `create` is set, makes it first. Returns [database created?]."
  [{:strs [storage-dir system db create] :as place}]
  (let [there? (exists? place)]
    (when-not (or there? create)
      (throw (anomaly :cognitect.anomalies/not-found (str "There is no database " db " in system " system " of " storage-dir))))
    (let [c (connect-client storage-dir system)
          dir (io/file storage-dir system db)]
      (when-not there?
        (if (= storage-dir ":mem") (d/create-database c {:db-name db}) (local-files/create c dir db)))
      (let [conn (local-files/opened dir #(connect c place))]
        [(client/->ClientDatabase conn (identity-of (d/db conn)) (atom {}) local-files/transact) (not there?)]))))

(def ^:private engine
  {:open (explaining open) :databases (explaining databases) :release release
   :scratch #(open {"storage-dir" ":mem" "system" "warm-up" "db" "warm-up" "create" true})})

(defn- warm-up [] (bridge/warm-up engine))

(defn -main [& [argument]] (bridge/main engine argument))
