"""Two histories in step; nothing here knows how a restore works.

In: two histories. Out: how they differ, in words.
"""
