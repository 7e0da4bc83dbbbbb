(ns asyncrestore.frames
  "Frames on a pipe: four bytes of length, big-endian, then one value in Transit (MessagePack).
  Columns of numbers travel as base64 text of little-endian longs: one string costs far less than one number at a time."
  (:require [cognitect.transit :as transit])
  (:import (java.io ByteArrayInputStream ByteArrayOutputStream DataInputStream DataOutputStream EOFException)
           (java.nio ByteBuffer ByteOrder)
           (java.util Base64)))

(set! *warn-on-reflection* true)

(def ^:private max-frame
  "Larger frames are taken for a broken stream: no real one comes near this size."
  (* 1024 1024 1024))

(defn decode [^bytes frame]
  (transit/read (transit/reader (ByteArrayInputStream. frame) :msgpack)))

(defn encode ^bytes [value]
  (let [out (ByteArrayOutputStream. 4096)]
    (transit/write (transit/writer out :msgpack) value)
    (.toByteArray out)))

(defn read-frame
  "The value of the next frame; nil at the end of the stream, even inside a frame: the other side is gone."
  [^DataInputStream in]
  (try
    (let [size (.readInt in)]
      (when-not (<= 0 size (long max-frame))
        (throw (ex-info (str "Not a frame: length " size) {})))
      (let [frame (byte-array size)]
        (.readFully in frame)
        (decode frame)))
    (catch EOFException _ nil)))

(defn write-frame [^DataOutputStream out value]
  (let [frame (encode value)]
    (locking out
      (.writeInt out (alength frame))
      (.write out frame)
      (.flush out))))

(defn pack
  "Longs as base64 text."
  ^String [^longs numbers]
  (let [buffer (.order (ByteBuffer/allocate (* 8 (alength numbers))) ByteOrder/LITTLE_ENDIAN)]
    (.put (.asLongBuffer buffer) numbers)
    (.encodeToString (Base64/getEncoder) (.array buffer))))

(defn unpack
  "Base64 text as longs."
  ^longs [^String text]
  (let [bytes (.decode (Base64/getDecoder) text)
        numbers (long-array (quot (alength bytes) 8))]
    (.get (.asLongBuffer (.order (ByteBuffer/wrap bytes) ByteOrder/LITTLE_ENDIAN)) numbers)
    numbers))
