(ns asyncrestore.engine
  "The protocol of a database that the bridge needs. Datomic Local, the Pro peer and the servers implement it.")

(defprotocol Database
  (database-id [db] "A text that identifies this database for ever, and no other; nil if there is none.")
  (basis-t [db] "t of the newest transaction.")
  (log [db start end] "The transactions with start <= t < end, in order: a lazy sequence of {:t t :data [datom ..]}.")
  (transactions [db start end]
    "The t of each transaction with start <= t < end, in order, known from something other than the log.")
  (history [db attribute] "All datoms ever of an attribute (an ident), including retractions.")
  (with-values [db attribute values] "For each value the ids of the entities that have it now.")
  (values-of [db attribute entities] "For each entity its present value of a cardinality-one attribute, or nil.")
  (transact [db tx-data]
    "Begins to commit. Returns something to dereference, which gives {:before t-before :tx id :tempids {text id}} or
    throws with an anomaly. If `ordered?`, transactions commit in the order of the calls. Each must be dereferenced, in
    the same order: an engine that commits one at a time commits it then.")
  (ordered? [db] "Whether transactions commit in the order in which `transact` was called.")
  (overlaps? [db] "Whether `transact` commits without being dereferenced: then those after one that fails commit too.")
  (query [db as-of query arguments] "Runs a query on the database, as of an instant unless `as-of` is nil."))
