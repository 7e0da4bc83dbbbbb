"""What an excision takes away. Pure.

In: the requests that a log has. Out: which datoms they cover, so that a history that lacks these is still the
same one.
"""
