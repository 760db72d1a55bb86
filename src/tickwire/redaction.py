"""Remove credentials from addresses before they appear in an error, a log, an answer or an event.

An address may contain a user and a password or a token before `@`, and signatures in its query or fragment. Because
people mistype addresses, the functions also work with invalid URLs, and remove every part that may be a credential.
"""

from __future__ import annotations

import re

REDACTED = "***"
# pathlib turns the two slashes of a URL into one, so also accept a single slash after the colon.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
# A URL in a text ends at a space, a quotation mark or a bracket, and does not end with a punctuation mark. A backslash
# before a quotation mark is an escape character of the text, for example in JSON, and is not a part of the URL.
_URL = re.compile(rf"""({_SCHEME.pattern})((?:[^\s"'<>\\]|\\[^\s"'])+)(?<![:,.;)])""")
_HOST = r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?:\[[0-9A-Fa-f:.%]*\]|[\w.-]*)(?::\d*)?"
_HOSTS_AND_PATH = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/.*)?", re.DOTALL)
_QUERY = re.compile(r"[?#].*", re.DOTALL)


def redact_urls(text: str) -> str:
    """Return a text without the credentials, queries and fragments of the URLs in it."""
    return _URL.sub(lambda match: match[1] + _redact_location(match[2]), text) if ":/" in text else text


def redact_address(address: str) -> str:
    """Return an address, such as the value of a setting, without its credentials, query and fragment.

    Unlike in `redact_urls`, the whole text is one address. The address may contain spaces and lack a valid scheme.
    """
    scheme = _SCHEME.match(address)
    return _redact_userinfo(address) if scheme is None else scheme[0] + _redact_location(address[scheme.end() :])


def _redact_location(location: str) -> str:
    """Redact the part of a URL after `://`.

    If this part of the URL does not begin with valid host names, it may contain a password, so the function removes all
    of it.
    """
    redacted = _redact_userinfo(location)
    return redacted if _HOSTS_AND_PATH.fullmatch(redacted.removeprefix(f"{REDACTED}@")) else REDACTED


def _redact_userinfo(location: str) -> str:
    # Everything before the last `@` may be a credential, because a password may contain any character.
    userinfo, at, rest = location.rpartition("@")
    # A question mark or number sign before the last `@` is ambiguous: it may belong to the password, or the `@` may
    # belong to the query. In both cases, every part may be a credential.
    if _QUERY.search(userinfo):
        return REDACTED
    return (f"{REDACTED}@" if at else "") + _QUERY.sub("", rest)
