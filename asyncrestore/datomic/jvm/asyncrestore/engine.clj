(ns asyncrestore.engine
  "What the bridge needs of a Datomic engine. Local and the Pro peer implement it.")

(defprotocol Database
  (database-id [db] "A text that names this database for ever, and no other; nil if there is none.")
  (basis-t [db] "t of the newest transaction.")
  (log [db start end] "The transactions with start <= t < end, lazily, as {:t t :data [datom ..]}, in order.")
  (history [db attribute] "All datoms ever of an attribute (an ident), retractions too.")
  (with-value [db attribute value] "Entity ids that have the value now.")
  (value-of [db entity attribute] "The entity's present value of a cardinality-one attribute, or nil.")
  (transact [db tx-data]
    "Begins to commit. What it answers is, dereferenced, {:before t-before :tx id :tempids {text id}}, or throws with
    an anomaly. Transactions commit in the order of the calls; each must be dereferenced, in the same order: an engine
    that commits one at a time does so then.")
  (overlaps? [db] "Whether `transact` commits by itself, so that of several all do, also behind one that fails.")
  (query [db as-of query arguments] "Runs a query on the database, as of an instant unless that is nil."))
