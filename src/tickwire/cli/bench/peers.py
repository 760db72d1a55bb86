"""The servers that do the same work: how each is got, started, read from and published to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from tickwire.cli.bench.machine import built, sources
from tickwire.cli.bench.process import Server

_GO_SECONDS = 900
_MERCURE_KEY = "only-for-measuring-on-the-loopback"
_NCHAN_PLACES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")


_ONE_SYMBOL = "/v1/stream?symbols=S0&delivery=all&snapshot=false"
_CODINGS = {"zlib.h": "-lz", "zstd.h": "-lzstd"}  # what the load decodes, where it is there


class Missing(Exception):
    """The peer cannot be had here; the text says what to do."""


@dataclass(frozen=True)
class Peer:
    """A server. `command(port, folder)` gives how to start it (Missing where it cannot be); the rest how to use it.

    `front(port, inner, folder)` starts a proxy on `port` before the server, which then listens on `inner`.
    `ready` is what a server says once all of it listens, where its port alone does not tell;
    `beside` are running processes that it needs.
    """

    name: str
    what: str
    command: Callable[[int, Path], list[str]]
    get: str = "/stream"
    post: str = "/publish"
    headers: str = "Content-Type: application/json"
    prefix: str = ""
    suffix: str = ""
    full: bool = True
    urlencode: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    front: Callable[[int, int, Path], list[str]] | None = None
    ready: str = ""
    beside: Server = field(default_factory=Server)

    def load_options(self) -> dict[str, object]:
        """How the load talks to it."""
        return {
            "get": self.get, "post": self.post, "headers": self.headers, "prefix": self.prefix, "suffix": self.suffix,
            "full": int(self.full), "urlencode": int(self.urlencode),
        }  # fmt: skip


def tickwire(*options: str, name: str = "tickwire", get: str = _ONE_SYMBOL) -> Peer:
    """Tickwire itself, taking ticks over HTTP, with more options for `serve`."""

    def command(port: int, folder: Path) -> list[str]:
        del folder
        return [sys.executable, "-m", "tickwire", "serve", "--feed", "http", "--port", str(port), *options]

    return Peer(name, "uvicorn, uvloop", command, get=get, post="/v1/quotes", prefix="[", suffix="]", full=False)


def compiled_load() -> Path:
    """The load, with the content codings whose libraries are here."""
    return compiled("load", *sorted((sources() / "load").glob("*.c")), headers=_CODINGS)


def compiled(name: str, *files: Path, headers: Mapping[str, str] = MappingProxyType({})) -> Path:
    """The C program in `files`, linked with what belongs to the headers that are here; Missing without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise Missing("needs a C compiler (Debian: apt-get install gcc libc6-dev)")
    program = built() / name
    around = [path for file in files for path in file.parent.glob("*.h")]
    if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime for path in (*files, *around)):
        libraries = [library for header, library in headers.items() if _has(compiler, header)]
        subprocess.run([compiler, "-O2", "-o", str(program), *map(str, files), *libraries], check=True)
    return program


def _has(compiler: str, header: str) -> bool:
    done = subprocess.run(
        [compiler, "-fsyntax-only", "-include", header, "-xc", "-"],
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip
    return not done.returncode


def _limit(port: int, folder: Path) -> list[str]:
    del folder
    return [str(compiled("limit", sources() / "peers" / "limit.c")), str(port)]


def _asgi(module: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        del folder
        return [
            sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(sources() / "peers"),
            "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip

    return command


def _node(port: int, folder: Path) -> list[str]:
    del folder
    node = shutil.which("node")
    if node is None:
        raise Missing("Node.js is not on this machine (Debian: apt-get install nodejs)")
    return [node, str(sources() / "peers" / "node.js"), str(port)]


def _nchan(port: int, folder: Path) -> list[str]:
    module = next((path for place in _NCHAN_PLACES if (path := Path(place) / "ngx_nchan_module.so").exists()), None)
    if module is None:
        raise Missing("nchan is not on this machine (Debian: apt-get install libnginx-mod-nchan)")
    return _nginx("nchan.conf", folder, MODULE=module, PORT=port)


def _nginx_gzip(port: int, inner: int, folder: Path) -> list[str]:
    return _nginx("nginx-gzip.conf", folder, PORT=port, INNER=inner)


def _nginx(name: str, folder: Path, **places: object) -> list[str]:
    """nginx with a configuration of ours, in which @NAME@ stands for what is only known now."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise Missing("nginx is not on this machine (Debian: apt-get install nginx)")
    text = (sources() / "peers" / name).read_text(encoding="utf-8")
    for word, value in {**places, "FOLDER": folder}.items():
        text = text.replace(f"@{word}@", str(value))
    config = folder / name
    config.write_text(text, encoding="utf-8")
    return [nginx, "-c", str(config), "-p", str(folder)]


def behind_nginx(peer: Peer) -> Peer:
    """The server behind an nginx that compresses, with a stream for each reader."""
    return replace(peer, what=f"{peer.what}; nginx, gzip level 1", front=_nginx_gzip)


def _go_program(package: str, version: str, program: str) -> Path:
    """A Go program built from a pinned version of its module."""
    path = built() / program
    if path.exists():
        return path
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise Missing("Go is not on this machine (https://go.dev/doc/install)")
    module = "/".join(package.split("/")[: 4 if "/v" in package else 3])
    folder = built() / f"{program}-build"
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text(f"module bench\n\ngo 1.23\n\nrequire {module} {version}\n", encoding="utf-8")
    print(f"building {program} {version} (once, some minutes)", file=sys.stderr)
    done = subprocess.run(
        [go, "build", "-mod=mod", "-o", str(path), package],
        cwd=folder, capture_output=True, text=True, timeout=_GO_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Missing(f"go build failed: {done.stderr.strip().splitlines()[-1]}")
    return path


def _centrifugo(port: int, folder: Path) -> list[str]:
    program = _go_program("github.com/centrifugal/centrifugo/v6", "v6.9.1", "centrifugo")
    config = {
        "http_server": {"address": "127.0.0.1", "port": str(port)},
        "client": {"allow_anonymous_connect_without_token": True},
        "http_api": {"insecure": True},
        "uni_sse": {"enabled": True},
        "channel": {"without_namespace": {"allow_subscribe_for_anonymous": True, "allow_subscribe_for_client": True}},
        "log": {"level": "error"},
    }
    path = folder / "centrifugo.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return [str(program), "--config", str(path)]


def _mercure(port: int, folder: Path) -> list[str]:
    del folder
    program = _go_program("github.com/dunglas/mercure/cmd/mercure", "v0.18.0", "mercure")
    return ["env", f"ADDR=127.0.0.1:{port}", f"JWT_KEY={_MERCURE_KEY}", "ALLOW_ANONYMOUS=1", str(program)]


def _mercure_token() -> str:
    """A token that may publish (RFC 7519, HS256), signed with the key the server was started with."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"mercure": {"publish": ["*"]}}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(_MERCURE_KEY.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


_ONE_CORE = {"GOMAXPROCS": "1"}
GZIP_ASGI = Peer("gzip-asgi", "uvicorn, a zlib stream a reader, level 6", _asgi("gzip_asgi"), prefix="[", suffix="]")
"""Not among the peers: one answer to how streams are compressed where nobody shares the work."""

LIMIT = Peer("limit", "C, one send(2) each", _limit)
PEERS = (
    LIMIT,
    tickwire("--journal", "memory"),
    tickwire("--data", ".", name="tickwire-sqlite"),
    Peer("queue-asgi", "uvicorn, a queue a reader", _asgi("queue_asgi")),
    Peer("sse-starlette", "uvicorn, a queue a reader", _asgi("sse_starlette_app")),
    Peer("node", "Node.js http, res.write", _node),
    Peer("nchan", "nginx module, C", _nchan, get="/sub", post="/pub"),
    Peer(
        "centrifugo", "Go, unidirectional SSE", _centrifugo,
        get="/connection/uni_sse?cf_connect=" + quote('{"subs":{"q":{}}}'), post="/api/publish",
        prefix='{"channel":"q","data":', suffix="}", env=_ONE_CORE,
    ),
    Peer(
        "mercure", "Go", _mercure, get="/.well-known/mercure?topic=q", post="/.well-known/mercure",
        headers=f"Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer {_mercure_token()}",
        prefix="topic=q&data=", urlencode=True, env=_ONE_CORE,
    ),
)  # fmt: skip
