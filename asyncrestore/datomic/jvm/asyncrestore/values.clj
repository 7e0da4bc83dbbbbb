(ns asyncrestore.values
  "Datomic's values on the pipe: a kind (one letter) and an integer or a text, so that nothing is lost on the way.
  Floats and doubles go as their bits, instants as milliseconds, decimals as text with their scale.

    b boolean   l long      r ref      d double    f float    i instant             an integer
    s string    k keyword   y symbol   u uuid      o uri      n bigint   m bigdec   a text
    x bytes (base64 text)   t tuple (a vector of [kind value] or nil)
    c code of a database function (its map as EDN with all metadata; in Datomic Pro only)"
  (:require [clojure.edn :as edn]
            [clojure.string :as str])
  (:import (clojure.lang BigInt Keyword Symbol)
           (java.net URI)
           (java.util Base64 Date UUID)))

(set! *warn-on-reflection* true)

(defn- text
  "A string as it is. One that UTF-8 cannot hold is an error, because it would silently change on the way."
  [^String s]
  (loop [i 0]
    (when (< i (.length s))
      (let [c (.charAt s i)]
        (cond
          (not (Character/isSurrogate c)) (recur (inc i))
          (and (Character/isHighSurrogate c) (< (inc i) (.length s)) (Character/isLowSurrogate (.charAt s (inc i))))
          (recur (+ i 2))
          :else (throw (ex-info (str "A string holds half a character (an unpaired surrogate) at index " i)
                                {:cognitect.anomalies/category :cognitect.anomalies/unsupported}))))))
  s)

(defn- named
  "The text of a keyword or symbol, by which `of` makes it again. A slash in a namespace makes that another one."
  [s of v]
  (when-not (= v (of s))
    (throw (ex-info (str "The namespace or name of " v " holds a slash, so it cannot be read back from its text")
                    {:cognitect.anomalies/category :cognitect.anomalies/unsupported})))
  s)

(defn- function?
  "Is it a database function? Only Pro has them, and their class."
  [v]
  (= "datomic.function.Function" (.getName (class v))))

(defn- edn-text
  "A value as EDN with all its metadata. Equal values have one text: maps and sets are in the order of their texts."
  [v]
  (let [all #(str/join %1 (map edn-text %2))]
    (str (when-let [m (not-empty (meta v))] (str "^" (edn-text m) " "))
         (cond
           (map? v) (str "{" (str/join ", " (sort (map #(all " " %) v))) "}")
           (set? v) (str "#{" (str/join " " (sort (map edn-text v))) "}")
           (vector? v) (str "[" (all " " v) "]")
           (seq? v) (str "(" (all " " v) ")")
           :else (binding [*print-length* nil *print-level* nil *print-dup* false *print-readably* true] (pr-str v))))))

(defn- written
  "The text of a database function. What it keeps in this process, and no database on disk, is not in it."
  [f]
  (str (when-let [m (not-empty (meta f))] (str "^" (edn-text m) " "))
       "{" (str/join ", " (map #(str % " " (edn-text (get f %))) [:lang :imports :requires :params :code])) "}"))

(defn- read-function
  "The database function of a text. An engine without functions has no attribute for them either: it refuses the text,
  and says where."
  [s]
  (if-let [function (resolve 'datomic.api/function)]
    (let [fields (edn/read-string s)]
      (with-meta (function fields) (meta fields)))
    s))

(defn- function-text
  "The text by which `read-function` makes a database function again, metadata and all."
  [f]
  (let [s (written f)
        content #(dissoc (into {} %) :fnref)
        again (try (read-function s) (catch Exception _ nil))]
    (when-not (and (= (content f) (content again)) (= s (written again)))
      (throw (ex-info (str "The database function with the parameters " (:params f) " has parts that EDN cannot hold")
                      {:cognitect.anomalies/category :cognitect.anomalies/unsupported})))
    s))

(defn kind
  "The letter of a value; `ref?` distinguishes a reference from a long."
  ^Character [v ref?]
  (condp instance? v
    String \s
    Long (if ref? \r \l)
    ;; A database in memory keeps what a function gave it.
    Integer \l
    Short \l
    Byte \l
    Keyword \k
    UUID \u
    Boolean \b
    Date \i
    Double \d
    Float \f
    BigDecimal \m
    BigInteger \n
    BigInt \n
    URI \o
    Symbol \y
    java.util.List \t
    (cond
      (bytes? v) \x
      (function? v) \c
      :else (throw (ex-info (str "No kind for a value of " (class v))
                            {:cognitect.anomalies/category :cognitect.anomalies/unsupported})))))

(defn number
  "The integer of a value, if its kind has one."
  ^long [^Character kind v]
  (case (char kind)
    (\l \r) (long v)
    \b (if (.booleanValue ^Boolean v) 1 0)
    \i (.getTime ^Date v)
    \d (Double/doubleToRawLongBits (double v))
    \f (long (Float/floatToRawIntBits (float v)))))

(defn numeric? [^Character kind]
  (case (char kind) (\l \r \b \i \d \f) true false))

(declare encode)

(defn payload
  "The text of a value, if its kind has one; of a tuple the vector of its slots. For a tuple `ref?` is a vector that
  says which slots are references."
  [^Character kind v ref?]
  (case (char kind)
    \s (text v)
    \k (text (named (subs (str v) 1) keyword v))
    \y (text (named (str v) symbol v))
    (\u \o \n \m) (text (str v))
    \x (.encodeToString (Base64/getEncoder) ^bytes v)
    \c (text (function-text v))
    \t (vec (map-indexed (fn [i slot] (when (some? slot) (encode slot (and (vector? ref?) (nth ref? i false))))) v))))

(defn encode
  "A value as [kind integer-or-text]."
  [v ref?]
  (let [k (kind v ref?)]
    [(str k) (if (numeric? k) (number k v) (payload k v ref?))]))

(defn decode
  "The value for a kind and its integer or text. A reference stays what it is: an entity id, tempid, ident or lookup ref."
  [^String kind raw]
  (case (.charAt kind 0)
    (\r \s) raw
    \l (long raw)
    \b (== 1 (long raw))
    \i (Date. (long raw))
    \d (Double/longBitsToDouble (long raw))
    \f (Float/intBitsToFloat (int raw))
    \k (keyword raw)
    \y (symbol raw)
    \u (UUID/fromString raw)
    \o (URI. raw)
    \n (BigInteger. ^String raw)
    \m (BigDecimal. ^String raw)
    \x (.decode (Base64/getDecoder) ^String raw)
    \c (read-function raw)
    \t (mapv (fn [slot] (when slot (decode (nth slot 0) (nth slot 1)))) raw)))
