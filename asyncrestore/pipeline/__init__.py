"""The stages of a restore, joined by bounded streams: prefetch, resolve, transact."""
