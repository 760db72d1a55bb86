"""The health check of the image: exit with 0 if the server in this container is alive."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.error
import urllib.request

_TIMEOUT_S = 4


def main() -> int:
    """Request /healthz, and print why the server is not healthy."""
    tls = None
    if os.environ.get("TICKWIRE_TLS_CERT"):
        # Do not verify the certificate: it names the public address, but this check connects to the loopback address.
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    url = f"{'https' if tls else 'http'}://127.0.0.1:{os.environ.get('TICKWIRE_PORT', '8000')}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S, context=tls):  # noqa: S310  # the scheme is known
            return 0
    except OSError as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
