"""Hides what may be secret in URIs, before they are shown: passwords, keys, options of unknown meaning.

`datomic:sql://music?jdbc:postgresql://h/d?user=u&password=p` becomes `datomic:sql://music?...`, and
`s3:/key:secret@bucket` becomes `...@bucket`: what is malformed or misspelt is hidden like what is not.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

_HARMLESS = frozenset({
    "storage-dir", "endpoint-url", "region", "profile", "path-style", "sse", "sse-kms-key-id",
    "storage-class", "object-lock", "object-lock-days", "expected-bucket-owner", "mode",
    "endpoint", "proxy-port", "trust-certs", "validate-hostnames",
})  # fmt: skip
"""Options whose values are shown: those of this package's own URIs."""
_NAMES = r"[\w.-]{0,40}(?:passw|pwd|secret|token|access.?key|credential)[\w.-]{0,40}"
_LONGEST = 1000
"""As many characters are looked at for the end of a part: time grows with the length of a text only."""
_SHORTEST = 4
"""A part with fewer characters stands in too many other words to be hidden by itself."""


class _Rules:
    """The rules, for a single URI or for URIs within a text.

    Args:
        end: characters that end a URI, as a part of a regular expression's set.
    """

    def __init__(self, end: str) -> None:
        run = rf"[^{end}]{{0,{_LONGEST}}}"
        # Nothing but digits up to a slash is a port. A password may have any characters.
        password = rf":(?!\d+[/?]){run}"
        no_ip = r"(?!\[[0-9a-fA-F:.]+\])"
        self._userinfo = (
            re.compile(rf"(?<=//)([^{end}/?]{{0,{_LONGEST}}}|{no_ip}[^{end}/?:@]+{password})@"),
            # The scheme is forgotten, or its slashes.
            re.compile(
                rf"(?<![^{end}/(=]){no_ip}([^{end}/?:@=]+:(?!\d+[/?])(?:(?!//)[^{end}]){{0,{_LONGEST}}})@"
            ),
        )
        # The host is forgotten.
        self._no_host = re.compile(rf"(?<=//)([^{end}/?#:@\[]+:)(?!\d*(?:[/?#,;){end}]|$))([^{end}?#]+)")
        # Behind the question mark of a URI, or of anything that has an equals sign behind it.
        self._options = re.compile(
            rf"([A-Za-z0-9+.-]{{1,40}}:[^{end}?]{{0,{_LONGEST}}}\?|\?(?={run}=))([^{end}]+)"
        )
        # No URI here has a fragment: it may be the end of a password.
        self._fragment = re.compile(rf"([A-Za-z0-9+.-]{{1,40}}:/[^{end}#]{{0,{_LONGEST}}}#)([^{end}]+)")
        self._named = re.compile(rf"({_NAMES}=)([^{end}&;]+)", re.IGNORECASE)

    def hide(self, text: str, hidden: set[str]) -> str:
        """Returns the text with `...` in the place of what may be secret, which is added to `hidden`."""

        def password(found: re.Match[str]) -> str:
            hidden.update((found[1], found[1].partition(":")[2], found[1].rpartition(":")[2]))
            return "...@"

        def value(found: re.Match[str]) -> str:
            hidden.add(found[2])
            return f"{found[1]}..."

        def options(found: re.Match[str]) -> str:
            hidden.update(named[2] for named in self._named.finditer(found[2]))
            hidden.update(part for part in re.split(r"[&;]", found[2]) if "=" not in part)
            return found[1] + _harmless(found[2])

        for rule in self._userinfo:
            text = rule.sub(password, text)
        text = self._no_host.sub(value, text)
        text = self._options.sub(options, text)
        text = self._fragment.sub(value, text)
        return self._named.sub(value, text)


def _harmless(options: str) -> str:
    shown: list[str] = []
    for option in re.split(r"[&;]", options):
        name, sign, _ = option.partition("=")
        each = option if sign and name in _HARMLESS else "..."
        if each != "..." or shown[-1:] != ["..."]:
            shown.append(each)
    return "&".join(shown)


_URI, _TEXT = _Rules(r"\n"), _Rules(r"\s'\"`<>")


def redacted_uri(uri: str) -> str:
    """Returns a URI, which may be malformed, as it may be shown."""
    return _URI.hide(uri, set())


def redacted(text: str) -> str:
    """Returns a text, in which there may be URIs, as it may be shown.

    A URI ends at a space or a quotation mark here, so `redacted_uri` is better where it is known.
    """
    return _TEXT.hide(text, set())


def secrets_of(uri: str) -> set[str]:
    """Returns what `redacted_uri` hides, as it is and with percent signs decoded.

    Somebody else's message may quote a part of a URI alone, so each is to be hidden wherever it stands.
    """
    hidden: set[str] = set()
    _URI.hide(uri, hidden)
    return {part for each in hidden for part in (each, unquote(each)) if len(part) >= _SHORTEST}
