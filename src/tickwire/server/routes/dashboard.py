"""Serve the dashboard at `/` from memory, with a strict content security policy.

The build tool Vite creates the files of the dashboard from the folder `dashboard/`.
"""

from __future__ import annotations

import gzip
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from tickwire.server.problem import problem

BUNDLE_PATH = "pages/app"
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_INDEX_HEADERS = {"cache-control": "no-cache", "content-security-policy": CONTENT_SECURITY_POLICY}
# The name of a file contains a hash of the file's content, so browsers may cache the file forever.
_FILE_HEADERS = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
_NOT_BUILT_MESSAGE = (
    "This checkout has no built dashboard. Build it with `make setup` (or: python dashboard/build.py), then restart "
    "the server. All other pages work: see /docs for the API.\n"
)


class StaticFile:
    """A file of the dashboard: its media type and its bytes."""

    def __init__(self, media_type: str, plain: bytes) -> None:
        self.media_type = media_type
        self.plain = plain

    @cached_property
    def gzipped(self) -> bytes:
        """The compressed bytes. The first request for the file compresses it, so that a server starts sooner."""
        return gzip.compress(self.plain, mtime=0)


class DashboardBundle:
    """The files of the built dashboard. `index` is None if the folder contains no built dashboard."""

    def __init__(self, folder: Traversable) -> None:
        index = folder.joinpath("index.html")
        self.index = index.read_bytes() if index.is_file() else None
        self.files = {file.name: _load_file(file) for file in folder.joinpath("app").iterdir()} if self.index else {}


def add_dashboard(app: FastAPI, folder: Traversable | None = None) -> None:
    """Serve the dashboard in `folder`. The default is the dashboard in the installed package."""
    bundle = DashboardBundle(folder or files("tickwire.server").joinpath(BUNDLE_PATH))

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        if bundle.index is None:
            return PlainTextResponse(
                _NOT_BUILT_MESSAGE,
                503,
                {"cache-control": "no-store", "content-security-policy": CONTENT_SECURITY_POLICY},
            )
        return Response(bundle.index, headers=_INDEX_HEADERS, media_type="text/html")

    @app.get("/app/{name}", include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        static_file = bundle.files.get(name)
        if static_file is None:
            return problem(404, f"the dashboard has no file {name[:100]!r}: reload the page to get the current build")
        return _file_response(static_file, request)


def _load_file(file: Traversable) -> StaticFile:
    return StaticFile(_MEDIA_TYPES[file.name.rpartition(".")[2]], file.read_bytes())


def _file_response(file: StaticFile, request: Request) -> Response:
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.plain, headers=_FILE_HEADERS, media_type=file.media_type)
    return Response(file.gzipped, headers=_FILE_HEADERS | {"content-encoding": "gzip"}, media_type=file.media_type)
