(ns asyncrestore.cloudserver
  "A server of the protocol of Datomic's clients, over Datomic Local in memory: the flavour of Cloud over HTTP, the
  flavour of a peer server over TLS, and a third port through which tests say what goes wrong."
  (:require [asyncrestore.cloudserver.faults :as faults]
            [asyncrestore.cloudserver.keys :as keys]
            [asyncrestore.cloudserver.operations :as operations]
            [asyncrestore.cloudserver.wire :as wire]
            [clojure.string :as str]
            [clojure.walk :as walk]
            [cognitect.hmac-authn :as hmac]
            [cognitect.transit :as transit])
  (:import (com.sun.net.httpserver HttpExchange HttpHandler HttpServer HttpsConfigurator HttpsServer)
           (java.io ByteArrayInputStream ByteArrayOutputStream FileInputStream IOException)
           (java.net InetSocketAddress)
           (java.nio ByteBuffer)
           (java.security KeyStore)
           (java.util.concurrent Executors ScheduledExecutorService ThreadFactory TimeUnit)
           (javax.net.ssl KeyManagerFactory SSLContext))
  (:gen-class))

(set! *warn-on-reflection* true)

(def ^:private daemons
  (reify ThreadFactory (newThread [_ task] (doto (Thread. task) (.setDaemon true)))))

(defn- send-answer [^HttpExchange exchange status type ^bytes body]
  (.set (.getResponseHeaders exchange) "Content-Type" type)
  (.sendResponseHeaders exchange status (if (zero? (alength body)) -1 (alength body)))
  (with-open [out (.getResponseBody exchange)] (.write out body)))

(defn- send-half [^HttpExchange exchange status type ^bytes body]
  (.set (.getResponseHeaders exchange) "Content-Type" type)
  (.sendResponseHeaders exchange status (alength body))
  (doto (.getResponseBody exchange) (.write body 0 (quot (alength body) 2)) (.flush)))

(defn- send-value [exchange value]
  (send-answer exchange (wire/status value) wire/content-type (wire/encode value)))

(defn- send-status
  "What a proxy sends in the place of an answer, or the server's own words for busy and for a fault."
  [exchange status]
  (case (int status)
    429 (send-value exchange (ex-data (wire/error :busy "Busy")))
    500 (send-value exchange (ex-data (wire/error :fault "Server Error")))
    (send-answer exchange status "text/html" (.getBytes (str "<html><body>" status " by a proxy</body></html>") "UTF-8"))))

(defn- create
  "Makes a database and its keys. A request that was sent again waits for both."
  [{:keys [system keys config]} db]
  (locking keys
    (when (operations/create system db)
      (let [made (keys/made (keys/of-database db))]
        (swap! keys merge made)
        (keys/publish-all config made)))
    {}))

(defn- delete
  "Deletes a database and its keys."
  [{:keys [system keys config]} db]
  (locking keys
    (when (operations/delete system db)
      (apply swap! keys dissoc (keys/of-database db))
      (keys/withdraw config (keys/of-database db)))))

(defn- perform
  "Carries out a request after its signature was verified. Returns the answer's body."
  [{:keys [system keys state config] :as server} flavour operation headers ^bytes body]
  (try
    (let [request (wire/decode body)
          db (operations/name-of system request)]
      (keys/verify config @keys flavour operation db
                   {:headers headers :uri (if (= flavour :cloud) "/api" "/") :request-method :post
                    :body (ByteBuffer/wrap body)})
      (case operation
        "create-db" (create server db)
        "delete-db" (do (delete server db) {})
        (let [answer (operations/perform system operation request)]
          (when (= operation "transact") (faults/tell state "commits"))
          answer)))
    (catch Throwable thrown
      (let [anomaly (wire/anomaly thrown (:in-message (:faults @state)))]
        (faults/tell state "anomalies" (name (:cognitect.anomalies/category anomaly)))
        anomaly))))

(defn- pause [ms] (when (pos? (double ms)) (Thread/sleep (long ms) (int (* 1000000 (mod (double ms) 1))))))

(defn- answer
  "Answers a post, with the fault that was chosen for it."
  [{:keys [state system] :as server} flavour ^HttpExchange exchange operation headers body {:keys [fault after-ms]}]
  (let [[stage action status] (faults/known fault)
        late (:late (:faults @state))
        apply-fault (fn [value]
                      (case action
                        :cut nil
                        :cut-body (send-half exchange 200 wire/content-type (wire/encode value))
                        :status (send-status exchange status)
                        :refuse (send-value exchange (ex-data (wire/error :forbidden "Forbidden")))
                        (do (when (= action :late) (pause late))
                            (send-value exchange value))))]
    (when (= action :expire) (operations/expire-tokens system))
    (when (and (= stage :before) (= action :late)) (pause late))
    (cond
      (and (= stage :before) (not (#{:late :expire} action))) (apply-fault nil)
      (> (alength ^bytes body) (long (:largest (:faults @state)))) (send-status exchange 413)
      :else (let [value (perform server flavour operation headers body)]
              (pause after-ms)
              (if (= stage :after) (apply-fault value) (send-value exchange value))))))

(defn- serve [{:keys [state config] :as server} flavour ^HttpExchange exchange]
  (try
    (if (= "GET" (.getRequestMethod exchange))
      (send-answer exchange 200 "text/plain" (.getBytes (pr-str {:s3-auth-path (:bucket config)}) "UTF-8"))
      (let [headers (wire/lower-case (.getRequestHeaders exchange))
            operation (last (str/split (get headers "x-nano-op" "") #"/"))
            body (.readAllBytes (.getRequestBody exchange))
            {:keys [before-ms] :as fate} (faults/arrive state operation)]
        (pause before-ms)
        (answer server flavour exchange operation headers body fate)))
    ;; The client has gone, or this server was stopped meanwhile.
    (catch IOException _)
    (finally (try (.close exchange) (catch IOException _)))))

(defn- tls ^SSLContext [{:keys [keystore password]}]
  (let [password (.toCharArray ^String password)
        store (KeyStore/getInstance "PKCS12")
        factory (KeyManagerFactory/getInstance (KeyManagerFactory/getDefaultAlgorithm))]
    (with-open [in (FileInputStream. ^String keystore)] (.load store in password))
    (.init factory store password)
    (doto (SSLContext/getInstance "TLS") (.init (.getKeyManagers factory) nil nil))))

(defn- listen
  "Starts a server on loopback. Port 0 stands for a free one."
  ^HttpServer [^HttpServer http port handle]
  (doto http
    (.bind (InetSocketAddress. "127.0.0.1" (int port)) 0)
    (.setExecutor (Executors/newCachedThreadPool daemons))
    (.createContext "/" (reify HttpHandler (handle [_ exchange] (handle exchange))))
    (.start)))

(defn- port-of [^HttpServer http] (.getPort (.getAddress http)))

(defn- open
  "Opens the ports of both flavours, on the ports as before."
  [{:keys [config listening] :as server}]
  (let [{:keys [cloud peer-server]} @listening
        https (doto (HttpsServer/create) (.setHttpsConfigurator (HttpsConfigurator. (tls config))))]
    (reset! listening
            {:cloud (listen (HttpServer/create) (if cloud (port-of cloud) 0) #(serve server :cloud %))
             :peer-server (listen https (if peer-server (port-of peer-server) 0) #(serve server :peer-server %))})))

(defn- rotate
  "Makes new keys. The old ones are accepted until all files have the new ones: a client that is refused reads its file
  again, and only once."
  [{:keys [keys config system]}]
  (locking keys
    (let [made (keys/made (keys/scopes (operations/databases system)))]
      (swap! keys #(merge-with into % made))
      (keys/publish-all config made)
      (reset! keys made))))

(def ^:private ^ScheduledExecutorService later (Executors/newScheduledThreadPool 1 daemons))

(defn- restart
  "Closes both ports and all connections, forgets the tokens, makes new keys, and opens the ports again after a while."
  [{:keys [listening system] :as server} down-ms]
  (let [stopped @listening]
    (doseq [http (vals stopped)] (.stop ^HttpServer http 0))
    (operations/expire-tokens system)
    (rotate server)
    (.schedule later ^Runnable #(open server) (long down-ms) TimeUnit/MILLISECONDS)))

(defn- control
  "Carries out a request of the tests. Returns what it is answered with."
  [{:keys [state system] :as server} command message]
  (case command
    "faults" (do (faults/set-faults state message) {})
    "counts" (:counts @state)
    "rotate" (do (rotate server) {})
    "expire" (do (operations/expire-tokens system) {})
    "restart" (do (restart server (get message "down_ms" 0)) {})
    "create" (create server (get message "db"))
    "delete" (do (delete server (get message "db")) {})))

(defn- read-json [content]
  (if (empty? content) {} (transit/read (transit/reader (ByteArrayInputStream. content) :json))))

(defn- json ^bytes [value]
  (let [out (ByteArrayOutputStream.)]
    (transit/write (transit/writer out :json-verbose) value)
    (.toByteArray out)))

(defn- serve-control [server ^HttpExchange exchange]
  (let [[status value]
        (try
          [200 (control server (subs (.getPath (.getRequestURI exchange)) 1)
                        (read-json (.readAllBytes (.getRequestBody exchange))))]
          (catch Throwable thrown [400 {"error" (str thrown)}]))]
    (send-answer exchange status "application/json" (json value))))

(defn- make-server [config]
  (let [system (operations/system)]
    {:config config :system system :state (atom (faults/fresh)) :listening (atom {})
     :keys (let [made (keys/made (keys/scopes []))] (keys/publish-all config made) (atom made))}))

(defn- warm-up
  "Uses what every run needs: the operations of a restore and of a backup."
  []
  (let [server (make-server {:bucket "b" :system "s" :access-key "a" :secret "s"})
        post (fn [operation request]
               (let [body (wire/encode request)
                     signed (hmac/sign {:headers {"content-type" wire/content-type "host" "h"} :uri "/"
                                        :request-method :post :body (ByteBuffer/wrap body)}
                                       {:access-key-id "a" :secret "s" :service "peer-server" :region "none"})]
                 (faults/arrive (:state server) operation)
                 (let [value (perform server :peer-server operation (:headers signed) body)]
                   (when (:cognitect.anomalies/category value) (throw (ex-info (str operation value) value)))
                   (wire/decode (wire/encode value)))))]
    (post "create-db" {:db-name "warm"})
    (let [at (merge (post "resolve-db" {:db-name "warm"}) {:db-name "warm"})
          now #(merge at (select-keys (post "status" at) [:t]))]
      (post "transact" (assoc at :tx-data [{:db/ident :warm/up :db/valueType :db.type/string
                                            :db/cardinality :db.cardinality/one}]))
      (post "tx-range" (assoc (now) :start 0 :chunk 2))
      (post "datoms" (assoc (now) :index :aevt :a :db/ident))
      (post "q" (assoc at :query '[:find ?e :where [?e :db/ident]] :args [(now)] :limit 1))
      (post "pull" (assoc (now) :selector [:db/ident] :eid 0))
      (post "with" (merge at {:tx-data [{:warm/up "x"}]} (select-keys (post "with-db" at) [:next-token]))))))

(defn -main [& [config]]
  (when (= config "warm-up")
    (warm-up)
    (System/exit 0))
  ;; Without it an answer waits for an acknowledgement, up to 40 ms.
  (System/setProperty "sun.net.httpserver.nodelay" "true")
  (let [server (make-server (walk/keywordize-keys (read-json (.getBytes ^String config "UTF-8"))))
        listening (open server)
        control (listen (HttpServer/create) 0 #(serve-control server %))]
    (println (String. (json (-> (update-vals listening port-of) (update-keys name) (assoc "control" (port-of control)))) "UTF-8"))
    (flush)
    ;; The end of stdin is the end of whoever started it.
    (while (not (neg? (.read System/in))))
    (.halt (Runtime/getRuntime) 0)))
