(ns asyncrestore.bridge
  "The process between Python and Datomic. Requests come as frames on stdin, [id operation argument ..]; answers go
  out on stdout, [id \"ok\" result] or [id \"error\" anomaly], and before them signs of work (work.clj). It ends when
  stdin ends, so it never outlives its parent.

  Engines cannot share a class path, so this namespace requires none: each has a namespace whose -main calls `main` with
  `open`, `databases` (both take a place, see datomic/uri.py), `release` (which ends orderly what was opened) and
  `scratch`, which opens a database to warm up with."
  (:require [asyncrestore.engine :as engine]
            [asyncrestore.frames :as frames]
            [asyncrestore.logs :as logs]
            [asyncrestore.transactions :as transactions]
            [asyncrestore.values :as values]
            [asyncrestore.work :as work]
            [clojure.edn :as edn])
  (:import (java.io BufferedInputStream BufferedOutputStream DataInputStream DataOutputStream
                    FileDescriptor FileInputStream FileOutputStream)
           (java.nio.file FileSystemException)
           (java.util ArrayList)
           (java.util.concurrent ExecutorService Executors ThreadFactory TimeUnit)))

(set! *warn-on-reflection* true)

(defn said
  "The message of an exception. When a file operation fails, often only the class says why, and the message is just the
  file's name."
  [^Throwable thrown causes]
  (let [file (some #(when (instance? FileSystemException %) %) causes)]
    (if (and file (nil? (.getReason ^FileSystemException file)))
      (str (.getSimpleName (class file)) ": " (.getMessage ^Throwable file))
      (or (.getMessage thrown) (class thrown)))))

(defn- anomaly
  "An exception as values that the pipe can carry. Its causes are searched too: engines wrap their exceptions."
  [^Throwable thrown]
  (let [causes (take-while some? (iterate #(.getCause ^Throwable %) thrown))
        data (or (some #(let [d (ex-data %)] (when (:cognitect.anomalies/category d) d)) causes)
                 (some ex-data causes))
        named (fn [k] (let [v (get data k)] (when (or (instance? clojure.lang.Named v) (string? v)) (name v))))
        message (str (or (:cognitect.anomalies/message data) (said thrown causes)))
        id-of (fn [ref] (when (and (vector? ref) (int? (second ref))) (second ref)))
        ;; If a lookup ref is in a tuple, only the text names it.
        id-in (fn [text] (some-> (re-find #"\[:asyncrestore/original-id (\d+)\] in tuple" text) second parse-long))]
    {"category" (or (named :cognitect.anomalies/category) "fault")
     "message" message
     "error" (named :db/error)
     "entity" (or (id-of (:entity data)) (id-of (:e data)) (id-in message))
     "present" (when (int? (:v data)) (:v data))}))

(defn- begin
  "Begins the transactions of a batch, in order. One that could not be decoded fails when its turn comes, as if the
  engine had refused it: those before it commit."
  [db columns]
  (let [{:keys [batch failure]} (transactions/decode columns)
        ;; Without order each can only begin when the one before it has committed.
        begun (if (engine/ordered? db)
                (mapv #(engine/transact db %) batch)
                (into (mapv #(engine/transact db %) (take 1 batch))
                      (map #(delay @(engine/transact db %)))
                      (rest batch)))]
    (if failure
      (conj begun (delay (throw (ex-info (str (ex-message failure)) {:cognitect.anomalies/category :cognitect.anomalies/incorrect}
                                         failure))))
      begun)))

(def ^:private definite?
  "Is the outcome of a transaction that failed with this anomaly certain? Then those begun after it have answers soon."
  (comp not #{"unavailable" "interrupted" "fault"} #(get % "category")))

(def ^:private ending
  "Set when no more requests come: nobody waits for answers."
  (atom false))

(defn- transact-all
  "Waits for transactions begun by `engine/transact`, in order, up to the first that fails: those after it would fail
  too, unless somebody else has committed it; then those that were begun after it commit.
  Returns [[result ..] anomaly-or-nil [result after it ..]]."
  [begun overlaps?]
  (loop [done [] [tx & others] begun]
    (if (or (nil? tx) (and @ending (not overlaps?)))
      [done nil []]
      (let [result (try @tx (catch Throwable e (anomaly e)))]
        (cond
          (not (contains? result "category")) (recur (conj done result) others)
          (and overlaps? (definite? result))
          [done result (into [] (keep #(try @% (catch Throwable _ nil))) others)]
          :else [done result []])))))

(defn- packed
  "For each committed transaction, packed: t before, transaction id, number of its new entities, then tempid and id of
  each."
  [committed]
  (let [numbers (ArrayList.)
        add (fn [n] (.add numbers n))]
    (doseq [{:keys [before tx tempids]} committed
            :let [made (dissoc tempids "datomic.tx")]]
      (add before) (add tx) (add (count made))
      (reduce-kv (fn [_ tempid id] (add (Long/parseLong tempid)) (add id)) nil made))
    (frames/pack (long-array numbers))))

(defn- committed
  "The result of a transaction that nobody sends again. Where a server is between, a fault without a name leaves open what
  happened: it says nothing of the data."
  [db begun]
  (try
    @begun
    (catch clojure.lang.ExceptionInfo e
      (let [{:keys [db/error] :cognitect.anomalies/keys [category]} (ex-data e)]
        (throw (if (and (= category :cognitect.anomalies/fault) (nil? error) (not (engine/ordered? db)))
                 (ex-info (ex-message e) (assoc (ex-data e) :cognitect.anomalies/category :cognitect.anomalies/unavailable) e)
                 e))))))

(defn- transact-edn
  "Commits transactions written as EDN, each a vector of transaction data. Returns [transaction-id tempids] of each."
  [db texts]
  (mapv (fn [text]
          (let [{:keys [tx tempids]} (committed db (engine/transact db (edn/read-string {:readers *data-readers*} text)))]
            [tx tempids]))
        texts))

(defn- query [db as-of text arguments]
  (let [row #(mapv (fn [v] (when (some? v) (values/encode v false))) %)]
    (mapv row (engine/query db (when as-of (java.util.Date. (long as-of))) (edn/read-string text)
                            (map edn/read-string arguments)))))

(def ^:private reads
  "Operations on an open database: each is a function of it and of the request's other arguments."
  {"read-log" logs/page
   "transactions" (fn [db start end] (frames/pack (long-array (engine/transactions db start end))))
   "schema" logs/schema
   "query" query
   "holders" (fn [db attribute packed] (engine/with-values db attribute (vec (frames/unpack packed))))
   "values" (fn [db attribute packed] (engine/values-of db attribute (vec (frames/unpack packed))))})

(def ^:private in-turn
  "The same, for those that wait until all transactions that were sent before have landed. So who asks how far a database
  is never misses what a cancelled call had sent."
  {"basis" engine/basis-t
   "transact-edn" transact-edn})

(defn- daemon-threads ^ThreadFactory [label]
  (reify ThreadFactory
    (newThread [_ task] (doto (Thread. ^Runnable task ^String label) (.setDaemon true)))))

(def ^:private readers
  (delay (Executors/newFixedThreadPool 4 (daemon-threads "reads"))))

(defn- of-place
  "What the database of a place has that is opened already: its :writer, its :unanswered."
  [databases place]
  (some #(when (= place (:place %)) %) (vals databases)))

(defn- writer-of
  "The one thread that transacts into the database of a place, in order, however often it is opened. Where there is no
  order, each transaction has a thread that waits for its answer."
  [databases place db]
  (or (:writer (of-place databases place))
      (if (engine/ordered? db)
        (Executors/newSingleThreadExecutor (daemon-threads "transacts"))
        (Executors/newCachedThreadPool (daemon-threads "transacts")))))

(defn- unordered
  "The function of a request to an engine that keeps no order, with the order that there must be: one that is answered in
  turn waits for all that were sent before it. `unanswered` has a promise for each that changes the database."
  [unanswered run in-turn?]
  (let [answered (promise)
        before @unanswered]
    (swap! unanswered conj answered)
    (fn []
      (try
        (when in-turn? (run! deref before))
        (run)
        (finally
          (swap! unanswered disj answered)
          (deliver answered true))))))

(defn- open
  "Opens a database and gives it its thread."
  [engine databases place]
  (let [[db created?] ((:open engine) place)
        place (dissoc place "create")]
    ;; Other requests may open databases at the same time.
    (locking databases
      (let [handle (count @databases)]
        (swap! databases assoc handle {:db db :place place :writer (writer-of @databases place db)
                                        :unanswered (or (:unanswered (of-place @databases place)) (atom #{}))})
        [handle (engine/database-id db) created? (engine/ordered? db)]))))

(def ^:private landing-patience-s
  "How long transactions that have begun may take after the last request: half of what Python waits for the end."
  5)

(defn- land
  "Waits until the transactions that have begun have landed, so that the next process does not meet them, and begins no
  more."
  [databases]
  (reset! ending true)
  (let [writers (distinct (map :writer (vals databases)))
        deadline (+ (System/nanoTime) (* (long landing-patience-s) 1000000000))]
    (doseq [^ExecutorService writer writers] (.shutdown writer))
    (doseq [^ExecutorService writer writers]
      (.awaitTermination writer (- deadline (System/nanoTime)) TimeUnit/NANOSECONDS))))

(defn- prepare
  "Returns [executor function] for a request. For one that transacts in order, also a function that makes the answer from
  the result: it runs on another thread, so that the next commit need not wait for it.
  Transactions are built and begun here, on the thread that reads the pipe. So they begin in order, and overlap with
  the commits before them."
  [engine databases [_ operation & arguments]]
  (case operation
    "open" [@readers #(open engine databases (first arguments))]
    "databases" [@readers #((:databases engine) (first arguments))]
    ;; A transaction that a cancelled call sent may be under way: the engine has its files until it has landed.
    "release" [@readers #(do (land @databases) ((:release engine)))]
    (let [[handle & others] arguments
          {:keys [db writer unanswered]} (get @databases handle)]
      (if (= operation "transact")
        (let [begun (begin db (first others))
              run #(transact-all begun (engine/overlaps? db))
              finish (fn [[done failed behind]] [(packed done) failed (packed behind)])]
          (if (engine/ordered? db)
            [writer run finish]
            [writer (unordered unanswered (comp finish run) false)]))
        (let [f (or (get reads operation) (get in-turn operation))
              run #(apply f db others)]
          (when-not f (throw (ex-info (str "Unknown operation " operation) {})))
          (cond
            (not (contains? in-turn operation)) [@readers run]
            (engine/ordered? db) [writer run]
            :else [writer (unordered unanswered run true)]))))))

(defn- serve [engine ^DataInputStream in ^DataOutputStream out]
  (let [databases (atom {})
        answer (fn [id run]
                 ;; An answer that cannot be encoded is an error too: nobody waits for an answer that never comes.
                 (try
                   (frames/write-frame out [id "ok" (work/run id run)])
                   (catch Throwable e (frames/write-frame out [id "error" (anomaly e)]))
                   (finally (work/end id))))]
    (loop []
      (when-let [[id :as request] (frames/read-frame in)]
        (work/begin id)
        (try
          (let [[^ExecutorService executor run finish] (prepare engine databases request)]
            (.execute executor (if finish
                                 #(let [result (try (work/run id run) (catch Throwable e e))
                                        ended (fn [] (if (instance? Throwable result) (throw result) (finish result)))]
                                    (.execute ^ExecutorService @readers (fn [] (answer id ended))))
                                 #(answer id run))))
          (catch Throwable e (answer id #(throw e))))
        (recur)))
    (land @databases)))

(defn warm-up
  "Uses all code that every run needs, so that the class-data archive, which is made afterwards, holds it."
  [engine]
  (let [[db] ((:scratch engine))]
    (transact-edn db ["[{:db/ident :warm/up :db/valueType :db.type/string :db/cardinality :db.cardinality/one}]"])
    (let [e (frames/pack (long-array [4611686018427387905])) a (frames/pack (long-array [-9223372036854775807]))
          sizes (frames/pack (long-array [1 0 0])) n (frames/pack (long-array [0])) none (frames/pack (long-array 0))
          frame (frames/encode [sizes e a "s" n ["x"] none {-9223372036854775807 "warm/up"}])]
      (frames/encode (packed (first (transact-all (begin db (frames/decode frame)) false)))))
    (frames/encode (logs/page db 0 100 1000))
    (frames/encode (logs/schema db))
    (frames/encode (query db nil "[:find ?e ?v :where [?e :warm/up ?v]]" []))))

(defn main [engine argument]
  (let [in (DataInputStream. (BufferedInputStream. (FileInputStream. FileDescriptor/in) 65536))
        out (DataOutputStream. (BufferedOutputStream. (FileOutputStream. FileDescriptor/out) 65536))]
    ;; What a library prints must not get between the frames.
    (System/setOut System/err)
    (alter-var-root #'*out* (constantly *err*))
    (when (= argument "warm-up")
      (warm-up engine)
      ;; The JVM writes its class-data archive at an orderly exit.
      (System/exit 0))
    (work/start out)
    (serve engine in out)
    ;; The parent is gone or has all its answers: there is nothing to wait for.
    (.halt (Runtime/getRuntime) 0)))
