"""Which values Datomic takes for the same though they differ in raw form.

It compares URIs as Java does, and zeros as numbers. So `http://a/` is retracted by the request to retract
`HTTP://A/`, and the log has the request's spelling. Decimals of different scale are different to it.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING

from asyncrestore.model.values import BIGDEC, URI, to_python, to_raw

if TYPE_CHECKING:
    from asyncrestore.model.values import Raw

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_TOP_LABEL = r"[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}\.)*{_TOP_LABEL}\.?|[0-9]+(?:\.[0-9]+){{3}}|\[[^]/?#]*\]"
_START = re.compile(
    rf"([A-Za-z][A-Za-z0-9+.-]*:)?(?:(//(?:[^/?#@]*@)?)({_HOST})(?::(?:0*([0-9]+))?)?(?=[/?#]|\Z))?"
)
"""Scheme; slashes and user; host; port. An authority of another form is compared as it is."""
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def as_compared(kind: str, raw: Raw) -> Raw:
    """Returns the raw form that stands for all that Datomic takes for the same value."""
    if kind == URI:
        return _uri(str(raw))
    if kind == BIGDEC:
        return str(Decimal(str(raw)))
    if kind in "df":
        number: float = to_python(kind, raw)
        return to_raw(kind, math.nan if math.isnan(number) else number + 0.0)
    return raw


def _uri(text: str) -> str:
    text = _ESCAPE.sub(lambda escape: escape[0].upper(), text)
    start = _START.match(text)
    assert start is not None, "all of it is optional"
    scheme, user, host, port = start.groups("")
    return f"{scheme.lower()}{user}{host.lower()}{':' if port else ''}{port}{text[start.end() :]}"
