"""Generated histories: drawn by Hypothesis as scripts, without any engine, and then committed to one.

A script is played step by step (`player`), so everything that an engine gives (entity ids, transaction ids)
is a number of the script's own until then.
"""
