"""`tickwire doctor` names the setting of a proxy that harms streams, and has no finding for the documented settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tickwire.client.doctor.diagnosis import Doctor
from tickwire.client.doctor.finding import Diagnosis
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import run_server

ROOT = Path(__file__).parents[2]
# The heartbeat is short, so that the doctor soon has two of them.
HEARTBEAT_S = 1.0
# A time-out below the heartbeat cuts an idle stream off. Not all proxies have time-outs below a second.
CUT_OFF_S, CUT_OFF_HEARTBEAT_S = 1, 3.0
ANSWER_TIMEOUT_S = 3.0
ORIGIN = "https://app.example.org"

NGINX = """
server {{
    listen 127.0.0.1:{port};
    location / {{
        proxy_pass http://127.0.0.1:{server};
        EXTRA
    }}
}}
"""
NGINX_KEEP = """
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
"""
HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server SERVER_TIMEOUT
    EXTRA
frontend web
    bind 127.0.0.1:{port}
    INNER
    default_backend tickwire
backend tickwire
    server tickwire1 127.0.0.1:{server}
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/apache.pid
ErrorLog {folder}/apache-error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPass / http://127.0.0.1:{server}/ flushpackets=on
EXTRA
"""
CADDY = """
{{
    admin off
}}
http://127.0.0.1:{port} {{
    EXTRA
    reverse_proxy 127.0.0.1:{server} {{
        flush_interval -1
        INNER
    }}
}}
"""
VARNISH = """vcl 4.1;
backend default {{
    .host = "127.0.0.1";
    .port = "{server}";
    BACKEND
}}
sub vcl_recv {{
    EXTRA
}}
"""
SQUID = """
http_port 127.0.0.1:{port} accel defaultsite=localhost no-vhost
cache_peer 127.0.0.1 parent {server} 0 no-query no-digest originserver name=tickwire
http_access allow all
cache deny all
access_log none
cache_log {folder}/squid-cache.log
pid_filename none
coredump_dir {folder}
visible_hostname localhost
shutdown_lifetime 0 seconds
pinger_enable off
EXTRA
"""

ENVOY = (ROOT / "deploy" / "envoy.yaml").read_text().replace("{", "{{").replace("}", "}}")
ENVOY = ENVOY.replace("0.0.0.0, port_value: 80}", "127.0.0.1, port_value: {port}}").replace("8000", "{server}")


def configure(template: str, **parts: str) -> str:
    """Insert parts into a template of a configuration. A part that is not named is empty."""
    for name in ("EXTRA", "INNER", "BACKEND"):
        template = template.replace(name, parts.get(name.lower(), "").replace("{", "{{").replace("}", "}}"))
    return template.replace("SERVER_TIMEOUT", parts.get("timeout", "60s"))


class Case(NamedTuple):
    """A configuration of a proxy, and the problems that the doctor finds with it."""

    proxy: str
    configuration: str
    problems: set[str]
    # A part of the change that the doctor suggests for the first problem.
    change: str = ""
    token: str | None = None

    @property
    def heartbeat_s(self) -> float:
        return CUT_OFF_HEARTBEAT_S if "idle-cut-off" in self.problems else HEARTBEAT_S


def nginx(extra: str, *problems: str, change: str = "", keep: str = NGINX_KEEP) -> Case:
    return Case("nginx", configure(NGINX, extra=keep + extra), {*problems}, change)


def haproxy(extra: str, *problems: str, change: str = "", timeout: str = "60s") -> Case:
    return Case("haproxy", configure(HAPROXY, extra=extra, timeout=timeout), {*problems}, change)


def envoy(setting: str, wrong: str, *problems: str, change: str) -> Case:
    """Return the configuration of deploy/envoy.yaml with a wrong setting."""
    assert setting in ENVOY
    return Case("envoy", ENVOY.replace(setting, wrong), {*problems}, change)


GOOD_HAPROXY = "option http-no-delay\n    option forwardfor\n    "
CASES = {
    "nginx buffers": nginx(
        'proxy_ignore_headers X-Accel-Buffering; proxy_set_header Accept-Encoding ""; '
        "gzip on; gzip_types text/event-stream; gzip_min_length 0;",
        "lost-accept-encoding",
        "buffering",
    ),
    "nginx cuts idle streams off": nginx(
        f"proxy_read_timeout {CUT_OFF_S}s;", "idle-cut-off", change="proxy_read_timeout"
    ),
    "nginx with HTTP/1.0": nginx(
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        "http-1.0",
        change="proxy_http_version 1.1",
        keep="",
    ),
    "nginx removes Accept-Encoding": nginx(
        'proxy_set_header Accept-Encoding "";', "lost-accept-encoding", change="proxy_set_header Accept-Encoding"
    ),
    "nginx compresses": nginx(
        'proxy_set_header Accept-Encoding ""; gzip on; gzip_types text/event-stream; gzip_min_length 0;',
        "lost-accept-encoding",
        "compressed-by-proxy",
    ),
    "nginx removes Last-Event-ID": nginx(
        'proxy_set_header Last-Event-ID "";', "lost-last-event-id", change="proxy_set_header Last-Event-ID"
    ),
    "nginx removes Authorization": nginx(
        'proxy_set_header Authorization "";', "lost-authorization", change="proxy_set_header Authorization"
    )._replace(token="any"),
    "nginx without X-Forwarded-For": nginx(
        "", "no-forwarded-for", "invented-address", keep='proxy_http_version 1.1; proxy_set_header Connection "";'
    ),
    "nginx adds a second CORS header": nginx("add_header Access-Control-Allow-Origin *;", "cors", change="remove"),
    "nginx answers preflight requests": nginx(
        f"if ($request_method = OPTIONS) {{ add_header Access-Control-Allow-Origin {ORIGIN}; "
        "add_header Access-Control-Allow-Headers Last-Event-ID; return 204; }",
        "cors",
        change="let the proxy forward OPTIONS requests",
    )._replace(token="any"),
    "nginx redirects": Case(
        "nginx",
        "server {{ listen 127.0.0.2:{port}; return 301 http://127.0.0.1:{port}$request_uri; }}"
        + configure(NGINX, extra=NGINX_KEEP),
        {"redirect"},
    ),
    "nginx without a server": Case("nginx", configure(NGINX, extra="").replace("{server}", "9"), {"unavailable"}),
    "haproxy delays": haproxy("option forwardfor", "delayed", change="option http-no-delay"),
    "haproxy cuts idle streams off": haproxy(
        GOOD_HAPROXY, "idle-cut-off", change="timeout server", timeout=f"{CUT_OFF_S}s"
    ),
    "haproxy removes Last-Event-ID": Case(
        "haproxy",
        configure(HAPROXY, extra=GOOD_HAPROXY, inner="http-request del-header Last-Event-ID"),
        {"lost-last-event-id"},
        "del-header Last-Event-ID",
    ),
    "apache": Case("apache", configure(APACHE), set()),
    "apache cuts idle streams off": Case(
        "apache", configure(APACHE, extra=f"ProxyTimeout {CUT_OFF_S}"), {"idle-cut-off"}, "ProxyTimeout"
    ),
    "apache with HTTP/1.0": Case(
        "apache", configure(APACHE, extra="SetEnv force-proxy-request-1.0 1"), {"http-1.0"}, "force-proxy-request-1.0"
    ),
    "apache removes Last-Event-ID": Case(
        "apache", configure(APACHE, extra="RequestHeader unset Last-Event-ID"), {"lost-last-event-id"}, "RequestHeader"
    ),
    "apache compresses": Case(
        "apache",
        configure(APACHE, extra="RequestHeader unset Accept-Encoding early\nSetOutputFilter DEFLATE"),
        {"lost-accept-encoding"},
        "RequestHeader unset Accept-Encoding",
    ),
    "caddy removes Accept-Encoding": Case(
        "caddy", configure(CADDY, inner="header_up -Accept-Encoding"), {"decompressed-by-proxy"}, "header_up"
    ),
    "caddy cuts streams off": Case(
        "caddy",
        configure(CADDY, inner=f"transport http {{\nread_timeout {CUT_OFF_S}s\n}}"),
        {"idle-cut-off"},
        "read_timeout",
    ),
    "varnish buffers": Case("varnish", configure(VARNISH), {"buffering"}, "return (pipe)"),
    "squid": Case("squid", configure(SQUID), set()),
    "squid cuts idle streams off": Case(
        "squid", configure(SQUID, extra=f"read_timeout {CUT_OFF_S} seconds"), {"idle-cut-off"}, "read_timeout"
    ),
    "squid removes Authorization": Case("squid", configure(SQUID), {"lost-authorization"}, "login=PASS", token="any"),
    "squid removes X-Forwarded-For": Case(
        "squid", configure(SQUID, extra="forwarded_for delete"), {"no-forwarded-for"}, "forwarded_for on"
    ),
    "envoy ends streams": envoy(
        " timeout: 0s", f" timeout: {CUT_OFF_S + 1}s", "lifetime-cut-off", change="timeout: 0s"
    ),
    "envoy cuts idle streams off": envoy(
        "idle_timeout: 60s\n                            retry",
        f"idle_timeout: {CUT_OFF_S}s\n                            retry",
        "idle-cut-off",
        change="idle_timeout",
    ),
    "envoy without the client's address": envoy(
        "use_remote_address: true",
        "use_remote_address: false",
        "no-forwarded-for",
        "invented-address",
        change="use_remote_address",
    ),
    "envoy removes Last-Event-ID": envoy(
        "domains:",
        "request_headers_to_remove: [last-event-id]\n                      domains:",
        "lost-last-event-id",
        change="request_headers_to_remove",
    ),
}


async def examine(url: str, token: str | None = None) -> Diagnosis:
    diagnosis = await Doctor(url, token=token, origin=ORIGIN, answer_timeout_s=ANSWER_TIMEOUT_S).run()
    print(diagnosis)
    return diagnosis


# `make test` runs one case of each kind. All other cases together take too long.
SHORT_CASES = {
    "nginx buffers",
    "nginx cuts idle streams off",
    "nginx with HTTP/1.0",
    "haproxy delays",
    "apache",
}


def long_unless_short(name: str) -> object:
    return pytest.param(name, marks=() if name in SHORT_CASES else pytest.mark.long)


@pytest.mark.parametrize("name", [long_unless_short(name) for name in CASES])
async def test_the_doctor_names_the_setting_of_a_proxy(name: str, run_proxy_configuration, tmp_path: Path) -> None:
    case, port = CASES[name], find_free_port()
    async with run_server(heartbeat=case.heartbeat_s, trusted_proxies="127.0.0.1", cors=ORIGIN) as server:
        configuration = case.configuration.format(port=port, server=server.url.rpartition(":")[2], folder=tmp_path)
        async with run_proxy_configuration(case.proxy, configuration, port) as url:
            entrance = url.replace("127.0.0.1", "127.0.0.2") if "127.0.0.2" in configuration else url
            diagnosis = await examine(entrance, case.token)
    assert {finding.problem for finding in diagnosis.findings} == case.problems
    assert case.change in "".join(finding.change for finding in diagnosis.findings[:1])


NGINX_TLS = "{port} ssl; ssl_certificate {folder}/ca.pem; ssl_certificate_key {folder}/key.pem;"
HAPROXY_TLS = "{port} ssl crt {folder}/both.pem"
APACHE_TLS = """
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule http2_module /usr/lib/apache2/modules/mod_http2.so
SSLSessionCache none
SSLEngine on
SSLCertificateFile {folder}/both.pem
"""
ENVOY_TLS = """filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [h2, http/1.1]
                tls_certificates:
                  - certificate_chain: {{filename: FOLDER/ca.pem}}
                    private_key: {{filename: FOLDER/key.pem}}
          filters:
"""
NGINX_HTTP_2 = configure(NGINX, extra=NGINX_KEEP).replace("{port};", NGINX_TLS.replace("ssl;", "ssl http2;"))
HAPROXY_HTTP_2 = configure(HAPROXY, extra=GOOD_HAPROXY).replace("{port}", f"{HAPROXY_TLS} alpn h2,http/1.1")
APACHE_HTTP_2 = configure(APACHE) + APACHE_TLS + "Protocols h2 http/1.1\n"
ENVOY_HTTP_2 = ENVOY.replace("filter_chains:\n        - filters:\n", ENVOY_TLS)
TLS_CASES = {
    "nginx": ("nginx", configure(NGINX, extra=NGINX_KEEP).replace("{port};", NGINX_TLS)),
    "nginx with HTTP/2": ("nginx", NGINX_HTTP_2),
    "haproxy": ("haproxy", configure(HAPROXY, extra=GOOD_HAPROXY).replace("{port}", HAPROXY_TLS)),
    "haproxy with HTTP/2": ("haproxy", HAPROXY_HTTP_2),
    "apache": ("apache", configure(APACHE) + APACHE_TLS),
    "apache with HTTP/2": ("apache", APACHE_HTTP_2),
    "caddy with HTTP/2": (
        "caddy",
        configure(CADDY, extra="tls FOLDER/ca.pem FOLDER/key.pem").replace("http:", "https:"),
    ),
    "envoy with HTTP/2": ("envoy", ENVOY_HTTP_2),
}


async def examine_over_tls(
    case: tuple[str, str], run_proxy_configuration, folder: Path, certificate: tuple[Path, Path]
) -> Diagnosis:
    """Run the proxy of a case with a certificate and its key, and return the diagnosis."""
    (folder / "both.pem").write_bytes(b"".join(part.read_bytes() for part in certificate))
    proxy, configuration = case
    port = find_free_port()
    async with run_server(heartbeat=HEARTBEAT_S, trusted_proxies="127.0.0.1", cors=ORIGIN) as server:
        text = configuration.format(port=port, server=server.url.rpartition(":")[2], folder=folder)
        async with run_proxy_configuration(proxy, text.replace("FOLDER", str(folder)), port) as url:
            return await examine(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "name", [name if "nginx" in name else pytest.param(name, marks=pytest.mark.long) for name in TLS_CASES]
)
async def test_the_doctor_reads_streams_with_the_http_version_of_browsers(
    name: str, run_proxy_configuration, tmp_path: Path, trusted_certificate: tuple[Path, Path]
) -> None:
    diagnosis = await examine_over_tls(TLS_CASES[name], run_proxy_configuration, tmp_path, trusted_certificate)
    assert diagnosis.findings == []
    has_http_2 = name.endswith("HTTP/2")
    assert diagnosis.measurements["browser_http_version"] == ("HTTP/2" if has_http_2 else "HTTP/1.1")
    assert ("http_2_heartbeat_delay_ms" in diagnosis.measurements) == has_http_2
    assert [f"{diagnosis.product}: " in note for note in diagnosis.notes] == ([] if has_http_2 else [True])


# A configuration that allows one stream on a connection, and the setting to change.
STREAM_LIMITS = {
    "nginx": (NGINX_HTTP_2.replace("location", "http2_max_concurrent_streams 1; location"), "http2_max_concurrent"),
    "haproxy": ("global\n    tune.h2.max-concurrent-streams 1\n" + HAPROXY_HTTP_2, "tune.h2.max-concurrent-streams"),
    "apache sessions": (APACHE_HTTP_2 + "H2MaxSessionStreams 1\n", "H2MaxSessionStreams"),
    "apache workers": (APACHE_HTTP_2 + "H2MinWorkers 1\nH2MaxWorkers 1\n", "H2MaxWorkers"),
    "envoy": (
        ENVOY_HTTP_2.replace(
            "stat_prefix: web",
            "stat_prefix: web\n                http2_protocol_options: {{max_concurrent_streams: 1}}",
        ),
        "max_concurrent_streams",
    ),
}


@pytest.mark.parametrize(
    "name", [name if name == "nginx" else pytest.param(name, marks=pytest.mark.long) for name in STREAM_LIMITS]
)
async def test_the_doctor_finds_a_limit_of_streams_on_a_connection(
    name: str, run_proxy_configuration, tmp_path: Path, trusted_certificate: tuple[Path, Path]
) -> None:
    configuration, setting = STREAM_LIMITS[name]
    case = (name.partition(" ")[0], configuration)
    (finding,) = (await examine_over_tls(case, run_proxy_configuration, tmp_path, trusted_certificate)).findings
    assert (finding.problem, setting in finding.change) == ("stream-limit", True)


@pytest.mark.parametrize(
    "name",
    [
        "nginx",
        "haproxy",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("apache", "caddy", "varnish", "envoy", "traefik")),
    ],
)
async def test_the_doctor_has_no_finding_for_the_files_in_deploy(name: str, run_proxy) -> None:
    """docs/proxy.md shows the same files."""
    async with run_server(heartbeat=HEARTBEAT_S, trusted_proxies="127.0.0.1", cors=ORIGIN) as server:
        port = int(server.url.rpartition(":")[2])
        async with run_proxy(name, port, port) as url:
            diagnosis = await examine(url)
    assert diagnosis.findings == []


@pytest.mark.long
async def test_the_doctor_has_no_finding_for_haproxy_with_two_servers(run_proxy_configuration) -> None:
    """docs/proxy.md shows this variant of deploy/haproxy.cfg."""
    variant = re.findall(r"```haproxy\n(.*?)```", (ROOT / "docs" / "proxy.md").read_text(), re.DOTALL)[1]
    text = (ROOT / "deploy" / "haproxy.cfg").read_text()
    port = find_free_port()
    text = text[: text.index("\nbackend tickwire") + 1].replace("bind :80", f"bind 127.0.0.1:{port}") + variant
    settings = {"heartbeat": HEARTBEAT_S, "trusted_proxies": "127.0.0.1", "cors": ORIGIN}
    async with run_server(**settings) as one, run_server(**settings) as two:
        for server, example in ((one, "127.0.0.1:8000"), (two, "127.0.0.1:8001")):
            assert example in text
            text = text.replace(example, server.url.removeprefix("http://"))
        async with run_proxy_configuration("haproxy", text, port) as url:
            diagnosis = await examine(url)
    assert diagnosis.findings == []
