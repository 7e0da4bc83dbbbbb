(ns make-demo-data
  "Writes the demo's source history: a part of MusicBrainz with the edits of an imagined catalogue's editors over it.

  java -cp 'JARS/*:tools' clojure.main tools/make_demo_data.clj MBRAINZ-DIR OUTPUT.edn.gz

  Each record is entered at some day, often with a mistake derived from its true values, and corrected later. Every
  transaction is made in a database in memory first, so each one written is known to work, and later edits can be
  derived from what the catalogue held at the time. At the end all records must equal MusicBrainz again.
  No clock and no random state: the same input makes the same transactions."
  (:require [clojure.java.io :as io]
            [clojure.set :as set]
            [clojure.string :as str]
            [datomic.client.api :as d]
            [demo-records :refer [artist-mistakes between chance? choose correction correction-note entity featured
                                  invented-gid label-mistakes records ref-gids release-mistakes slug without-accents
                                  without-article]])
  (:import (java.util Date SplittableRandom)
           (java.util.zip GZIPOutputStream)))

(def first-day-ms (inst-ms #inst "2009-01-05"))
(def day-ms 86400000)

;; Days on which the catalogue's schema grew.
(def page-day 120)
(def slug-day 200)
(def alias-day 220)
(def abstract-day 260)
(def composite-day 300)
(def tuple-day 340)
(def merge-day 390)
(def review-day 460)


;;; Events: {:day .. :note .. :data tx-data or a function of the database at that time}

(defn event [day note data] {:day day :note note :data data})
(defn schema-event [day doc data] {:day day :doc doc :data data})

(defn correction-events [day gid record mistakes]
  (let [subject [gid (record gid)]
        fixes   (for [[attr wrong] (sort-by key mistakes) :let [right (record attr)] :when (not= wrong right)]
                  {:day  (+ day (between 3 200 (record gid) [:fixed attr]))
                   :note (correction-note attr wrong right)
                   :data (correction subject attr wrong right)})]
    (if (and (next fixes) (chance? 0.3 (record gid) "together"))
      [(event (:day (first fixes)) (str/join "; " (map :note fixes)) (into [] (mapcat :data) fixes))]
      fixes)))

(defn present? [db attr v] (some? (ffirst (d/q '[:find ?e :in $ ?a ?v :where [?e ?a ?v]] db attr v))))
(defn current [db gid v attr] (ffirst (d/q '[:find ?x :in $ ?g ?v ?a :where [?e ?g ?v] [?e ?a ?x]] db gid v attr)))

(defn attribute [ident type doc & {:as more}]
  (into (sorted-map :db/ident ident :db/valueType type :db/cardinality :db.cardinality/one :db/doc doc) more))

(def edit-schema
  [(attribute :edit/number :db.type/long "Number of an edit; edits are transactions" :db/unique :db.unique/identity)
   (attribute :edit/editor :db.type/ref "Who made the edit")
   (attribute :edit/note :db.type/string "Why the edit was made")
   (attribute :edit/reverts :db.type/ref "The earlier edit that this one takes back")
   (attribute :editor/handle :db.type/string "Name under which an editor works" :db/unique :db.unique/identity)])

(def editors ["anselm" "brigid" "corto" "dagny" "emeka" "fumiko" "gaspard" "hedda"])

(defn used-places
  "Of thousands of countries, languages and scripts, those that the records name, and the ones of mistakes."
  [{:keys [places artists labels releases]}]
  (let [used (into #{:country/US :country/GB :language/eng}
                   (mapcat (juxt :artist/country :label/country :release/country :release/language :release/script))
                   (concat artists labels releases))]
    (filterv (comp used :db/ident) places)))

(defn of-catalogue? [ident]
  ;; Nothing is known of media and tracks; the link to abstract releases comes later.
  (and (not (#{"medium" "track" "medium.format"} (namespace ident)))
       (not (#{:release/media :release/abstractRelease} ident))))

(defn opening-events [{:keys [schema enums] :as chosen}]
  (let [catalogue (for [a schema :when (of-catalogue? (:db/ident a))] (into (sorted-map) (dissoc a :db/fulltext)))]
    (into [(schema-event 0 "Edits and their editors" edit-schema)
           (schema-event 0 "Editors" (mapv #(array-map :editor/handle %) editors))
           (schema-event 0 "Catalogue schema" (vec catalogue))
           (schema-event 0 "Types, genders, packaging"
                         (filterv #(every? of-catalogue? (keys (dissoc % :db/ident))) enums))
           (schema-event 0 "Countries, languages, scripts" (used-places chosen))]
          ;; Descriptions were pasted with line breaks.
          (for [{:db/keys [ident doc]} catalogue :when (str/includes? doc "\n")]
            (event (+ 1 (between 10 90 (invented-gid (str ident)) "doc")) (str "Reflowed the description of " ident)
                   [{:db/ident ident :db/doc (str/replace doc #"\s+" " ")}])))))

(defn growth-events [{:keys [schema]}]
  [(schema-event page-day "Artists get pages"
                 [(attribute :artist/page :db.type/string "Last part of the address of the artist's page"
                             :db/unique :db.unique/value)])
   (schema-event slug-day "A page is what it leads to: what is stored is its slug"
                 [{:db/id :artist/page :db/ident :artist/slug
                   :db/doc "The artist's name in an address, e.g. pink-floyd"}])
   (schema-event alias-day "Artists get aliases"
                 [(attribute :artist/aliases :db.type/string "Other forms of the artist's name"
                             :db/cardinality :db.cardinality/many)])
   (schema-event abstract-day "Releases get linked to their abstract releases"
                 (vec (for [a schema :when (= :release/abstractRelease (:db/ident a))]
                        (update (into (sorted-map) a) :db/doc str/replace #"\s+" " "))))
   (schema-event composite-day "Releases can be looked up by country and year"
                 [(attribute :release/country+year :db.type/tuple "Country and year of the release"
                             :db/tupleAttrs [:release/country :release/year])])
   (schema-event tuple-day "Debut and active years of artists"
                 [(attribute :artist/debut :db.type/tuple "The artist's first release listed here, and its year"
                             :db/tupleTypes [:db.type/ref :db.type/long])
                  (attribute :artist/activeYears :db.type/tuple "First and last year; no last year while active"
                             :db/tupleType :db.type/long)])
   (schema-event merge-day "Merged artists keep their identifiers"
                 [(attribute :artist/formerGids :db.type/uuid "Identifiers of artists merged into this one"
                             :db/cardinality :db.cardinality/many :db/unique :db.unique/value)])
   (schema-event review-day "Reviews of artists"
                 [(attribute :artist/reviewedAt :db.type/instant "When the entry was last reviewed")])])

;;; Entries of labels, artists, releases

(defn label-day [gid] (between 1 60 gid "entered"))

(defn label-events [labels]
  (concat
    (for [group (partition-all 3 (sort-by (comp label-day :label/gid) labels))]
      ;; A group is entered when its first is, so that no release comes before its label.
      (event (label-day (:label/gid (first group))) nil (mapv #(entity (merge % (label-mistakes %))) group)))
    (mapcat #(correction-events 60 :label/gid % (label-mistakes %)) labels)))

(defn artist-day [gid] (if (= gid featured) 12 (between 5 450 gid "entered")))

(defn duplicate
  "The artist's second entry, made by mistake, if there is one: its gid, days of entry and merge."
  [gid]
  (when (or (= gid featured) (chance? 0.12 gid "duplicate"))
    (let [day (+ (artist-day gid) (between 5 40 gid "duplicate day"))]
      {:gid (invented-gid (str "duplicate of " gid)) :day day
       :merged (if (= gid featured) 430 (+ (max merge-day (+ day 60)) (between 5 120 gid "merged")))})))

(defn artist-events [{:artist/keys [gid name type] :as artist}]
  (let [mistakes (artist-mistakes artist)
        double   (duplicate gid)]
    (cond-> (into [(event (artist-day gid) nil [(entity (merge artist mistakes))])]
                  (correction-events (artist-day gid) :artist/gid artist mistakes))
      double (conj (event (:day double) nil [{:artist/gid (:gid double) :artist/name (without-article name)
                                              :artist/sortName (without-article name) :artist/type type}])))))

(defn release-day [{:release/keys [gid artists]}]
  (+ (reduce max 60 (map artist-day artists)) (between 1 200 gid "entered")))

(defn credited
  "The artists as first entered: in some releases the duplicate entry was picked."
  [{:release/keys [gid artists] :as release}]
  (into #{} (map (fn [artist]
                   (let [{:keys [day merged] :as double} (duplicate artist)]
                     (if (and double (< day (release-day release) merged) (chance? 0.45 gid "picked"))
                       (:gid double)
                       artist))))
        artists))

(defn link [db abstracts-of {:release/keys [gid]}]
  (when-let [abstract (abstracts-of gid)]
    (when (present? db :abstractRelease/gid abstract) {:release/abstractRelease [:abstractRelease/gid abstract]})))

(defn release-events [abstracts-of {:release/keys [gid] :as release}]
  (let [day      (release-day release)
        mistakes (release-mistakes release)
        entered  (assoc (merge release mistakes) :release/artists (credited release))
        again    (invented-gid (str "duplicate of " gid))]
    (cond-> (into [(event day nil (fn [db] [(merge (entity entered) (link db abstracts-of release))]))]
                  (correction-events day :release/gid release mistakes))
      (= "" (:release/barcode release))
      (conj (event (+ day 210) "An empty barcode is none" [[:db/retract [:release/gid gid] :release/barcode ""]]))
      (chance? 0.05 gid "again")
      (into [(event (+ day 2) nil [(entity (assoc release :release/gid again))])
             (event (+ day (between 20 120 gid "removed")) (str "Duplicate of release " gid)
                    [[:db/retractEntity [:release/gid again]]])]))))

(defn abstract-events
  "Abstract releases, each linked to the releases that are there already."
  [abstracts-of releases {:abstractRelease/keys [gid artists] :as abstract}]
  (let [mine (filter #(= gid (abstracts-of (:release/gid %))) releases)
        day  (between (reduce max (+ 1 abstract-day) (map #(+ 1 (artist-day %)) artists)) 640 gid "entered")]
    [(event day nil (fn [db]
                      (into [(assoc (entity abstract) :db/id "abstract")]
                            (for [{r :release/gid} mine :when (present? db :release/gid r)]
                              [:db/add [:release/gid r] :release/abstractRelease "abstract"]))))]))

;;; Later edits of artists

(defn slug-attr [day] (if (< day slug-day) :artist/page :artist/slug))

(defn slug-fill-day [gid] (+ (max page-day (artist-day gid)) (between 1 100 gid "slug")))

(defn slug-events
  "Fills slugs of two artists at a time; some are given to a duplicate or to each other, and moved later."
  [slugs [a b]]
  (let [[gid-a gid-b] (map :artist/gid [a b])
        day     (max (slug-fill-day gid-a) (slug-fill-day gid-b))
        swapped (chance? 0.15 gid-a "swapped")
        holder  (fn [gid] (let [{:keys [merged] :as double} (duplicate gid)]
                            (if (and double (not swapped) (< (:day double) day merged)) (:gid double) gid)))
        give    (fn [attr gid s] [:db/add [:artist/gid gid] attr s])]
    (cond-> [(event day nil [(give (slug-attr day) (holder gid-a) (slugs (if swapped gid-b gid-a)))
                             (give (slug-attr day) (holder gid-b) (slugs (if swapped gid-a gid-b)))])]
      swapped (conj (let [later (+ day (between 5 90 gid-b "swapped back"))]
                      (event later "The pages of these two were exchanged"
                             [(give (slug-attr later) gid-a (slugs gid-a))
                              (give (slug-attr later) gid-b (slugs gid-b))])))
      true    (into (for [gid [gid-a gid-b] :when (not= gid (holder gid))]
                      (event (- (:merged (duplicate gid)) 1) "The page belongs to the entry that stays"
                             [[:db/retract [:artist/gid (holder gid)] :artist/slug (slugs gid)]
                              (give :artist/slug gid (slugs gid))]))))))

(defn merge-events [{:artist/keys [gid name]}]
  (when-let [{double :gid merged :merged} (duplicate gid)]
    [(event merged (str "Merged two entries of " name)
            (fn [db]
              (-> []
                  (into (for [r (sort (map first (d/q '[:find ?g :in $ ?d
                                                        :where [?a :artist/gid ?d] [?r :release/artists ?a]
                                                               [?r :release/gid ?g]]
                                                      db double)))]
                          [:db/add [:release/gid r] :release/artists [:artist/gid gid]]))
                  (conj [:db/add [:artist/gid gid] :artist/formerGids double]
                        [:db/retractEntity [:artist/gid double]]))))]))

(defn alias-events [{:artist/keys [gid name sortName]}]
  (let [aliases (disj (set [(without-accents name) (without-article name) sortName]) name)
        day     (+ (max alias-day (artist-day gid)) (between 1 150 gid "alias"))]
    (when (and (seq aliases) (chance? 0.7 gid "aliases"))
      (cond-> [(event day nil [{:artist/gid gid :artist/aliases (vec (sort aliases))}])]
        (and (aliases sortName) (chance? 0.6 gid "alias removed"))
        (conj (event (+ day (between 5 90 gid "unalias")) "A sort name is not an alias"
                     [[:db/retract [:artist/gid gid] :artist/aliases sortName]]))))))

(defn first-release
  "Year and gid of the artist's first release that the catalogue holds; duplicates do not count."
  [db known gid]
  (first (sort (filter (comp known second)
                       (d/q '[:find ?y ?g :in $ ?a
                              :where [?e :artist/gid ?a] [?r :release/artists ?e] [?r :release/year ?y]
                                     [?r :release/gid ?g]]
                            db gid)))))

(defn tuple-data [known gid]
  (fn [db]
    (let [[year release] (first-release db known gid)
          [held-id held-year] (current db :artist/gid gid :artist/debut)
          held   (when held-id (:release/gid (d/pull db [:release/gid] held-id)))
          active [(current db :artist/gid gid :artist/startYear) (current db :artist/gid gid :artist/endYear)]]
      (cond-> []
        (and release (not= [held held-year] [release year]))
        (conj [:db/add [:artist/gid gid] :artist/debut [[:release/gid release] year]])
        (not= active (current db :artist/gid gid :artist/activeYears))
        (conj [:db/add [:artist/gid gid] :artist/activeYears active])))))

(defn tuple-events [known {:artist/keys [gid]}]
  (let [day (+ (max tuple-day (artist-day gid)) (between 1 60 gid "tuples"))]
    [(event day nil (tuple-data known gid))
     (event (between 780 840 gid "tuples again") "Debut and active years as now known" (tuple-data known gid))]))

(defn review-events [{:artist/keys [gid]}]
  (when (chance? 0.25 gid "review")
    (for [day [(between 470 560 gid "review 1") (between 600 700 gid "review 2")]]
      (event day nil [{:artist/gid gid, :artist/reviewedAt (Date. (long (+ first-day-ms (* day-ms (long day)))))}]))))

(defn revert-events [{:artist/keys [gid country]}]
  (when (chance? 0.08 gid "reverted")
    (let [day (between 700 760 gid "misedit")]
      [(event day nil [[:db/retract [:artist/gid gid] :artist/country country]])
       (assoc (event (+ day (between 1 9 gid "revert")) "The country was right"
                     [[:db/add [:artist/gid gid] :artist/country country]])
              :reverts (fn [db] (ffirst (d/q '[:find (max ?n) :in $ ?g :where [?e :artist/gid ?g]
                                               [?e :artist/country _ ?tx false] [?tx :edit/number ?n]]
                                             (d/history db) gid))))])))

(defn backfill-events
  "Composite values appear when a component is asserted again, even unchanged."
  [releases]
  (for [[i group] (->> releases
                       (filter #(< (release-day %) composite-day))
                       (sort-by release-day)
                       (partition-all 20)
                       (map-indexed vector))]
    (event (+ composite-day 1 (* 0.4 i)) "Country and year of older releases"
           (fn [db] (vec (for [{gid :release/gid} group]
                           [:db/add [:release/gid gid] :release/year
                            (current db :release/gid gid :release/year)]))))))

(defn events [{:keys [artists releases labels abstracts] :as chosen}]
  (let [by-title     (into {} (for [a (sort-by :abstractRelease/gid abstracts), maker (:abstractRelease/artists a)]
                                [[maker (str/lower-case (:abstractRelease/name a))] (:abstractRelease/gid a)]))
        abstracts-of (into {} (for [r releases, artist (sort (:release/artists r))
                                    :let [found (by-title [artist (str/lower-case (:release/name r))])] :when found]
                                [(:release/gid r) found]))
        abstracts    (filter (comp (set (vals abstracts-of)) :abstractRelease/gid) abstracts)
        known        (set (map :release/gid releases))
        slugs        (into {} (for [[text same] (group-by slug artists)
                                    [i artist]  (map-indexed vector (sort-by :artist/gid same))]
                                [(:artist/gid artist) (if (zero? i) text (str text "-" (inc i)))]))]
    (concat (opening-events chosen) (growth-events chosen) (label-events labels)
            (mapcat artist-events artists)
            (mapcat #(release-events abstracts-of %) releases)
            (mapcat #(abstract-events abstracts-of releases %) abstracts)
            (mapcat #(slug-events slugs %) (partition 2 (sort-by (comp slug-fill-day :artist/gid) artists)))
            (mapcat merge-events artists)
            (mapcat alias-events artists)
            (mapcat #(tuple-events known %) artists)
            (mapcat review-events artists)
            (mapcat revert-events artists)
            (backfill-events releases))))

;;; Running them

(defn instant [day]
  ;; Editors work from seven in the morning to eleven in the evening.
  (let [whole (long day)]
    (+ first-day-ms (* day-ms whole) (* 1000 (long (* 3600 (+ 7 (* 16 (- day whole)))))))))

(defn edit [number instant-ms {:keys [note doc reverts]} db]
  (cond-> (array-map :db/id "datomic.tx" :db/txInstant (Date. (long instant-ms)))
    (> number 2) (assoc :edit/number number
                        :edit/editor [:editor/handle
                                      (nth editors (.nextInt (SplittableRandom. number) (count editors)))])
    note         (assoc :edit/note note)
    doc          (assoc :db/doc doc)
    reverts      (assoc :edit/reverts [:edit/number (reverts db)])))

(defn transact-all!
  "Transacts the events in the order of their days; gives the tx-data of each."
  [conn events]
  (loop [[{:keys [day data] :as event} & more] (sort-by :day events), number 1, last-ms 0, made []]
    (if (nil? event)
      made
      (let [db   (d/db conn)
            data (if (fn? data) (data db) data)
            ms   (max (+ 1000 last-ms) (instant day))]
        (if (empty? data)
          (recur more number last-ms made)
          (let [tx-data (into [(edit number ms event db)] data)]
            (try (d/transact conn {:tx-data tx-data})
                 (catch Exception e
                   (throw (ex-info (str "rejected: " (ex-message e)) {:day day :tx-data tx-data} e))))
            (recur more (inc number) ms (conj made tx-data))))))))

(defn held
  "What the catalogue holds of a record, in the record's own form."
  [db gid record]
  (let [plain  (fn [v] (cond (:db/ident v) (:db/ident v)
                             (vector? v)   (into #{} (map (comp first vals)) v)
                             :else         v))
        pulled (d/pull db (vec (for [attr (keys record)]
                                 (cond (ref-gids attr)             {attr [(ref-gids attr)]}
                                       (keyword? (record attr))    {attr [:db/ident]}
                                       :else                       attr)))
                       [gid (record gid)])]
    (update-vals pulled plain)))

(defn check-truth!
  "Throws unless every record ends as MusicBrainz has it, and nothing invented is left."
  [db {:keys [artists labels releases]}]
  (doseq [[gid all] {:artist/gid artists :label/gid labels :release/gid releases}
          record    all
          :let      [truth (into {} (remove #(= "" (val %))) record)
                     found (held db gid truth)]]
    (when (not= truth found)
      (throw (ex-info "a record does not end as it should" {:truth truth :found found}))))
  (doseq [[gid all] {:artist/gid artists :label/gid labels :release/gid releases}
          :let      [held  (set (map first (d/q '[:find ?g :in $ ?a :where [_ ?a ?g]] db gid)))
                     extra (set/difference held (set (map gid all)))]]
    (when (seq extra)
      (throw (ex-info "duplicates are left" {:gid gid :extra extra})))))

(defn write! [file transactions]
  (with-open [out (io/writer (GZIPOutputStream. (io/output-stream file)))]
    (binding [*print-namespace-maps* false]
      (doseq [tx-data transactions]
        (.write out (pr-str tx-data))
        (.write out "\n")))))

(defn -main [dir file]
  (let [client (d/client {:server-type :datomic-local :storage-dir :mem :system "make-demo-data"})
        _      (d/create-database client {:db-name "demo"})
        conn   (d/connect client {:db-name "demo"})
        chosen (choose dir)
        made   (transact-all! conn (events chosen))]
    (check-truth! (d/db conn) chosen)
    (write! file made)
    (println (update-vals (select-keys chosen [:artists :labels :releases]) count) "transactions" (count made)
             "datoms" (transduce (map (comp count :data)) + (d/tx-range conn {:start 0 :limit -1}))
             "bytes" (.length (io/file file)))))

(apply -main *command-line-args*)
(shutdown-agents)
