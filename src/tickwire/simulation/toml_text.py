"""Checks TOML text before it is parsed.

The TOML parser is slow if a dotted key has many parts: its time grows with the cube of the number of parts. A key of 62
KB takes a minute.
"""

from __future__ import annotations

import re

from tickwire.errors import InputError

# The maximum number of parts of a key. A scenario needs only two parts. 64 KB of keys with 8 parts take about 50 ms to
# parse.
MAX_KEY_PARTS = 8
# Matches strings and comments, in which dots do not separate the parts of a key. The alternatives are in the order in
# which the parser tries them.
_STRING_OR_COMMENT = re.compile(
    r'"""(?:[^\\]|\\.)*?(?:"""|\Z)'
    r"|'''.*?(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*"?'
    r"|'[^'\n]*'?"
    r"|#[^\n]*",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"[\w-]+(?:[ \t]*\.[ \t]*[\w-]+){{{MAX_KEY_PARTS},}}")


def check_key_parts(text: str, field: str) -> None:
    """Raise InputError if a dotted key in TOML text has more than MAX_KEY_PARTS parts."""
    # Replace each quoted string with one letter, because dots inside a string do not separate the parts of a key.
    match = _LONG_KEY.search(_STRING_OR_COMMENT.sub("s", text))
    if match is not None:
        raise InputError(f"{field}: the key {match[0][:40]!r}... has more than {MAX_KEY_PARTS} parts", field=field)
