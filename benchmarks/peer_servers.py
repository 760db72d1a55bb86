"""The servers under comparison: how to build, start, read from and publish to each server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from benchmarks.machine import SOURCES_FOLDER, build_folder
from benchmarks.process import ProcessGroup

_GO_BUILD_TIMEOUT_S = 900
_MERCURE_KEY = "only-for-measuring-on-the-loopback"
_NCHAN_MODULE_FOLDERS = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/nginx/modules")
_TICKWIRE = "tickwire"
_ONE_SYMBOL_PATH = "/v1/stream?symbols=S0&delivery=all&snapshot=false"
# The load generator decodes a content coding if the C header of the coding's library is installed.
_COMPRESSION_LIBRARIES = {"zlib.h": "-lz", "zstd.h": "-lzstd"}


class PeerUnavailable(Exception):
    """The peer cannot run on this machine; the message says what to install."""


@dataclass(frozen=True)
class Peer:
    """A server, with the commands that start it and the requests that it accepts.

    `command(port, folder)` returns the command that starts the server, or raises PeerUnavailable.
    `proxy_command(port, inner_port, folder)` returns the command that starts a proxy on `port` for a server on
    `inner_port`. `reports_ready` is True if the server writes to the pipe of TICKWIRE_READY_FD when it is ready.
    `companions` are running processes that the server depends on.
    """

    name: str
    description: str
    command: Callable[[int, Path], list[str]]
    stream_path: str = "/stream"
    publish_path: str = "/publish"
    headers: str = "Content-Type: application/json"
    body_prefix: str = ""
    body_suffix: str = ""
    publishes_full_quotes: bool = True
    is_url_encoded: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    proxy_command: Callable[[int, int, Path], list[str]] | None = None
    reports_ready: bool = False
    companions: ProcessGroup = field(default_factory=ProcessGroup)

    @property
    def is_tickwire(self) -> bool:
        """Whether the peer is Tickwire itself, with any options."""
        return self.name.startswith(_TICKWIRE)

    def load_options(self) -> dict[str, object]:
        """The options of the load generator for this server."""
        return {
            "get": self.stream_path,
            "post": self.publish_path,
            "headers": self.headers,
            "prefix": self.body_prefix,
            "suffix": self.body_suffix,
            "full": int(self.publishes_full_quotes),
            "urlencode": int(self.is_url_encoded),
        }


def tickwire_peer(*options: str, name: str = _TICKWIRE, stream_path: str = _ONE_SYMBOL_PATH) -> Peer:
    """Return Tickwire with `--feed http` and further options of `tickwire serve`."""

    def command(port: int, folder: Path) -> list[str]:
        del folder
        return [sys.executable, "-m", "tickwire", "serve", "--feed", "http", "--port", str(port), *options]

    return Peer(
        name,
        "uvicorn, uvloop",
        command,
        stream_path=stream_path,
        publish_path="/v1/quotes",
        body_prefix="[",
        body_suffix="]",
        publishes_full_quotes=False,
        reports_ready=True,
    )


def tickwire_variant(name: str, options: str) -> Peer:
    """Return Tickwire with a journal in memory. `options` are further options of `tickwire serve`, as in a shell."""
    return tickwire_peer("--journal", "memory", *shlex.split(options), name=f"{_TICKWIRE}-{name}")


def compile_load_generator() -> Path:
    """Compile the load generator with the content codings whose libraries are installed. Return its path."""
    return compile_program("load", *sorted((SOURCES_FOLDER / "load").glob("*.c")), headers=_COMPRESSION_LIBRARIES)


def compile_program(name: str, *files: Path, headers: Mapping[str, str] = MappingProxyType({})) -> Path:
    """Compile a C program if a source file is newer than the last build. Return the path of the program.

    `headers` maps headers to the linker options of their libraries. The build omits a library if its header is not
    installed. Raise PeerUnavailable if no C compiler is installed.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise PeerUnavailable("needs a C compiler (Debian: apt-get install gcc libc6-dev)")
    program = build_folder() / name
    sources = [*files, *(path for file in files for path in file.parent.glob("*.h"))]
    if not program.exists() or program.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        libraries = [library for header, library in headers.items() if _has_header(compiler, header)]
        # Compile to a temporary file, because another process may compile or run the same program.
        unfinished = program.with_name(f"{name}.{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", str(unfinished), *map(str, files), *libraries], check=True)
        unfinished.replace(program)
    return program


def _has_header(compiler: str, header: str) -> bool:
    command = [compiler, "-fsyntax-only", "-include", header, "-xc", "-"]
    return not subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def _send_loop_command(port: int, folder: Path) -> list[str]:
    del folder
    return [str(compile_program("limit", SOURCES_FOLDER / "peers" / "limit.c")), str(port)]


def _asgi_command(module: str) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        del folder
        return [
            sys.executable, "-m", "uvicorn", f"{module}:app", "--app-dir", str(SOURCES_FOLDER / "peers"),
            "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning",
        ]  # fmt: skip

    return command


def _node_command(port: int, folder: Path) -> list[str]:
    del folder
    node = shutil.which("node")
    if node is None:
        raise PeerUnavailable("Node.js is not installed (Debian: apt-get install nodejs)")
    return [node, str(SOURCES_FOLDER / "peers" / "node.js"), str(port)]


def _nchan_command(port: int, folder: Path) -> list[str]:
    candidates = (Path(folder_name) / "ngx_nchan_module.so" for folder_name in _NCHAN_MODULE_FOLDERS)
    module = next(filter(Path.exists, candidates), None)
    if module is None:
        raise PeerUnavailable("nchan is not installed (Debian: apt-get install libnginx-mod-nchan)")
    return _nginx_command("nchan.conf", folder, MODULE=module, PORT=port)


def _nginx_gzip_command(port: int, inner_port: int, folder: Path) -> list[str]:
    return _nginx_command("nginx-gzip.conf", folder, PORT=port, INNER=inner_port)


def _nginx_command(name: str, folder: Path, **placeholders: object) -> list[str]:
    """Replace each @PLACEHOLDER@ in the configuration `name`, and return the command that runs nginx with it."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise PeerUnavailable("nginx is not installed (Debian: apt-get install nginx)")
    text = (SOURCES_FOLDER / "peers" / name).read_text(encoding="utf-8")
    for placeholder, value in {**placeholders, "FOLDER": folder}.items():
        text = text.replace(f"@{placeholder}@", str(value))
    config = folder / name
    config.write_text(text, encoding="utf-8")
    return [nginx, "-c", str(config), "-p", str(folder)]


def behind_nginx(peer: Peer) -> Peer:
    """Return the peer behind an nginx that compresses each reader's stream separately."""
    return replace(peer, description=f"{peer.description}; nginx, gzip level 1", proxy_command=_nginx_gzip_command)


def _build_go_program(package: str, version: str, program: str) -> Path:
    """Build a Go program from a pinned version of its module, and return the path of the program."""
    path = build_folder() / program
    if path.exists():
        return path
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise PeerUnavailable("Go is not installed (https://go.dev/doc/install)")
    module = "/".join(package.split("/")[: 4 if "/v" in package else 3])
    folder = build_folder() / f"{program}-build"
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text(f"module bench\n\ngo 1.23\n\nrequire {module} {version}\n", encoding="utf-8")
    print(f"building {program} {version} (only once; this takes a few minutes)", file=sys.stderr)
    build = subprocess.run(
        [go, "build", "-mod=mod", "-o", str(path), package],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_GO_BUILD_TIMEOUT_S,
        check=False,
    )
    if build.returncode:
        raise PeerUnavailable(f"go build failed: {build.stderr.strip().splitlines()[-1]}")
    return path


def _centrifugo_command(port: int, folder: Path) -> list[str]:
    program = _build_go_program("github.com/centrifugal/centrifugo/v6", "v6.9.1", "centrifugo")
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


def _mercure_command(port: int, folder: Path) -> list[str]:
    del folder
    program = _build_go_program("github.com/dunglas/mercure/cmd/mercure", "v0.18.0", "mercure")
    return ["env", f"ADDR=127.0.0.1:{port}", f"JWT_KEY={_MERCURE_KEY}", "ALLOW_ANONYMOUS=1", str(program)]


def _mercure_token() -> str:
    """Return a JWT (RFC 7519, HS256) that allows publishing, signed with the key of the Mercure server."""
    parts = [{"alg": "HS256", "typ": "JWT"}, {"mercure": {"publish": ["*"]}}]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    signature = hmac.new(_MERCURE_KEY.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


_ONE_CORE_ENV = {"GOMAXPROCS": "1"}
GZIP_ASGI = Peer(
    "gzip-asgi",
    "uvicorn, a zlib stream per reader, level 6",
    _asgi_command("gzip_asgi"),
    body_prefix="[",
    body_suffix="]",
)
"""A server that compresses each stream separately. Only the compression benchmark runs this server."""

SENDER_PEERS = tuple(tickwire_variant(sender, f"--sender {sender}") for sender in ("uring", "native", "transport"))
"""Each of these rows measures Tickwire with a fixed sender. The other rows of Tickwire use the sender that the server
chooses on this machine."""

SEND_LOOP = Peer("limit", "C, one send(2) per reader", _send_loop_command)
PEERS = (
    SEND_LOOP,
    tickwire_peer("--journal", "memory"),
    tickwire_peer("--data", ".", name="tickwire-sqlite"),
    Peer("queue-asgi", "uvicorn, a queue per reader", _asgi_command("queue_asgi")),
    Peer("sse-starlette", "uvicorn, a queue per reader", _asgi_command("sse_starlette_app")),
    Peer("node", "Node.js http, res.write", _node_command),
    Peer("nchan", "nginx module, C", _nchan_command, stream_path="/sub", publish_path="/pub"),
    Peer(
        "centrifugo",
        "Go, unidirectional SSE",
        _centrifugo_command,
        stream_path="/connection/uni_sse?cf_connect=" + quote('{"subs":{"q":{}}}'),
        publish_path="/api/publish",
        body_prefix='{"channel":"q","data":',
        body_suffix="}",
        env=_ONE_CORE_ENV,
    ),
    Peer(
        "mercure",
        "Go",
        _mercure_command,
        stream_path="/.well-known/mercure?topic=q",
        publish_path="/.well-known/mercure",
        headers=f"Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer {_mercure_token()}",
        body_prefix="topic=q&data=",
        is_url_encoded=True,
        env=_ONE_CORE_ENV,
    ),
)
