(ns asyncrestore.local-files
  "What Datomic Local cannot read or write: a full disk, a quota, files that end too early.

  The engine appends a transaction to two files: to log.idx where it begins, and to db.log itself. A failure leaves what
  was written until then. A database with such an end cannot be opened again, and with a transaction behind it the files
  are wrong for ever. So here the files get back what they were when a transaction failed."
  (:require [asyncrestore.bridge :as bridge]
            [datomic.client.api :as d])
  (:import (datomic.dev_local.impl DurableConnection)
           (datomic.dev_local.local_log LocalLog)
           (java.io File IOException)
           (java.nio.channels FileChannel)
           (java.nio.file Files)
           (java.nio.file.attribute FileAttribute)))

(set! *warn-on-reflection* true)

(defn- causes-of [thrown]
  (take-while some? (iterate #(.getCause ^Throwable %) thrown)))

(defn- io-failure
  "The cause that says that a file could not be read or written. A write that was cut short has no class of its own in the
  engine."
  [causes]
  (some #(when (or (instance? IOException %) (:wrote (ex-data %))) %) causes))

(defn- failed
  "The exception that says that the files in a directory cannot be read or written, and why. `left` says why a part of a
  transaction could not be taken back."
  [dir ^Throwable cause left]
  (let [dir (File. (str dir))
        {:keys [expected wrote]} (ex-data cause)
        reason (if wrote
                 (str "only " wrote " of " expected " bytes could be written")
                 (str (bridge/said cause [cause])))]
    (ex-info (str dir) {:cognitect.anomalies/category :cognitect.anomalies/fault
                        :cognitect.anomalies/message
                        (str (when-not (.contains reason (str dir)) (str dir ": "))
                             reason
                             (when (.exists dir) (str " (" (.getUsableSpace dir) " bytes are free there)"))
                             (when left (str "; what was written could not be taken back: " (ex-message left))))
                        :db/error :asyncrestore/files-failed}
             cause)))

(defn- take-back
  "Gives the files of a log back the sizes that they had. Returns why it cannot, or nil. The log comes first: killed in
  between, the engine itself drops an entry of log.idx that has nothing in the log."
  [files sizes]
  (try
    (run! (fn [[^FileChannel file size]] (.truncate file size)) (map vector files sizes))
    (catch IOException e e)))

(defn transact
  "Commits to a database of Datomic Local. When its files cannot be written, they are as before."
  [conn tx-data]
  (if-not (instance? DurableConnection conn)
    (d/transact conn {:tx-data tx-data})
    ;; The engine's own lock: nobody else commits between the look at the sizes and what is taken back.
    (locking (.-db_ref ^DurableConnection conn)
      (let [^LocalLog log (.-log ^DurableConnection conn)
            files [(.-log_fc log) (.-log_idx_fc log)]
            sizes (mapv #(.size ^FileChannel %) files)
            before (:t (d/db conn))]
        (try
          (d/transact conn {:tx-data tx-data})
          (catch Throwable thrown
            (if-let [cause (io-failure (causes-of thrown))]
              ;; The engine may also fail at work that comes after a transaction: then that is there.
              (throw (failed (.-basedir ^DurableConnection conn) cause
                             (when (= before (:t (d/db conn))) (take-back files sizes))))
              (throw thrown))))))))

(defn create
  "Makes a database. When its files cannot be written, nothing of it is left."
  [client ^File dir db]
  (try
    ;; The engine does not notice when it cannot make a directory.
    (Files/createDirectories (.toPath dir) (make-array FileAttribute 0))
    (d/create-database client {:db-name db})
    (catch Throwable thrown
      (let [cause (io-failure (causes-of thrown))
            failure (if cause (failed dir cause nil) thrown)]
        (when cause
          ;; What even this leaves is told when it is opened.
          (try (d/delete-database client {:db-name db}) (catch Exception _)))
        (.delete dir)
        (throw failure)))))

(defn opened
  "Returns what f, which opens the database in a directory, returns. Whatever else it throws than a refusal of the engine
  says that the files cannot be read."
  [dir f]
  (try
    (f)
    (catch Throwable thrown
      (let [causes (causes-of thrown)]
        (if (some (comp :cognitect.anomalies/category ex-data) causes)
          (throw thrown)
          (throw (failed dir (or (io-failure causes) (last causes)) nil)))))))
