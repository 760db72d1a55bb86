"""The proxies that the doctor recognizes, and the line to change in their configuration for each problem."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

Problem = Literal[
    "unreachable",
    "tls",
    "not-tickwire",
    "rejected",
    "unavailable",
    "redirect",
    "buffering",
    "delayed",
    "idle-cut-off",
    "lifetime-cut-off",
    "stream-limit",
    "compressed-by-proxy",
    "decompressed-by-proxy",
    "undecodable",
    "lost-accept-encoding",
    "lost-last-event-id",
    "lost-authorization",
    "http-1.0",
    "no-forwarded-for",
    "untrusted-proxy",
    "invented-address",
    "cors",
    "clock-skew",
]
"""The names of all problems. They are part of the output of `tickwire doctor --json`."""

Product = Literal["nginx", "HAProxy", "Apache", "Caddy", "Varnish", "Squid", "Envoy"]
PRODUCTS: tuple[Product, ...] = get_args(Product)

_UNKNOWN_CULPRIT = "a proxy that does not name itself"
_SERVER = "the server"


class Remedy(NamedTuple):
    """The program that causes a problem, and the change that solves the problem."""

    culprit: str
    change: str


_KEEP_CODING = "forward the request header Accept-Encoding unchanged"

_CHANGES: dict[Problem, dict[Product, str]] = {
    "buffering": {
        "nginx": "remove `proxy_ignore_headers X-Accel-Buffering;`, and `text/event-stream` from `gzip_types`",
        "HAProxy": "remove `option http-buffer-response` and `filter compression` from the stream's backend",
        "Apache": "add `flushpackets=on` to ProxyPass, and `SetEnv no-gzip 1` for the stream if mod_deflate is active",
        "Caddy": "add `flush_interval -1` to reverse_proxy, and exclude the stream from `encode`",
        "Varnish": 'add `if (req.url ~ "^/v1/stream") { return (pipe); }` to vcl_recv',
        "Squid": "remove `read_ahead_gap` and content adaptation (icap, ecap) for the stream",
        "Envoy": "remove the filter `envoy.filters.http.buffer` for the stream",
    },
    "delayed": {
        "HAProxy": "add `option http-no-delay` to the section defaults",
        "nginx": "remove `tcp_nodelay off;`",
        "Apache": "add `flushpackets=on` to ProxyPass",
    },
    "idle-cut-off": {
        "nginx": "set `proxy_read_timeout` and `send_timeout` above the heartbeat, such as `proxy_read_timeout 60s;`",
        "HAProxy": "set `timeout client` and `timeout server` above the heartbeat, such as `timeout server 60s`",
        "Apache": "set `ProxyTimeout` (or `Timeout`) above the heartbeat, such as `ProxyTimeout 60`",
        "Caddy": "remove `read_timeout` and `response_header_timeout` from the transport of reverse_proxy",
        "Varnish": "start varnishd with `-p pipe_timeout=60`, or set `.between_bytes_timeout = 60s;` in the backend",
        "Squid": "set `read_timeout` above the heartbeat, such as `read_timeout 60 seconds`",
        "Envoy": "set `idle_timeout` of the route above the heartbeat, such as `idle_timeout: 60s`",
    },
    "lifetime-cut-off": {
        "Caddy": "remove `write` from `timeouts` of the server, and `stream_timeout` from reverse_proxy",
        "Squid": "raise `client_lifetime`",
        "Varnish": "raise `-p pipe_task_deadline`",
        "Envoy": "set `timeout: 0s` in the route (the default is 15 s), and remove `max_stream_duration`",
    },
    "stream-limit": {
        "nginx": "raise `http2_max_concurrent_streams`, such as `http2_max_concurrent_streams 128;`",
        "HAProxy": "raise `tune.h2.max-concurrent-streams`, such as `tune.h2.max-concurrent-streams 100`",
        "Apache": "raise `H2MaxSessionStreams` and `H2MaxWorkers`: each stream occupies a worker",
        "Envoy": "raise `max_concurrent_streams` in `http2_protocol_options`",
    },
    "compressed-by-proxy": {
        "nginx": "remove `text/event-stream` from `gzip_types`",
        "HAProxy": "remove `text/event-stream` from `compression type`",
        "Apache": "add `SetEnvIf Request_URI ^/v1/stream no-gzip` before mod_deflate",
        "Caddy": "exclude the stream from `encode`: `@other not path /v1/stream*`, then `encode @other gzip`",
        "Varnish": "remove `set beresp.do_gzip = true;` for the stream",
        "Envoy": "remove `text/event-stream` from `content_type` of the filter `envoy.filters.http.compressor`",
    },
    "decompressed-by-proxy": {
        "nginx": "remove `gunzip on;`",
        "Apache": "remove the filter INFLATE",
        "Caddy": "remove `header_up -Accept-Encoding`, or add `compression off` to `transport http`",
        "Varnish": "return (pipe) for the stream",
    },
    "lost-accept-encoding": {
        "nginx": 'remove `proxy_set_header Accept-Encoding "";`',
        "HAProxy": "remove `compression offload` and `http-request del-header Accept-Encoding`",
        "Apache": "remove `RequestHeader unset Accept-Encoding`",
        "Caddy": "remove `header_up -Accept-Encoding`",
        "Varnish": "remove `unset req.http.Accept-Encoding;`, and return (pipe) for the stream",
        "Squid": "remove `request_header_access Accept-Encoding deny`",
        "Envoy": "remove `accept-encoding` from `request_headers_to_remove`",
    },
    "lost-last-event-id": {
        "nginx": 'remove `proxy_set_header Last-Event-ID "";` and `proxy_pass_request_headers off;`',
        "HAProxy": "remove `http-request del-header Last-Event-ID`",
        "Apache": "remove `RequestHeader unset Last-Event-ID`",
        "Caddy": "remove `header_up -Last-Event-ID`",
        "Varnish": "remove `unset req.http.Last-Event-ID;`",
        "Squid": "remove the rule `request_header_access ... deny` for other headers",
        "Envoy": "remove `last-event-id` from `request_headers_to_remove`",
    },
    "lost-authorization": {
        "nginx": 'remove `proxy_set_header Authorization "";` and `auth_basic` for the stream',
        "HAProxy": "remove `http-request del-header Authorization`",
        "Apache": "remove `RequestHeader unset Authorization`",
        "Caddy": "remove `header_up -Authorization` and `basicauth` for the stream",
        "Varnish": "remove `unset req.http.Authorization;`",
        "Squid": "add `login=PASS` to cache_peer",
        "Envoy": "remove `authorization` from `request_headers_to_remove`",
    },
    "http-1.0": {
        "nginx": 'add `proxy_http_version 1.1;` and `proxy_set_header Connection "";`',
        "Apache": "remove `SetEnv force-proxy-request-1.0 1` and `SetEnv downgrade-1.0 1`",
    },
    "no-forwarded-for": {
        "nginx": "add `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`",
        "HAProxy": "add `option forwardfor`",
        "Apache": "remove `ProxyAddHeaders Off`",
        "Caddy": "remove `header_up -X-Forwarded-For`",
        "Varnish": "remove `unset req.http.X-Forwarded-For;`",
        "Squid": "set `forwarded_for on`",
        "Envoy": "set `use_remote_address: true`",
    },
    "invented-address": {
        "nginx": "add `proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;`",
        "HAProxy": "add `option forwardfor`",
        "Apache": "remove `ProxyAddHeaders Off`",
        "Varnish": "remove `unset req.http.X-Forwarded-For;`",
        "Squid": "set `forwarded_for on`",
        "Envoy": "set `use_remote_address: true`",
    },
    "unavailable": {
        "nginx": "check the address in `proxy_pass`; retry with `proxy_next_upstream error http_502 http_503;`",
        "HAProxy": "check the line `server`; retry with `retries 30` and `retry-on conn-failure empty-response`",
        "Apache": "check the address in `ProxyPass`, and add `retry=0`",
        "Caddy": "check the address of `reverse_proxy`, and add `lb_try_duration 30s`",
        "Varnish": "check `.host` and `.port` of the backend",
        "Squid": "check the line `cache_peer`",
        "Envoy": "check the address in `load_assignment`; retry with `retry_on: connect-failure`",
    },
}

_GENERAL_CHANGES: dict[Problem, Remedy] = {
    "unreachable": Remedy("the address or the network", "check the host, the port and the firewall"),
    "tls": Remedy("the certificate of the URL's host", "install a certificate that clients trust"),
    "not-tickwire": Remedy(_UNKNOWN_CULPRIT, "check the address and the path to which the proxy forwards /v1/stream"),
    "rejected": Remedy(_SERVER, "read the reason above"),
    "unavailable": Remedy(_UNKNOWN_CULPRIT, "check that the server runs at the address in the proxy's configuration"),
    "redirect": Remedy(_UNKNOWN_CULPRIT, "use the final URL in clients"),
    "buffering": Remedy(_UNKNOWN_CULPRIT, "disable response buffering for /v1/stream"),
    "delayed": Remedy(_UNKNOWN_CULPRIT, "disable Nagle's algorithm (set TCP_NODELAY)"),
    "idle-cut-off": Remedy(_UNKNOWN_CULPRIT, "raise the idle time-out above the heartbeat"),
    "lifetime-cut-off": Remedy(_UNKNOWN_CULPRIT, "remove the limit on the total duration of a response for /v1/stream"),
    "stream-limit": Remedy(_UNKNOWN_CULPRIT, "raise the number of concurrent streams on an HTTP/2 connection"),
    "compressed-by-proxy": Remedy(_UNKNOWN_CULPRIT, "disable compression of text/event-stream in the proxy"),
    "decompressed-by-proxy": Remedy(_UNKNOWN_CULPRIT, "disable decompression of text/event-stream in the proxy"),
    "undecodable": Remedy(_UNKNOWN_CULPRIT, "disable every change of response bodies for /v1/stream"),
    "lost-accept-encoding": Remedy(_UNKNOWN_CULPRIT, _KEEP_CODING),
    "lost-last-event-id": Remedy(_UNKNOWN_CULPRIT, "forward the request header Last-Event-ID"),
    "lost-authorization": Remedy(_UNKNOWN_CULPRIT, "forward the request header Authorization"),
    "http-1.0": Remedy(_UNKNOWN_CULPRIT, "use HTTP/1.1 for the connections to the server"),
    "no-forwarded-for": Remedy(_UNKNOWN_CULPRIT, "add the client's address to the header X-Forwarded-For"),
    "untrusted-proxy": Remedy(_SERVER, "add the proxy to `tickwire serve --trusted-proxies`"),
    "invented-address": Remedy(_UNKNOWN_CULPRIT, "append the client's address to the header X-Forwarded-For"),
    "cors": Remedy(_SERVER, "add the origin to `tickwire serve --cors`"),
    "clock-skew": Remedy("the clock of this machine or of the server", "synchronize both clocks with NTP"),
}


def find_remedy(problem: Problem, product: Product | None) -> Remedy:
    """Return the culprit of a problem, and the change that solves the problem.

    If the proxy does not name itself, the change also lists the lines of configuration for all proxies.
    """
    general = _GENERAL_CHANGES[problem]
    if general.culprit != _UNKNOWN_CULPRIT:
        return general
    lines = _CHANGES.get(problem, {})
    if product is not None:
        return Remedy(product, lines.get(product, general.change))
    known = [f"{name}: {line}" for name, line in lines.items()]
    return general._replace(change="; ".join([general.change, *known]))
