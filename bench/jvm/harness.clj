(ns harness
  "What all JVM-side benchmark programs share, whatever the database: arguments, time and results."
  (:import (org.json.simple JSONValue)))

(defn seconds-since [start-ns]
  (/ (- (System/nanoTime) start-ns) 1e9))

(defn rounded [x]
  (/ (Math/round (* 1000.0 (double x))) 1000.0))

(defn print-json
  "One line of JSON on stdout. The map's keys are keywords."
  [m]
  (println (JSONValue/toJSONString (update-keys m name)))
  (flush))

(defn arguments
  "The command line as a map by `names`. Prints the usage and exits with 2 when their numbers differ."
  [usage names]
  (if (= (count names) (count *command-line-args*))
    (zipmap names *command-line-args*)
    (do (binding [*out* *err*] (println "usage:" usage))
        (System/exit 2))))
