"""Leaving out and rewriting attributes.

In: a transaction. Out: the transaction without what is left out, and with other values.
"""
