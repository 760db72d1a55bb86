"""Response headers that make browsers restrict the actions of a page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # The browser must not send the URL to other sites, because the URL may contain a ticket.
    (b"referrer-policy", b"no-referrer"),
]

_INLINE_ELEMENT_PATTERN = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def content_security_policy(html: str) -> str:
    """Return the Content-Security-Policy header (level 3) for a page.

    The policy contains the hashes of the page's inline scripts and styles, and so allows them. It also allows files
    from the page's own origin, and requests to this origin.
    """
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _INLINE_ELEMENT_PATTERN.findall(html):
        hashes[kind].append(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")
    directives = [
        "default-src 'none'",
        " ".join(["script-src 'self'", *hashes["script"]]),
        " ".join(["style-src 'self'", *hashes["style"]]),
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
    return "; ".join(directives)
