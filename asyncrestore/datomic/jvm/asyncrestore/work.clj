(ns asyncrestore.work
  "Signs of work. As long as a request is under way, Python is told once a second whether anything works at it, and how far
  it is, if the engine says so: [id \"working\" [works? percent-or-nil]].

  That this process can tell proves nothing, for a request may wait for what never comes. The sign of work is processor
  time within that second: of the thread that answers the request, or more of any other, for an engine lets threads of
  its own work for the one that waits. In an idle engine no thread took more than 0.7 ms in any second of 90."
  (:require [asyncrestore.frames :as frames])
  (:import (java.lang.management ManagementFactory ThreadMXBean)
           (java.util Map)
           (java.util.concurrent ConcurrentHashMap)))

(set! *warn-on-reflection* true)

(def ^:private interval-ms 1000)
(def ^:private own-ns 1000000)
(def ^:private other-ns 10000000)

(def ^:private ^Map under-way
  "Each request under way by its number: {:thread (atom id-or-nil) :percent (atom number-or-nil)}."
  (ConcurrentHashMap.))

(def ^:private ^:dynamic *request* nil)

(defn begin
  "Notes that a request has come. It may have to wait for a thread."
  [id]
  (.put under-way id {:thread (atom nil) :percent (atom nil)}))

(defn run
  "Calls `f` on this thread, for a request that has begun."
  [id f]
  (let [{:keys [thread] :as request} (.get under-way id)]
    (reset! thread (.getId (Thread/currentThread)))
    (try
      (binding [*request* request] (f))
      (finally (reset! thread nil)))))

(defn end
  "Notes that a request has its answer."
  [id]
  (.remove under-way id))

(defn percent
  "Says how far the request is that this thread works at."
  [n]
  (some-> *request* :percent (reset! n)))

(defn- spent
  "Processor time of each thread so far, in ns, by its id."
  [^ThreadMXBean threads]
  (into {} (map (fn [id] [id (.getThreadCpuTime threads (long id))])) (.getAllThreadIds threads)))

(defn- grown
  "What each thread has spent since `before`."
  [before now]
  (into {} (map (fn [[id ns]] [id (- (long ns) (long (get before id 0)))])) now))

(defn- report [out ns-by-thread]
  (let [busy (<= (long other-ns) (long (reduce max 0 (vals ns-by-thread))))]
    (doseq [[id {:keys [thread percent]}] (into {} under-way)]
      (let [own (long (get ns-by-thread @thread 0))]
        (frames/write-frame out [id "working" [(or busy (<= (long own-ns) own)) @percent]])))))

(defn start
  "Reports for as long as this process lives."
  [out]
  (let [threads (ManagementFactory/getThreadMXBean)
        reports (fn []
                  (let [own (.getId (Thread/currentThread))]
                    (loop [before (spent threads)]
                      (Thread/sleep (long interval-ms))
                      (let [now (spent threads)]
                        (report out (dissoc (grown before now) own))
                        (recur now)))))]
    (doto (Thread. ^Runnable reports "reports") (.setDaemon true) (.start))))
