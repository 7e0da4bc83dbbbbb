(ns asyncrestore.read-ahead
  "A log that is read in windows of t, several at once, ahead of the reader: so the way to the server is waited for once,
  not once a window. What one page leaves goes on in the next (see logs.clj)."
  (:require [asyncrestore.logs :as logs])
  (:import (clojure.lang PersistentQueue)))

(set! *warn-on-reflection* true)

(def ^:private window-weight
  "What the datoms of a window shall weigh: about a megabyte on the wire."
  16384)

(def ^:private first-ts 64)
(def ^:private most-ts 1024)
(def ^:private most-windows 4)

(def ^:private most-weight
  "Nothing more is asked for while what was read and not taken yet weighs this much."
  (* 4 16384))

(def ^:private most-kept
  "So many logs are kept between two pages; the readers of others begin anew."
  8)

(defn- weigh [transactions]
  (transduce (comp (mapcat :data) (map logs/weight)) + 0 transactions))

(defn- size-after
  "How many t the next window has, after one of `ts` that weighed `weight`."
  [ts weight]
  (-> (quot (* (long ts) (long window-weight)) (max 1 (long weight)))
      (min (* 4 (long ts)) (long most-ts))
      (max 1)))

(defn- weight-of
  "The weight of a window, as far as it is known. One that failed says why when its turn comes."
  [window]
  (or (when (realized? window) (try (:weight @window) (catch Exception _))) window-weight))

(defn- held [queue]
  (reduce + 0 (map weight-of queue)))

(defn- ask
  "Begins to read a window, on a thread of its own."
  [window start end]
  (future
    (let [transactions (window start end)]
      {:ts (- (long end) (long start)) :transactions transactions :weight (weigh transactions)})))

(defn- filled
  "The queue with as many windows more as may be under way, and the t after them."
  [window queue at end size most]
  (loop [queue queue, at (long at)]
    (if (and (< at (long end)) (or (empty? queue) (and (< (count queue) (long most)) (< (long (held queue)) (long most-weight)))))
      (let [to (min (long end) (+ at (long size)))]
        (recur (conj queue (ask window at to)) to))
      [queue at])))

(defn transactions
  "The transactions with start <= t < end as a lazy sequence. `window` reads those of a range. The first window is small,
  and nothing is read ahead of it: many readers want no more."
  [window start end]
  (letfn [(more [queue at size most]
            (lazy-seq
              (let [[queue at] (filled window queue at end size most)]
                (when-let [oldest (peek queue)]
                  (let [{:keys [ts weight transactions]} @oldest]
                    (concat transactions (more (pop queue) at (size-after ts weight) most-windows)))))))]
    (more PersistentQueue/EMPTY start first-ts 1)))

(defn take-kept
  "The transactions from a t to an end that `ahead` has, or nil; it has them no longer, nor the oldest of too many.
  Each of its items is [[t end] transactions]."
  [ahead start end]
  (let [place [start end]
        without (fn [all] (vec (take-last most-kept (remove #(= place (first %)) all))))
        [before _] (swap-vals! ahead without)]
    (some (fn [[at transactions]] (when (= place at) transactions)) before)))
