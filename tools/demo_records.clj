(ns demo-records
  "The demo's records, chosen out of MusicBrainz, and the mistakes with which they are first entered.
  Chance depends on the records' own ids alone, so the same input makes the same."
  (:require [clojure.edn :as edn]
            [clojure.java.io :as io]
            [clojure.string :as str])
  (:import (java.io PushbackReader)
           (java.text Normalizer Normalizer$Form)
           (java.util SplittableRandom UUID)
           (java.util.zip GZIPInputStream)))

(def artist-count 320)
(def releases-of-an-artist 3)
(def releases-of-featured 40)
(def featured "Pink Floyd, whose entries tell the story of README.md." #uuid "83d91898-7763-47d7-b03b-b92132375c47")

;;; Choosing records

(defn records [dir file]
  (with-open [in (-> (io/file dir (str file ".edn.gz")) io/input-stream GZIPInputStream. io/reader PushbackReader.)]
    (into [] (comp (take-while some?) (mapcat :data)) (repeatedly #(edn/read {:eof nil} in)))))

(defn by-gid
  "Records by gid. Some releases occur once for each of their labels: `many` gathers the gids that `attr` refers to."
  [gid many ref-gid maps]
  (reduce (fn [found record]
            (let [refs (into (get-in found [(gid record) many] #{}) (keep ref-gid) [(many record)])]
              (update found (gid record) #(cond-> (merge record %) (seq refs) (assoc many refs)))))
          {} maps))

(defn gids-of
  "For each release or abstract release, the gids of its artists."
  [gid artists maps]
  (reduce (fn [found record] (update found (gid record) (fnil conj #{}) (-> record artists :artist/gid))) {} maps))

(defn choose-releases [releases artist-gids]
  (let [credited (filter #(every? (set artist-gids) (:release/artists %)) releases)
        by-first (group-by (comp first sort :release/artists) credited)]
    (into [] (mapcat (fn [gid]
                       (take (if (= gid featured) releases-of-featured releases-of-an-artist)
                             (sort-by (juxt (comp count :release/labels) :release/gid) (by-first gid)))))
          artist-gids)))

(defn choose
  "The artists with most releases of which the main facts are known, and what belongs to them."
  [dir]
  (let [artists-of   (gids-of :release/gid :release/artists (records dir "releases-artists"))
        makers-of    (gids-of :abstractRelease/gid :abstractRelease/artists (records dir "areleases-artists"))
        releases     (for [r (vals (by-gid :release/gid :release/labels :label/gid (records dir "releases")))
                           :when (artists-of (:release/gid r))]
                       (assoc r :release/artists (artists-of (:release/gid r))))
        fame         (frequencies (mapcat :release/artists releases))
        artists      (->> (records dir "artists")
                          (filter #(and (:artist/country %) (:artist/startYear %) (:artist/type %)))
                          (sort-by (juxt #(- (fame (:artist/gid %) 0)) :artist/gid))
                          (take artist-count))
        chosen       (choose-releases releases (map :artist/gid artists))
        titles       (set (for [r chosen, a (:release/artists r)] [a (str/lower-case (:release/name r))]))
        label-gids   (into #{} (mapcat :release/labels) chosen)
        known        (set (map :artist/gid artists))]
    {:artists   (vec artists)
     :releases  chosen
     :labels    (filterv (comp label-gids :label/gid) (records dir "labels"))
     :abstracts (vec (for [{:abstractRelease/keys [gid name] :as a} (records dir "areleases")
                           :let [makers (makers-of gid)]
                           :when (and (seq makers) (every? known makers)
                                      (some #(titles [% (str/lower-case name)]) makers))]
                       (assoc a :abstractRelease/artists makers)))
     :schema    (records dir "schema")
     :enums     (records dir "enums")
     :places    (records dir "super-enums")}))

;;; Chance without state

(defn dice
  "A number in [0, 1) that depends on the record and the question alone."
  [^UUID gid question]
  (.nextDouble (SplittableRandom. (bit-xor (.getLeastSignificantBits gid) (* 0x9E3779B1 (hash question))))))

(defn chance? [p gid question] (< (dice gid question) p))
(defn between [low high gid question] (+ low (* (- high low) (dice gid question))))
(defn invented-gid [text] (UUID/nameUUIDFromBytes (.getBytes ^String text "UTF-8")))

;;; Texts

(defn without-accents [s] (str/replace (Normalizer/normalize s Normalizer$Form/NFD) #"\p{M}+" ""))
(defn without-article [s] (str/replace s #"^The " ""))

(defn slug [{:artist/keys [name sortName]}]
  (let [ascii #(-> % without-accents str/lower-case (str/replace #"[^a-z0-9]+" "-") (str/replace #"^-|-$" ""))
        short (ascii name)]
    (if (< (count short) 2) (ascii sortName) short)))

(defn in-words [attr] (str/lower-case (str/replace (name attr) #"([a-z])([A-Z])" "$1 $2")))

;;; Mistakes: what was entered first instead of the truth; nil is what was left out

(defn off-by-one [year gid] (if (chance? 0.5 gid "direction") (inc year) (dec year)))
(defn other-country [country] (if (= country :country/US) :country/GB :country/US))

(defn country-mistake [attr country gid]
  (cond (nil? country)                  {}
        (chance? 0.10 gid "no country") {attr nil}
        (chance? 0.07 gid "country")    {attr (other-country country)}
        :else                           {}))

(defn artist-mistakes [{:artist/keys [gid name sortName type startYear endYear country]}]
  (if (= gid featured)
    {:artist/name      "The Pink Floyd" :artist/sortName "Pink Floyd, The"
     :artist/startYear 1965             :artist/country  :country/US}
    (cond-> (country-mistake :artist/country country gid)
      (and (not= name sortName) (chance? 0.5 gid "sort name"))             (assoc :artist/sortName name)
      (and (not= name (without-accents name)) (chance? 0.6 gid "accents")) (assoc :artist/name (without-accents name))
      (chance? 0.15 gid "start")                                           (assoc :artist/startYear
                                                                                  (off-by-one startYear gid))
      (and endYear (chance? 0.4 gid "end"))                                (assoc :artist/endYear nil)
      (chance? 0.08 gid "type")                                            (assoc :artist/type nil)
      ;; Said of the singer, entered for the band.
      (and (= type :artist.type/group) (chance? 0.08 gid "gender"))
      (assoc :artist/gender :artist.gender/male))))

(defn label-mistakes [{:label/keys [gid name country startYear endYear]}]
  (cond-> (country-mistake :label/country country gid)
    (and startYear (chance? 0.2 gid "start"))                            (assoc :label/startYear
                                                                                (off-by-one startYear gid))
    (and endYear (chance? 0.5 gid "end"))                                (assoc :label/endYear nil)
    (and (not= name (without-accents name)) (chance? 0.6 gid "accents")) (assoc :label/name (without-accents name))))

(defn release-mistakes [{:release/keys [gid name year month country language labels artistCredit]}]
  (cond-> (country-mistake :release/country country gid)
    (and (not= name (without-accents name)) (chance? 0.5 gid "accents")) (assoc :release/name (without-accents name))
    (and (not= name (str/capitalize name)) (chance? 0.08 gid "case"))    (assoc :release/name (str/capitalize name))
    (chance? 0.10 gid "year")                                            (assoc :release/year (off-by-one year gid))
    (and language (not= language :language/eng) (chance? 0.15 gid "language"))
    (assoc :release/language :language/eng)
    (and labels (chance? 0.10 gid "labels"))                             (assoc :release/labels nil)
    (and (str/starts-with? artistCredit "The ") (chance? 0.2 gid "credit"))
    (assoc :release/artistCredit (without-article artistCredit))
    (and month (chance? 0.4 gid "month"))                                (assoc :release/month nil :release/day nil)
    ;; Forms that want a full date make people enter the first of January.
    (and (nil? month) (chance? 0.06 gid "january"))                      (assoc :release/month 1 :release/day 1)))

;;; Records as transaction data

(def ref-gids {:release/labels :label/gid, :release/artists :artist/gid, :abstractRelease/artists :artist/gid})

(defn value
  "A record's value as Datomic takes it: gids of other records become lookup refs."
  [attr v]
  (if-let [unique (ref-gids attr)] (mapv #(vector unique %) (sort v)) v))

(defn entity [record]
  (into (sorted-map) (for [[attr v] record :when (and (some? v) (not= v #{}))] [attr (value attr v)])))

(defn correction [subject attr wrong right]
  (cond (nil? right) [[:db/retract subject attr wrong]]
        (set? right) (mapv #(vector :db/add subject attr %) (value attr right))
        :else        [[:db/add subject attr right]]))

(defn correction-note [attr wrong right]
  (str (cond (nil? wrong) "Added the missing " (nil? right) "Removed an unfounded " :else "Corrected the ")
       (in-words attr)))
