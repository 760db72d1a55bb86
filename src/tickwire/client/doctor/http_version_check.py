"""Check the HTTP versions that browsers and proxies use for a stream."""

from __future__ import annotations

import asyncio
import ssl
from importlib.util import find_spec
from urllib.parse import urlsplit

from tickwire.client.doctor.finding import Diagnosis
from tickwire.client.doctor.remedies import Product

_HANDSHAKE_TIMEOUT_S = 5.0
# The maximum number of connections that Chromium, Firefox and Safari open to one host.
_MAX_BROWSER_CONNECTIONS = 6
_LINES: dict[Product, str] = {
    "nginx": "`listen 443 ssl http2;` (1.25 and later: `listen 443 ssl;` and `http2 on;`)",
    "HAProxy": "`bind :443 ssl crt FILE alpn h2,http/1.1`",
    "Apache": "load mod_http2, and add `Protocols h2 http/1.1`",
    "Caddy": "use a site address with https, and remove `protocols h1`",
    "Varnish": "start varnishd with `-p feature=+http2`, behind a TLS proxy that offers h2",
    "Squid": "Squid has no HTTP/2: use another proxy",
    "Envoy": "add a `transport_socket` with TLS and `alpn_protocols: [h2, http/1.1]` to the filter chain",
}


async def find_browser_version(url: str) -> str | None:
    """Return the HTTP version that browsers use for `url`: `HTTP/2` or `HTTP/1.1`. Return None without an answer.

    Browsers use HTTP/2 only over TLS, and only if the server or its proxy selects HTTP/2 in the handshake (ALPN: RFC
    9113, section 3.3). This function ends the connection after the handshake.
    """
    parts = urlsplit(url)
    if parts.scheme != "https":
        return "HTTP/1.1"
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    # Do not verify the certificate. An earlier request of the doctor has verified it, and this connection sends no
    # data.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
    except (OSError, TimeoutError):
        return None
    protocol = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.transport.abort()
    return "HTTP/2" if protocol == "h2" else "HTTP/1.1"


def has_http_2_library() -> bool:
    """Return whether the package that reads streams over HTTP/2 is installed."""
    return find_spec("h2") is not None


def check_browser_version(version: str | None, url: str, diagnosis: Diagnosis) -> None:
    """Check the HTTP version that browsers use for `url`.

    With HTTP/1.1, add a note that streams may use up all connections that a browser opens to the server. With HTTP/2,
    add a note if the doctor cannot read streams over HTTP/2.
    """
    if version is None:
        return
    diagnosis.measurements["browser_http_version"] = version
    if version == "HTTP/2":
        if not has_http_2_library():
            diagnosis.notes.append(
                "browsers use HTTP/2, but this command read the streams only over HTTP/1.1: to check both versions, "
                "pip install 'tickwire[doctor]'"
            )
        return
    if urlsplit(url).scheme == "https":
        reason, change = "the port offers no HTTP/2", "put a proxy with HTTP/2 in front"
    else:
        reason, change = "HTTP/2 requires https", "put a proxy with TLS and HTTP/2 in front"
    if diagnosis.product is not None:
        change = f"{diagnosis.product}: {_LINES[diagnosis.product]}"
    diagnosis.notes.append(
        f"browsers use HTTP/1.1, because {reason}. A browser opens at most {_MAX_BROWSER_CONNECTIONS} connections to "
        f"one host, so a further stream or request waits. Enable HTTP/2 ({change}), or share the streams of all tabs "
        "with @tickwire/client"
    )


def check_answer_version(version: str, diagnosis: Diagnosis) -> None:
    """Check the HTTP version of the answer to a stream request."""
    diagnosis.measurements["http_version"] = version
    if version == "HTTP/1.0":
        diagnosis.add("http-1.0", "the answer has the version HTTP/1.0")
