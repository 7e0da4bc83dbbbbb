"""Segments that are changed and made at random, with a right digest: see `python -m tests.fuzz --help`."""
