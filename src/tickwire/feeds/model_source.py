"""Sources of a model file. A source reports whether the file has changed.

A source is a path, a web address, an object in an S3 bucket, or a file that contains one of these addresses.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx2

from tickwire.errors import InputError
from tickwire.redaction import redact_address

_REQUEST_TIMEOUT_S = 10.0
MAX_MODEL_BYTES = 64 * 1024 * 1024
"""The maximum size of a model file. A model of ten thousand symbols has about 10 MB."""
_TOO_LARGE = f"it is larger than {MAX_MODEL_BYTES // 2**20} MB"


class FetchedModel(NamedTuple):
    """The content of a model file, and the tag `etag` that identifies this content."""

    data: bytes
    etag: str


class ModelSource(Protocol):
    """A place from which the server fetches a model file."""

    async def fetch(self, known_etag: str | None = None) -> FetchedModel | None:
        """Return the file's content with a tag that identifies the content. Return None if the tag is `known_etag`.

        Raise InputError if the file cannot be read.
        """
        ...


def open_model_source(spec: str) -> ModelSource:
    """Return the source that `spec` names, without fetching the file. Raise InputError if `spec` is invalid."""
    try:
        scheme = urlsplit(spec).scheme
    except ValueError as error:
        raise InputError(f"invalid model {redact_address(spec)!r}: {error}", field="model") from None
    if scheme in ("http", "https"):
        return _HttpModelSource(spec)
    if scheme == "s3":
        return _S3ModelSource(spec)
    if scheme == "ref":
        return _ReferencedModelSource(Path(spec.removeprefix("ref:")))
    return _FileModelSource(Path(spec))


class _FileModelSource:
    """A model file on the local disk.

    The version tag of the model is a hash of its content, because the modification time can change without a change of
    the content.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    async def fetch(self, known_etag: str | None = None) -> FetchedModel | None:
        try:
            data = await asyncio.to_thread(self._read)
        except OSError as error:
            raise InputError(f"the model {self.path} cannot be read: {error.strerror}", field="model") from None
        if len(data) > MAX_MODEL_BYTES:
            raise _fetch_error(str(self.path), _TOO_LARGE)
        etag = hashlib.sha256(data).hexdigest()
        return None if etag == known_etag else FetchedModel(data, etag)

    def _read(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(MAX_MODEL_BYTES + 1)


class _ReferencedModelSource:
    """A model whose address is the content of a file, such as a mounted key of a Kubernetes ConfigMap.

    The version tag consists of the address and the tag of the model. Both a new address in the file and a new model at
    the address therefore change the version tag.
    """

    def __init__(self, path: Path) -> None:
        self._file = _FileModelSource(path)
        self._address = ""
        self._source: ModelSource | None = None

    async def fetch(self, known_etag: str | None = None) -> FetchedModel | None:
        content = await self._file.fetch()
        address = content.data.decode("utf-8", "replace").strip() if content else ""
        if not address or address.startswith("ref:"):
            raise InputError(f"{self._file.path} contains {address!r} instead of the address of a model", field="model")
        if self._source is None or address != self._address:
            self._source, self._address = open_model_source(address), address
        prefix = f"{address} "
        # A tag that belongs to another address cannot tell whether the model at this address has changed.
        known = known_etag.removeprefix(prefix) if known_etag and known_etag.startswith(prefix) else None
        model = await self._source.fetch(known)
        return model and FetchedModel(model.data, prefix + model.etag)


class _HttpModelSource:
    """A model file at a web address.

    The version tag of the model is the ETag of the response, or a hash of the content if the response has no ETag.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    async def fetch(self, known_etag: str | None = None) -> FetchedModel | None:
        # Send the tag only if it is an ETag from the server, not a hash. An ETag ends with a quotation mark; a hash
        # does not.
        headers = {"if-none-match": known_etag} if known_etag is not None and known_etag.endswith('"') else {}
        try:
            async with (
                httpx2.AsyncClient(timeout=_REQUEST_TIMEOUT_S, follow_redirects=True) as client,
                client.stream("GET", self._url, headers=headers) as response,
            ):
                data = await self._read_body(response)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _fetch_error(self._url, str(error) or type(error).__name__) from None
        if response.status_code == httpx2.codes.NOT_MODIFIED:
            return None
        if not response.is_success:
            raise _fetch_error(self._url, f"the server answered {response.status_code}")
        etag = response.headers.get("etag") or hashlib.sha256(data).hexdigest()
        return None if etag == known_etag else FetchedModel(data, etag)

    async def _read_body(self, response: httpx2.Response) -> bytes:
        """Return the decompressed body of a response. Raise InputError as soon as the body is too large."""
        parts, size = list[bytes](), 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > MAX_MODEL_BYTES:
                raise _fetch_error(self._url, _TOO_LARGE)
            parts.append(part)
        return b"".join(parts)


class _S3ModelSource:
    """A model file in S3 or a compatible object store.

    The usual AWS_* environment variables contain the access keys, the region and the endpoint.
    """

    def __init__(self, spec: str) -> None:
        url = urlsplit(spec)
        if not url.netloc or not url.path.strip("/"):
            raise InputError(f"invalid model {redact_address(spec)!r}: write s3://BUCKET/KEY", field="model")
        self._spec, self._key = spec, url.path.lstrip("/")
        try:
            self._obstore: Any = importlib.import_module("obstore")
            store = importlib.import_module("obstore.store")
        except ImportError:
            raise InputError(
                "a model in S3 needs the obstore package",
                field="model",
                hint="install it with: pip install 'tickwire[s3]'",
            ) from None
        # By default, the library obstore retries a request for minutes. One retry is enough, because the next poll
        # reads the object again.
        self._store = store.S3Store(url.netloc, client_options=_s3_client_options(), retry_config={"max_retries": 1})

    async def fetch(self, known_etag: str | None = None) -> FetchedModel | None:
        # Call obstore in a thread, because its asynchronous interface can abort the process at exit.
        return await asyncio.to_thread(self._fetch_blocking, known_etag)

    def _fetch_blocking(self, known_etag: str | None) -> FetchedModel | None:
        errors = self._obstore.exceptions
        try:
            response = self._obstore.get(
                self._store, self._key, options={"if_none_match": known_etag} if known_etag else None
            )
            if response.meta["size"] > MAX_MODEL_BYTES:
                raise _fetch_error(self._spec, _TOO_LARGE)
            return FetchedModel(bytes(response.bytes()), response.meta["e_tag"])
        except errors.NotModifiedError:
            return None
        except (errors.BaseError, FileNotFoundError) as error:
            raise _fetch_error(self._spec, str(error).splitlines()[0]) from None


def _fetch_error(spec: str, reason: str) -> InputError:
    return InputError(f"the model {redact_address(spec)} cannot be fetched: {reason}", field="model")


def _s3_client_options() -> dict[str, Any]:
    return {"timeout": f"{_REQUEST_TIMEOUT_S:g}s", "allow_http": True}
