"""Datomic databases: found by URI, spoken to through a JVM process."""
