(ns asyncrestore.peer-server
  "A peer server of Datomic Pro: all that is specific to it."
  (:require [asyncrestore.bridge :as bridge]
            [asyncrestore.remote :as remote]
            [clojure.string :as str]
            [datomic.client.impl.pro :as pro])
  (:import (java.io IOException)
           (java.net InetSocketAddress Socket UnknownHostException))
  (:gen-class))

(set! *warn-on-reflection* true)

(defn- certificates
  "The certificates in a file, each as PEM text."
  [file]
  (let [found (try
                (re-seq #"(?s)-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----" (slurp file))
                (catch IOException e
                  (throw (remote/error "incorrect" "trust-certs"
                                (str "The file of trust-certs cannot be read: " (ex-message e))))))]
    (or found
        (throw (remote/error "incorrect" "trust-certs"
                      (str "The file " file " of trust-certs has no certificate in it"))))))

(def ^:private clients (atom {}))

(defn- client-of
  "The one client for a server and the way to it."
  [{:strs [endpoint access-key secret trust-certs validate-hostnames]}]
  (when (some str/blank? [access-key secret])
    (throw (remote/error "forbidden" "no-keys"
                  (str "No access key and secret for the peer server at " endpoint " are set"))))
  (let [config (cond-> (merge remote/client-options
                              {:server-type :peer-server :endpoint endpoint :access-key access-key :secret secret
                               :validate-hostnames (not= "false" validate-hostnames)})
                 trust-certs (assoc :trust-certs (vec (certificates trust-certs))))]
    (locking clients
      (or (get @clients config)
          (let [client (try
                         (pro/create-client config)
                         (catch Exception e
                           ;; Its data has the secret.
                           (throw (remote/error "incorrect" "trust-certs"
                                         (str "No client of the peer server at " endpoint " can be made: "
                                              (.getSimpleName (class e)) ": "
                                              (if (ex-data e) "its configuration is not valid" (ex-message e)))))))]
            (swap! clients assoc config client)
            client)))))

(def ^:private probe-ms 5000)

(defn- probe
  "Throws if nothing listens at the endpoint. The client would try for as long as it may."
  [endpoint where]
  (let [[host port] (str/split endpoint #":")]
    (try
      (with-open [socket (Socket.)]
        (.connect socket (InetSocketAddress. ^String host (int (parse-long port))) (int probe-ms)))
      (catch UnknownHostException _
        (throw (remote/error "unavailable" "server-unreachable" (str where " has a host that is not known here"))))
      (catch IOException e
        (throw (remote/error "unavailable" "server-unreachable" (str where " cannot be reached: " (ex-message e))))))))

(defn- open [{:strs [endpoint] :as place}]
  (let [client (client-of place)
        where (str "The peer server at " endpoint)]
    (probe endpoint where)
    (remote/open client {:where where :refused "keys-refused" :unreachable "server-unreachable"} place
                 (fn [_ db]
                   (throw (remote/error "not-found" "not-served" (str where " has no database " db ", and cannot make one")))))))

(def ^:private engine
  {:open open :databases (comp remote/databases client-of) :release (constantly nil) :scratch remote/scratch})

(defn- warm-up [] (bridge/warm-up engine))

(defn -main [& [argument]] (bridge/main engine argument))
