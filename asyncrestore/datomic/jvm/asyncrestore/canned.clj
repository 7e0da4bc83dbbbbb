(ns asyncrestore.canned
  "A server on loopback with fixed answers, for the warm-up of engines that have no databases of their own."
  (:require [asyncrestore.frames :as frames]
            [clojure.string :as str]
            [cognitect.transit :as transit]
            [datomic.client.impl.shared :as shared]
            [datomic.client.impl.shared.spi :as spi])
  (:import (java.io DataInputStream InputStream)
           (java.net InetAddress ServerSocket Socket)))

(set! *warn-on-reflection* true)

(def ^:private answers
  (let [state {:t 1 :next-t 2}
        written {:tx-data [(transit/tagged-value "datom" [0 0 0 13194139533313 true])] :db-before state :db-after state :tempids {"0" 1}}]
    {"resolve-db" {:database-id "warm-up"} "status" state "with-db" state "transact" written}))

(defn- line [^InputStream in]
  (let [text (StringBuilder.)]
    (loop []
      (let [c (.read in)]
        (when-not (#{-1 10} c)
          (.append text (char c))
          (recur))))
    (str/trim (str text))))

(defn- serve [^Socket socket]
  (let [in (DataInputStream. (.getInputStream socket))
        out (.getOutputStream socket)]
    (while (not (str/blank? (line in)))
      (let [headers (into {} (comp (take-while (complement str/blank?)) (map #(str/split % #": *" 2))) (repeatedly #(line in)))
            header (fn [k] (some (fn [[name v]] (when (= k (str/lower-case name)) v)) headers))]
        (.readFully in (byte-array (parse-long (or (header "content-length") "0"))))
        (let [operation (last (str/split (header "x-nano-op") #"/"))
              body (frames/encode (get answers operation {:data []}))]
          (.write out (.getBytes (str "HTTP/1.1 200 OK\r\ncontent-type: application/transit+msgpack\r\ncontent-length: "
                                      (alength body) "\r\n\r\n")))
          (.write out body)
          (.flush out))))))

(defn- start
  "Serves until this process ends. Returns the port."
  []
  (let [server (ServerSocket. 0 50 (InetAddress/getLoopbackAddress))
        run #(doto (Thread. ^Runnable %) (.setDaemon true) (.start))]
    (run (fn [] (while true (let [socket (.accept server)] (run #(serve socket))))))
    (.getLocalPort server)))

(defn client
  "A client of such a server. It signs and sends as those of Cloud and the peer server do."
  [options]
  (let [route {:headers {"host" "localhost"} :scheme "http" :server-name "localhost" :server-port (start) :uri "/api"}
        key {:service "datomic" :region "none" :access-key-id "warm-up" :secret "warm-up"}]
    (shared/create-client (reify spi/Spi
                            (-add-routing [_ request] (merge-with merge request route))
                            (-get-sign-params [_ _ _] key)
                            (-refresh-sign-params [_ _ _] (throw (IllegalStateException. "The key is there"))))
                          (shared/create-http-client options))))
