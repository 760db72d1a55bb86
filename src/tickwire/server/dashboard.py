"""The dashboard at `/`: files that Vite built from `dashboard/`, held in memory and served under a strict policy."""

from __future__ import annotations

import gzip
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from tickwire.server.problem import problem

BUILT = "pages/app"
POLICY = "; ".join(
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
_INDEX_HEADERS = {"cache-control": "no-cache", "content-security-policy": POLICY}
# A file's name has a hash of what is in it, so what has been read once is good for ever.
_FILE_HEADERS = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "html": "text/html"}
_UNBUILT = (
    "The page has not been built in this checkout. `make setup` builds it (or: python dashboard/build.py); then start "
    "the server again. Everything else works: /docs has the API.\n"
)


class File(NamedTuple):
    """A file of the page: its media type, its bytes, and those packed."""

    media_type: str
    plain: bytes
    packed: bytes


class Page:
    """The built page at `folder`; `index` is None where nothing was built."""

    def __init__(self, folder: Traversable) -> None:
        index = folder.joinpath("index.html")
        self.index = index.read_bytes() if index.is_file() else None
        self.files = {each.name: _read(each) for each in folder.joinpath("app").iterdir()} if self.index else {}


def add_dashboard(app: FastAPI, folder: Traversable | None = None) -> None:
    """Serve the page that is built in `folder` (the package's own, unless given)."""
    page = Page(folder or files("tickwire.server").joinpath(BUILT))
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def index() -> Response:
        if page.index is None:
            return PlainTextResponse(_UNBUILT, 503, {"cache-control": "no-store", "content-security-policy": POLICY})
        return Response(page.index, headers=_INDEX_HEADERS, media_type="text/html")

    @routes.get("/app/{name}")
    async def file(request: Request, name: str) -> Response:
        found = page.files.get(name)
        if found is None:
            return problem(404, f"the page has no file {name[:100]!r}: it may have been built anew; reload it")
        return _answer(found, request)

    app.include_router(routes)


def _read(file: Traversable) -> File:
    plain = file.read_bytes()
    return File(_TYPES[file.name.rpartition(".")[2]], plain, gzip.compress(plain, mtime=0))


def _answer(file: File, request: Request) -> Response:
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.plain, headers=_FILE_HEADERS, media_type=file.media_type)
    return Response(file.packed, headers=_FILE_HEADERS | {"content-encoding": "gzip"}, media_type=file.media_type)
