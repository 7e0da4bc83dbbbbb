"""Histories to restore, as EDN transactions for Datomic Local: each odd case that is known."""

from __future__ import annotations

SCHEMA = """[
 {:db/ident :p/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
 {:db/ident :p/email :db/valueType :db.type/string :db/cardinality :db.cardinality/one
  :db/unique :db.unique/identity}
 {:db/ident :p/code :db/valueType :db.type/long :db/cardinality :db.cardinality/one
  :db/unique :db.unique/value}
 {:db/ident :p/tags :db/valueType :db.type/keyword :db/cardinality :db.cardinality/many}
 {:db/ident :p/friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}
 {:db/ident :p/boss :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}
 {:db/ident :p/address :db/valueType :db.type/ref :db/cardinality :db.cardinality/one
  :db/isComponent true}
 {:db/ident :p/city :db/valueType :db.type/string :db/cardinality :db.cardinality/one}
 {:db/ident :p/secret :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/noHistory true}
 {:db/ident :edit/of :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]"""

VALUES_SCHEMA = """[
 {:db/ident :v/string :db/valueType :db.type/string :db/cardinality :db.cardinality/many}
 {:db/ident :v/boolean :db/valueType :db.type/boolean :db/cardinality :db.cardinality/one}
 {:db/ident :v/long :db/valueType :db.type/long :db/cardinality :db.cardinality/many}
 {:db/ident :v/bigint :db/valueType :db.type/bigint :db/cardinality :db.cardinality/many}
 {:db/ident :v/double :db/valueType :db.type/double :db/cardinality :db.cardinality/many}
 {:db/ident :v/float :db/valueType :db.type/float :db/cardinality :db.cardinality/many}
 {:db/ident :v/bigdec :db/valueType :db.type/bigdec :db/cardinality :db.cardinality/many}
 {:db/ident :v/instant :db/valueType :db.type/instant :db/cardinality :db.cardinality/many}
 {:db/ident :v/uuid :db/valueType :db.type/uuid :db/cardinality :db.cardinality/many}
 {:db/ident :v/keyword :db/valueType :db.type/keyword :db/cardinality :db.cardinality/many}
 {:db/ident :v/symbol :db/valueType :db.type/symbol :db/cardinality :db.cardinality/many}
 {:db/ident :v/pair :db/valueType :db.type/tuple :db/tupleTypes [:db.type/ref :db.type/string]
  :db/cardinality :db.cardinality/many}
 {:db/ident :v/longs :db/valueType :db.type/tuple :db/tupleType :db.type/long
  :db/cardinality :db.cardinality/one}
 {:db/ident :v/refs :db/valueType :db.type/tuple :db/tupleType :db.type/ref
  :db/cardinality :db.cardinality/one}]"""

VALUES = """[{:db/id "v"
 :v/string ["" "a\\nb\\"\\\\" "\\u00e9\\u4e2d\\ud83d\\ude00" "~x" "^ " "`k" ":kw"]
 :v/boolean false :v/long [0 -1 9223372036854775807 -9223372036854775808]
 :v/bigint [0N 5N -123456789012345678901234567890N]
 :v/double [0.5 -0.0 1.7976931348623157E308 4.9E-324 ##NaN ##Inf ##-Inf]
 :v/bigdec [1.1M 1.10M 0M 0E-10M 1E+30M -5M]
 :v/instant [#inst "1969-12-31T23:59:59.999" #inst "0001-01-01" #inst "9999-12-31T23:59:59.999"]
 :v/uuid [#uuid "00000000-0000-0000-0000-000000000000" #uuid "7d0162a9-2636-46f2-b0e8-a9336075eee2"]
 :v/keyword [:a :a/b :a.b/c-d] :v/symbol [a a.b/c]
 :v/pair [["v" "x"] ["v" nil] [nil "y"]] :v/longs [1 nil 3] :v/refs ["w" nil "v"]}
 {:db/id "w" :v/boolean true}]"""

PEOPLE = (
    '[{:db/id "a" :p/name "Ann" :p/email "ann@x" :p/code 1 :p/tags [:x :y] :p/address {:p/city "Rome"}}'
    ' {:db/id "b" :p/name "Bob" :p/email "bob@x" :p/code 2 :p/friend ["a"] :p/boss "a"}]',
    # a cardinality-one change, a value added and one taken away, metadata on the transaction
    '[{:p/email "ann@x" :p/name "Anne"} [:db/add [:p/email "ann@x"] :p/tags :z]'
    ' [:db/retract [:p/email "ann@x"] :p/tags :x] [:db/add "datomic.tx" :db/doc "a correction"]]',
    # a unique value moves from one entity to another, in one transaction
    "[[:db/retract [:p/code 1] :p/code 1] [:db/add [:p/code 2] :p/code 1]]",
    # unique identity values swapped in one transaction
    '[[:db/add [:p/email "ann@x"] :p/email "bob@x"] [:db/add [:p/email "bob@x"] :p/email "ann@x"]]',
    "[]",
    '[[:db/add "datomic.tx" :edit/of [:p/code 1]] [:db/add "datomic.tx" :p/friend "datomic.tx"]]',
    '[{:p/email "bob@x" :p/secret "one"}]',
    '[{:p/email "bob@x" :p/secret "two"}]',
    '[[:db/retractEntity [:p/email "bob@x"]]]',
    # entities retracted come back
    '[{:p/email "bob@x" :p/name "Bob again" :p/friend [[:p/email "ann@x"]]}]',
)

SCHEMA_CHANGES = (
    # idents are renamed, the old name is reused by another attribute
    "[{:db/id :p/name :db/ident :p/full-name}]",
    "[{:db/ident :p/name :db/valueType :db.type/long :db/cardinality :db.cardinality/many}]",
    '[{:p/email "ann@x" :p/name [1 2 3] :p/full-name "A. Nother"}]',
    # cardinality one to many and back, uniqueness taken away, docs
    '[{:db/id :p/city :db/cardinality :db.cardinality/many :db/doc "cities"}]',
    '[{:db/id "n" :p/city ["Oslo" "Bergen"]} [:db/retract :p/code :db/unique :db.unique/value]]',
    '[[:db/retract [:p/email "ann@x"] :p/name 2]]',
    # an enum, an attribute on an attribute
    """[{:db/ident :color/red}
        {:db/ident :p/color :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}]""",
    '[{:p/email "ann@x" :p/color :color/red} [:db/add :p/color :p/email "meta@x"]]',
    # a composite with its components and a tuple in one transaction
    "[{:db/ident :c/x :db/valueType :db.type/ref :db/cardinality :db.cardinality/one}"
    " {:db/ident :c/y :db/valueType :db.type/string :db/cardinality :db.cardinality/one}"
    " {:db/ident :c/xy :db/valueType :db.type/tuple :db/tupleAttrs [:c/x :c/y]"
    " :db/cardinality :db.cardinality/one :db/unique :db.unique/identity}]",
    '[{:db/id "q" :p/email "q@x" :c/x :color/red :c/y "1"} {:db/id "r" :c/y "2"}]',
    '[[:db/add [:p/email "q@x"] :c/y "one"]]',
    # a composite newer than the data, back-filled by asserting a component again
    "[{:db/ident :p/mail-code :db/valueType :db.type/tuple :db/tupleAttrs [:p/email :p/code]"
    " :db/cardinality :db.cardinality/one}]",
    '[[:db/add [:p/email "ann@x"] :p/email "ann@x"]]',
)

ODD = (SCHEMA, *PEOPLE, VALUES_SCHEMA, VALUES, *SCHEMA_CHANGES)
"""One history with all of it."""

PRO = (
    """[{:db/ident :pro/name :db/valueType :db.type/string :db/cardinality :db.cardinality/one :db/index true
         :db/unique :db.unique/identity}
        {:db/ident :pro/text :db/valueType :db.type/string :db/cardinality :db.cardinality/one
         :db/fulltext true}
        {:db/ident :pro/blob :db/valueType :db.type/bytes :db/cardinality :db.cardinality/one}
        {:db/ident :pro/blobs :db/valueType :db.type/bytes :db/cardinality :db.cardinality/many}
        {:db/ident :pro/friend :db/valueType :db.type/ref :db/cardinality :db.cardinality/many}]""",
    '[{:db/id "e" :pro/name "bytes" :pro/blob #base64 "AP9+" :pro/blobs [#base64 "" #base64 "AQ=="]}]',
    # bytes are compared by content: one is there already, one is taken away, one is replaced
    '[[:db/add [:pro/name "bytes"] :pro/blob #base64 "AP9+"]]',
    '[[:db/retract [:pro/name "bytes"] :pro/blobs #base64 "AQ=="]'
    ' [:db/add [:pro/name "bytes"] :pro/blob #base64 "Ag=="]]',
    f'[{{:db/id "l" :pro/name "long" :pro/text "{"x" * 5000}"}}]',
    # partitions, named and implicit
    '[{:db/id "p" :db/ident :my/part} [:db/add :db.part/db :db.install/partition "p"]]',
    '[{:db/id #db/id[:my/part] :pro/name "named"}]',
    '[{:db/id "i" :pro/name "implicit"} {:db/id "d" :pro/name "default" :pro/friend ["i"]}'
    ' {:db/force-partition {"i" 2305873795539271680}}]',
    # an attribute whose entity was there before it became one
    "[{:db/id #db/id[:db.part/db] :db/ident :pro/later}]",
    "[{:db/id :pro/later :db/valueType :db.type/long :db/cardinality :db.cardinality/one}]",
    '[{:db/id "n" :pro/later 5}]',
    """[{:db/ident :pro/make :db/fn #db/fn {:lang "clojure" :params [db text]
         :code [{:db/id "made" :pro/name text}]}}]""",
    '[[:pro/make "made"]]',
    "[{:db/id :pro/later :db/index true}]",
    "[{:db/id :pro/later :db/unique :db.unique/value}]",
    "[[:db/retract :pro/later :db/unique :db.unique/value] [:db/add :pro/later :db/index false]]",
)
"""What only Datomic Pro can hold."""
