"""The file format of a backup. Pure: bytes in, bytes out.

In: chunks of a log. Out: the bytes of a segment (`encode`), and the chunks again (`segment`), read strictly.
"""
