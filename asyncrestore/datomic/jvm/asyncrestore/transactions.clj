(ns asyncrestore.transactions
  "Makes transaction data from the columns in which it crosses the pipe (entity positions: asyncrestore/model/positions.py)."
  (:require [asyncrestore.frames :as frames]
            [asyncrestore.values :as values])
  (:import (java.util ArrayList Iterator List Map)))

(set! *warn-on-reflection* true)

(def ^:private original-id :asyncrestore/original-id)

(defn- idents
  "Keywords by position. Tens of them occur, again and again."
  ^Map [names]
  (into {} (map (fn [[position name]] [position (keyword name)])) names))

(defn- position
  "What Datomic accepts for an entity position; `entity` is called with an entity id."
  [^Map idents entity ^long p]
  (cond
    (>= p 4611686018427387904) (Long/toString (- p 4611686018427387904))
    (>= p 0) (entity p)
    (== p Long/MIN_VALUE) "datomic.tx"
    (< p -4611686018427387905) (.get idents p)
    :else [original-id (bit-not p)]))

(defn- slots [tuple at]
  (mapv (fn [[kind raw :as slot]]
          (when slot
            (if (= kind "r") (at (long raw)) (values/decode kind raw))))
        tuple))

(defn- value [^Character kind ^long number ^Iterator texts at]
  (case (char kind)
    \r (at number)
    \l number
    (\b \d \f \i) (values/decode (str kind) number)
    \s (.next texts)
    \t (slots (.next texts) at)
    (values/decode (str kind) (.next texts))))

(defn- decode-into
  "Adds each transaction of the columns to `batch`."
  [^ArrayList batch [sizes entities attributes ^String kinds numbers ^List texts swaps names] entity]
  (let [sizes (frames/unpack sizes)
        es (frames/unpack entities) as (frames/unpack attributes) ns (frames/unpack numbers)
        swaps (frames/unpack swaps)
        names (idents names)
        at (fn [p] (position names entity p))
        texts (.iterator texts)]
    (loop [t 0 op 0 swap 0]
      (when (< t (alength sizes))
        (let [adds (aget sizes t)
              end (+ op adds (aget sizes (+ t 1)))
              swapping (aget sizes (+ t 2))
              data (ArrayList. (int (+ (- end op) swapping)))]
          (loop [i op]
            (when (< i end)
              (.add data [(if (< (- i op) adds) :db/add :db/retract)
                          (at (aget es i)) (at (aget as i))
                          (value (.charAt kinds (int i)) (aget ns i) texts at)])
              (recur (inc i))))
          (when (== swapping 1)
            (.add data [:db/cas (at (aget swaps swap)) (at (aget swaps (+ swap 1))) nil (aget swaps (+ swap 2))]))
          (.add batch data)
          (recur (+ t 3) (long end) (+ swap (* 3 swapping))))))))

(defn decode
  "A batch from its columns: {:batch [transaction-data ..]}. It has a :failure, and ends before it, if a transaction has
  a value that Java cannot hold. `entity` is called with each entity id."
  ([columns] (decode columns identity))
  ([columns entity]
   (let [batch (ArrayList.)
         failure (try (decode-into batch columns entity) nil (catch Exception e e))]
     {:batch (vec batch) :failure failure})))
