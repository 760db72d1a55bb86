"""Where a model file comes from: a path, a web address, an object in an S3 bucket. Each knows when it has changed."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx2

from tickwire.errors import InputError

MOST_BYTES = 32 * 2**20  # 20,000 symbols with everything said are some 8 MB
_SECONDS = 10.0  # for one request


class Fetched(NamedTuple):
    """A file's content, and a mark that is another one when the file is."""

    data: bytes
    mark: str


class Source(Protocol):
    """A place with one file in it."""

    async def fetch(self, known: str | None = None) -> Fetched | None:
        """The file; None where it is still the one with the mark `known`. InputError where it cannot be had."""
        ...


def open_source(spec: str) -> Source:
    """The source that `spec` names; InputError for what cannot be one. Nothing is fetched yet."""
    scheme = urlsplit(spec).scheme
    if scheme in ("http", "https"):
        return _Web(spec)
    if scheme == "s3":
        return _Bucket(spec)
    return _File(Path(spec))


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def fetch(self, known: str | None = None) -> Fetched | None:
        """The file, if what is in it has changed; its time alone does not count."""
        try:
            data = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            raise InputError(f"the model {self._path} cannot be read: {error.strerror}", field="model") from None
        mark = hashlib.sha256(data).hexdigest()
        return None if mark == known else Fetched(data, mark)


class _Web:
    def __init__(self, url: str) -> None:
        self._url = url

    async def fetch(self, known: str | None = None) -> Fetched | None:
        """The file, if its ETag has changed (or, where the server gives none, what is in it)."""
        headers = {"if-none-match": known} if known is not None and known.endswith('"') else {}
        try:
            async with httpx2.AsyncClient(timeout=_SECONDS, follow_redirects=True) as client:
                response = await client.get(self._url, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise InputError(f"the model {self._url} cannot be had: {said}", field="model") from None
        if response.status_code == httpx2.codes.NOT_MODIFIED:
            return None
        if not response.is_success:
            said = f"the server answered {response.status_code}"
            raise InputError(f"the model {self._url} cannot be had: {said}", field="model")
        data = response.content
        mark = response.headers.get("etag") or hashlib.sha256(data).hexdigest()
        return None if mark == known else Fetched(data, mark)


class _Bucket:
    """An object in S3 or what speaks its protocol; keys, region and endpoint come from the usual AWS_* variables."""

    def __init__(self, spec: str) -> None:
        place = urlsplit(spec)
        if not place.netloc or not place.path.strip("/"):
            raise InputError(f"model {spec!r}: expected s3://BUCKET/KEY", field="model")
        self._spec, self._key = spec, place.path.lstrip("/")
        try:
            self._obstore: Any = importlib.import_module("obstore")
            store = importlib.import_module("obstore.store")
        except ImportError:
            raise InputError(
                "a model in S3 needs obstore", field="model", hint="install it with: pip install 'tickwire[s3]'"
            ) from None
        # Its retries would hold a poll up for minutes; the next poll is the retry.
        self._store = store.S3Store(place.netloc, client_options=_client_options(), retry_config={"max_retries": 1})

    async def fetch(self, known: str | None = None) -> Fetched | None:
        """The object, if its ETag has changed."""
        return await asyncio.to_thread(self._fetch, known)  # its own async interface can abort at exit

    def _fetch(self, known: str | None) -> Fetched | None:
        errors = self._obstore.exceptions
        try:
            found = self._obstore.get(self._store, self._key, options={"if_none_match": known} if known else None)
            return Fetched(bytes(found.bytes()), found.meta["e_tag"])
        except errors.NotModifiedError:
            return None
        except (errors.BaseError, FileNotFoundError) as error:
            said = str(error).splitlines()[0]
            raise InputError(f"the model {self._spec} cannot be had: {said}", field="model") from None


def _client_options() -> dict[str, Any]:
    return {"timeout": f"{_SECONDS:g}s", "allow_http": True}
