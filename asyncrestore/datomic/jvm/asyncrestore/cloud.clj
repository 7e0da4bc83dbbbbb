(ns asyncrestore.cloud
  "Datomic Cloud: all that is specific to it."
  (:require [asyncrestore.bridge :as bridge]
            [asyncrestore.remote :as remote]
            [asyncrestore.requests :as requests]
            [clojure.string :as str]
            [cognitect.s3-creds.store :as store]
            [datomic.client.api.async :as d]
            [datomic.client.impl.cloud :as cloud])
  (:import (com.amazonaws SdkClientException)
           (com.amazonaws.auth AWSStaticCredentialsProvider BasicAWSCredentials)
           (com.amazonaws.client.builder AwsClientBuilder$EndpointConfiguration)
           (com.amazonaws.services.s3 AmazonS3ClientBuilder))
  (:gen-class))

(set! *warn-on-reflection* true)

(def ^:private clients (atom {}))

(defn- unconnected
  "The exception for one by which a client could not be made. Its data, which holds the configuration, is left out."
  [{:strs [region endpoint proxy-port]} ^Throwable thrown]
  (let [data (ex-data thrown)
        where (str "The endpoint " endpoint (when proxy-port (str ", through the SOCKS proxy at localhost:" proxy-port ",")))
        reason (:cognitect.anomalies/message data)]
    (cond
      (instance? SdkClientException thrown)
      (remote/error "incorrect" "region" (str "AWS has no region " region ": " (ex-message thrown)))
      (= :cognitect.anomalies/not-found (:cognitect.anomalies/category data))
      (remote/error "unavailable" "endpoint-unresolved" (str where " has a host that is not known here: " reason))
      (:cognitect.anomalies/category data)
      (let [{:keys [db/error] :cognitect.anomalies/keys [message]} (requests/explained data)]
        (remote/error "unavailable" (if error (name error) "endpoint-unreachable") (str where " cannot be reached: " message)))
      :else
      (remote/error "incorrect" "not-datomic" (str where " is not one of Datomic Cloud: something else answers")))))

(defn- client-of
  "The one client for a system and the way to it."
  [{:strs [system region endpoint profile proxy-port] :as place}]
  (let [config (cond-> (merge remote/client-options
                              {:server-type :cloud :region region :system system :endpoint endpoint})
                 (not (str/blank? profile)) (assoc :creds-profile profile)
                 proxy-port (assoc :proxy-port (parse-long proxy-port)))]
    (locking clients
      (or (get @clients config)
          (let [client (try (cloud/create-client config) (catch Exception e (throw (unconnected place e))))]
            (swap! clients assoc config client)
            client)))))

(defn- open [{:strs [system] :as place}]
  (remote/open (client-of place)
               {:where (str "The system " system) :refused "system-refuses" :unreachable "endpoint-unreachable"} place
               (fn [client db] (requests/ask #(d/create-database client {:db-name db})))))

(defn- refused-key-file
  "Uses what reads a key file, where nobody answers."
  []
  (let [s3 (-> (AmazonS3ClientBuilder/standard)
               (.withEndpointConfiguration (AwsClientBuilder$EndpointConfiguration. "http://127.0.0.1:1" "us-east-1"))
               (.withCredentials (AWSStaticCredentialsProvider. (BasicAWSCredentials. "warm-up" "warm-up"))))]
    (store/get-val (.build ^AmazonS3ClientBuilder s3) "s3://warm-up/up")))

(def ^:private engine
  {:open open :databases (comp remote/databases client-of) :release (constantly nil)
   :scratch #(do (refused-key-file) (remote/scratch))})

(defn- warm-up [] (bridge/warm-up engine))

(defn -main [& [argument]] (bridge/main engine argument))
