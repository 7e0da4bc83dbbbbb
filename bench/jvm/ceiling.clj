(ns ceiling
  "The ceiling of a restore: the transactions that one committed, replayed in a plain loop in a JVM like the bridge's.

  java FLAGS -cp BRIDGE.jar:JARS clojure.main -i bench/jvm/harness.clj -i bench/jvm/local.clj bench/jvm/ceiling.clj RECORDING STORAGE|:mem DB ROUNDS

  RECORDING is what `bench/recording.py` wrote: the data of each transaction as the bridge got it, and its answer.
  It is read and decoded a chunk at a time, while the clock stands still: held whole, it would fill the heap, and the
  collector's work on it would be counted.
  Ids that the restore had from its cache are those of its own target; another target gives others. They are
  replaced, once they are known, by the ids of this target, between two transactions, while the clock stands still.
  Prints one line of JSON: seconds in `transact` and of the whole loop in the first round, when the JVM is cold,
  the same in the last one (warm), transactions, datoms in the log after it, and for both rounds the seconds spent in
  `transact` at the end of each tenth of the transactions."
  (:require [asyncrestore.frames :as frames]
            [asyncrestore.transactions :as transactions]
            [clojure.edn :as edn]
            [clojure.java.io :as io]
            [datomic.client.api :as d]
            [harness]
            [local])
  (:import (java.io BufferedInputStream DataInputStream)
           (java.util HashMap)))

(set! *warn-on-reflection* true)

;; An entity id of the recorded target.
(deftype Id [recorded])

(defn- decoded
  "A recorded frame: Datomic's transaction data, and the ids that the recorded target gave."
  [[columns answer]]
  (let [[_ tx & pairs] (frames/unpack answer)]
    {:tx-data (if (string? columns)
                (edn/read-string {:readers *data-readers*} columns)
                (vec (first (:batch (transactions/decode columns ->Id)))))
     :tx      tx
     :made    (mapv (fn [[source id]] [(str source) id]) (partition 2 pairs))}))

(def ^:private at-once
  "Transactions decoded at a time; the bridge, too, has a few batches of decoded ones."
  256)

(defn- known [^HashMap ids x]
  (cond
    (instance? Id x) (or (.get ids (.-recorded ^Id x)) (throw (ex-info "an id that no earlier transaction made" {:id x})))
    (vector? x)      (mapv #(known ids %) x)
    :else            x))

(defn- learn [^HashMap ids {:keys [tx made]} {:keys [tempids tx-data]}]
  (.put ids tx (:tx (first tx-data)))
  (doseq [[tempid recorded] made]
    (.put ids recorded (get tempids tempid))))

(defn- replay
  "The nanoseconds spent in `transact` so far, after each transaction."
  [conn file]
  (with-open [in (-> (io/input-stream file) BufferedInputStream. DataInputStream.)]
    (let [ids (HashMap.)
          commit (fn [spent transaction]
                   (let [tx-data (known ids (:tx-data transaction))
                         start   (System/nanoTime)
                         result  (d/transact conn {:tx-data tx-data})
                         end     (System/nanoTime)]
                     (learn ids transaction result)
                     (conj spent (+ (long (peek spent)) (- end start)))))
          chunks (comp (take-while some?) (map decoded) (partition-all at-once))]
      (subvec (transduce chunks (completing (partial reduce commit)) [0] (repeatedly #(frames/read-frame in))) 1))))

(defn- round-of
  "One replay into a new database."
  [client db file]
  (let [conn (local/create client db)
        start (System/nanoTime)
        spent (replay conn file)
        taken (harness/seconds-since start)
        n     (count spent)]
    {:seconds      (harness/rounded (/ (long (peek spent)) 1e9))
     :loop_seconds (harness/rounded taken)
     :tenths       (mapv #(harness/rounded (/ (long (nth spent (max 0 (dec (quot (* n (long %)) 10))))) 1e9)) (range 1 11))
     :transactions n
     :log_datoms   (transduce (map (comp count :data)) + (local/log conn))}))

(defn -main []
  (let [usage "ceiling.clj RECORDING STORAGE|:mem DB ROUNDS"
        {:keys [file storage db rounds]} (harness/arguments usage [:file :storage :db :rounds])
        client (local/client (local/storage storage) "ceiling")
        results (mapv #(round-of client (str db %) file) (range (parse-long rounds)))]
    (harness/print-json (into (first results)
                              (map (fn [k] [(keyword (str "warm_" (name k))) (get (peek results) k)]))
                              [:seconds :loop_seconds :tenths]))))

(-main)
(shutdown-agents)
