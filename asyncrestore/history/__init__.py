"""A database's own history, from a backup or from a live database, read ahead.

In: a store or a database. Out: chunks of the log in order, and what is known as of a transaction.
"""
