(ns asyncrestore.cloudserver.wire
  "Transit as Datomic's clients speak it, and exceptions as anomalies."
  (:require [clojure.string :as str]
            [clojure.walk :as walk]
            [cognitect.transit :as transit])
  (:import (com.cognitect.transit ReadHandler)
           (datomic.core.db Datum)
           (java.io ByteArrayInputStream ByteArrayOutputStream)
           (java.math BigInteger)
           (java.net URI)
           (java.util Date UUID)))

(set! *warn-on-reflection* true)

(def content-type "application/transit+msgpack")

(def ^:private write-handlers
  {Datum (transit/write-handler "datom" (fn [d] [(:e d) (:a d) (:v d) (:tx d) (:added d)]))})

(def ^:private read-handlers
  {"r" (reify ReadHandler (fromRep [_ text] (URI. text)))})

(defn encode ^bytes [value]
  (let [out (ByteArrayOutputStream.)]
    (transit/write (transit/writer out :msgpack {:handlers write-handlers}) value)
    (.toByteArray out)))

(defn decode [^bytes content]
  (transit/read (transit/reader (ByteArrayInputStream. content) :msgpack {:handlers read-handlers})))

(defn- sendable
  "The data of an exception: a value that Transit does not have becomes text."
  [data]
  (walk/postwalk
   #(if (or (nil? %) (coll? %) (instance? Datum %) (string? %) (number? %) (boolean? %) (keyword? %) (symbol? %)
            (instance? UUID %) (instance? Date %) (instance? URI %) (instance? BigInteger %))
      %
      (pr-str %))
   data))

(defn anomaly
  "The anomaly of an exception. With `in-message` all of it is in the message, as older systems send it."
  [^Throwable thrown in-message]
  (let [data (sendable (or (ex-data thrown) {}))
        category (:cognitect.anomalies/category data :cognitect.anomalies/fault)
        text (or (:cognitect.anomalies/message data) (.getMessage thrown) (str thrown))
        error (:db/error data)]
    (if in-message
      {:cognitect.anomalies/category category
       :cognitect.anomalies/message
       (str (when error (str error " ")) text
            (when-let [rest (not-empty (dissoc data :cognitect.anomalies/category :cognitect.anomalies/message :db/error))]
              (str "\n" (pr-str rest))))}
      (assoc data :cognitect.anomalies/category category :cognitect.anomalies/message text))))

(def ^:private statuses
  {:busy 429 :conflict 409 :fault 500 :forbidden 403 :incorrect 400 :not-found 404 :unavailable 503 :unsupported 400})

(defn status
  "The HTTP status of an answer."
  [{category :cognitect.anomalies/category}]
  (if category (statuses (keyword (name category)) 500) 200))

(defn error
  "An exception with an anomaly."
  [category message]
  (ex-info message {:cognitect.anomalies/category (keyword "cognitect.anomalies" (name category))
                    :cognitect.anomalies/message message}))

(defn lower-case
  "The headers of a request as a map, by names in lower case."
  [headers]
  (into {} (map (fn [[name values]] [(str/lower-case name) (first values)])) headers))
