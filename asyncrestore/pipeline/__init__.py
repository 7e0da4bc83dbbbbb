"""The stages of a restore after reading: resolve, transact, and the marker that says where to go on.

In: chunks of a history. Out: commits to the target, each once and in order.
"""
