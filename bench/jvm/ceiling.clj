(ns ceiling
  "The ceiling of a restore: the transactions that one committed, replayed in a plain loop in a JVM like the bridge's.

  java FLAGS -cp BRIDGE.jar:JARS clojure.main -i bench/jvm/harness.clj bench/jvm/ceiling.clj RECORDING STORAGE|:mem DB ROUNDS

  RECORDING is what `bench/recording.py` wrote: the data of each transaction as the bridge got it, and its answer.
  All of it is decoded into Datomic's transaction data before the clock starts.
  Ids that the restore had from its cache are those of its own target; another target gives others. They are
  replaced, once they are known, by the ids of this target, between two transactions, while the clock stands still.
  Prints one line of JSON: seconds in `transact` and of the whole loop in the first round, when the JVM is cold,
  seconds in `transact` in the last one, transactions, datoms in the log after it."
  (:require [asyncrestore.frames :as frames]
            [asyncrestore.transactions :as transactions]
            [clojure.edn :as edn]
            [clojure.java.io :as io]
            [datomic.client.api :as d]
            [harness])
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
                (vec (first (transactions/decode columns ->Id))))
     :tx      tx
     :made    (mapv (fn [[source id]] [(str source) id]) (partition 2 pairs))}))

(defn- recording [file]
  (with-open [in (-> (io/input-stream file) BufferedInputStream. DataInputStream.)]
    (into [] (comp (take-while some?) (map decoded)) (repeatedly #(frames/read-frame in)))))

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
  "Nanoseconds spent in `transact`."
  [conn transactions]
  (let [ids (HashMap.)]
    (reduce (fn [spent transaction]
              (let [tx-data (known ids (:tx-data transaction))
                    start   (System/nanoTime)
                    result  (d/transact conn {:tx-data tx-data})
                    end     (System/nanoTime)]
                (learn ids transaction result)
                (+ (long spent) (- end start))))
            0 transactions)))

(defn- round-of
  "One replay into a new database."
  [client db transactions]
  (let [conn (harness/create client db)
        ;; The loop shall not pay for what decoding or the round before left behind.
        _ (System/gc)
        start (System/nanoTime)
        spent (replay conn transactions)]
    {:seconds      (harness/rounded (/ spent 1e9))
     :loop_seconds (harness/rounded (harness/seconds-since start))
     :log_datoms   (transduce (map (comp count :data)) + (harness/log conn))}))

(defn -main []
  (let [usage "ceiling.clj RECORDING STORAGE|:mem DB ROUNDS"
        {:keys [file storage db rounds]} (harness/arguments usage [:file :storage :db :rounds])
        transactions (recording file)
        client (harness/client (harness/storage storage) "ceiling")
        results (mapv #(round-of client (str db %) transactions) (range (parse-long rounds)))]
    (harness/print-json (assoc (first results)
                               :transactions (count transactions)
                               :warm_seconds (:seconds (peek results))))))

(-main)
(shutdown-agents)
