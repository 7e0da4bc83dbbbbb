"""Datomic databases, named by URI and reached through a JVM process."""
