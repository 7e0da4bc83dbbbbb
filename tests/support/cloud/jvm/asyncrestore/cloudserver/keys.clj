(ns asyncrestore.cloudserver.keys
  "The keys with which clients sign: made here, put into a bucket as the files that Cloud's clients read, verified."
  (:require [asyncrestore.cloudserver.wire :as wire]
            [cognitect.hmac-authn :as hmac]
            [cognitect.transit :as transit])
  (:import (java.io ByteArrayOutputStream)
           (java.net URI)
           (java.net.http HttpClient HttpRequest HttpRequest$BodyPublishers HttpResponse HttpResponse$BodyHandlers)
           (java.time Duration)
           (java.util Date UUID)))

(set! *warn-on-reflection* true)

(def ^:private reads
  #{"datoms" "db-stats" "index-pull" "index-range" "next" "pull" "q" "resolve-db" "status" "tx-range"
    "with" "with-db"})

(defn scope
  "The directory of the key that an operation needs."
  [operation db]
  (case operation
    "list-dbs" "dbs/catalog/read"
    ("create-db" "delete-db" "administer-system") "admin"
    "transact" (str "dbs/db/" db)
    (when (reads operation) (str "dbs/db/" db "/read"))))

(defn of-database
  "The directories of a database's keys."
  [db]
  [(scope "transact" db) (scope "q" db)])

(defn scopes
  "The directories of all keys of a system with these databases."
  [dbs]
  (into ["admin" "dbs/catalog/read"] (mapcat of-database) dbs))

(def ^:private http (delay (HttpClient/newHttpClient)))

(defn- request-s3 [{:keys [s3 bucket system]} scope method publisher]
  (let [request (-> (HttpRequest/newBuilder (URI. (str s3 "/" bucket "/" system "/datomic/access/" scope "/.keys")))
                    (.timeout (Duration/ofSeconds 20))
                    ;; The bucket is private, and its server checks no signatures.
                    (.header "Authorization" "AWS4-HMAC-SHA256 Credential=server/20200101/us-east-1/s3/aws4_request")
                    (.method method publisher)
                    (.build))
        ^HttpResponse answer (.send ^HttpClient @http request (HttpResponse$BodyHandlers/ofString))]
    (when-not (< (.statusCode answer) 300)
      (throw (ex-info (str method " of a key file: " (.statusCode answer) " " (.body answer)) {})))))

(defn- publish [config scope key]
  (let [out (ByteArrayOutputStream.)]
    (transit/write (transit/writer out :json-verbose) {:current key})
    (request-s3 config scope "PUT" (HttpRequest$BodyPublishers/ofByteArray (.toByteArray out)))))

(defn made
  "A new key for each of the directories: by directory, the keys that are accepted."
  [directories]
  (into {} (map (fn [scope] [scope [{:key-name (str (UUID/randomUUID)) :secret (str (UUID/randomUUID)) :created (Date.)}]]))
        directories))

(defn publish-all
  "Writes the key files."
  [config keys]
  (when (:s3 config)
    (doseq [[scope accepted] keys] (publish config scope (peek accepted)))))

(defn withdraw [config directories]
  (when (:s3 config)
    (doseq [scope directories] (request-s3 config scope "DELETE" (HttpRequest$BodyPublishers/noBody)))))

(defn- expected
  "What a request may be signed with: for each key that allows the operation."
  [{:keys [bucket system region access-key secret]} keys flavour operation db]
  (if (= flavour :peer-server)
    [{:access-key-id access-key :secret secret :service "peer-server" :region "none"}]
    (let [scope (scope operation db)]
      (for [key (get keys scope)]
        {:access-key-id (str "s3://" bucket "/" system "/datomic/access/" scope "/" (:key-name key))
         :secret (:secret key) :service "datomic" :region region}))))

(defn verify
  "Throws an anomaly unless the request is signed with a key of its operation and database."
  [config keys flavour operation db request]
  (let [accepted (expected config keys flavour operation db)
        failure (cond
                  (empty? accepted) (str "no key for " operation " of " db)
                  (not (hmac/signed? request)) "not signed"
                  :else (let [failures (map #(hmac/verify-failure request %) accepted)]
                          (when (every? some? failures) (first failures))))]
    (when failure (throw (wire/error :forbidden (str "Forbidden: " failure))))))
