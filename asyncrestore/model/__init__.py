"""What a log is made of. Pure: it does no I/O and never awaits.

Values, ids, datoms in columns (`log`), data to commit (`commit`), the schema as of a transaction (`schema`).
"""
