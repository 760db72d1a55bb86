"""The description of a request as the server received it."""

from __future__ import annotations

import msgspec


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request as the server received it: the answer to `GET /v1/stream/request`.

    `address` is the client's address, to which the rate limits apply. The server returns None to a client without a
    required token, because the address may be the internal address of an untrusted proxy.

    `from_trusted_proxy` is true if a proxy in --trusted-proxies sent the request. `forwarded_hops` is the number of
    addresses in the header X-Forwarded-For. `headers` lists the received headers that matter for a stream.
    `compresses` is true if the server compresses streams for clients that accept it. `time` is the server's clock in
    microseconds since the Unix epoch.
    """

    http_version: str
    address: str | None
    from_trusted_proxy: bool
    forwarded_hops: int
    headers: list[str]
    accept_encoding: str | None
    via: str | None
    compresses: bool
    time: int
