"""The hands on a server's feed, from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tickwire.client.refusal import Refusal, check_url
from tickwire.client.token import Token, bearer
from tickwire.core.codec import decode
from tickwire.errors import ClientError

_PATH = "/v1/simulator"
_SECONDS = 30.0  # for one request


class Remote:
    """Controls the feed of the server at `url`. Each call answers the state after it, as `GET /v1/simulator` has it.

    InputError where the server says what is wrong with a command or a model; ClientError where it cannot be reached.
    """

    def __init__(self, url: str, token: Token = None) -> None:
        self._url = check_url(url)
        self._token = token

    def state(self) -> dict[str, Any]:
        """How the feed is."""
        return decode(self._call("GET", _PATH), dict[str, Any])

    def command(self, text: str) -> dict[str, Any]:
        """Send a command such as PAUSE or SPEED=5."""
        return decode(self._call("POST", _PATH, json={"command": text}), dict[str, Any])

    def put_model(self, path: Path) -> dict[str, Any]:
        """Let the simulator use the model in a file."""
        return decode(self._call("PUT", f"{_PATH}/model", content=_content(path)), dict[str, Any])

    def put_scenario(self, path: Path | None) -> dict[str, Any]:
        """Let the simulator play the scenario in a file from now on, or none."""
        where = f"{_PATH}/scenario"
        answer = self._call("DELETE", where) if path is None else self._call("PUT", where, content=_content(path))
        return decode(answer, dict[str, Any])

    def _call(self, method: str, path: str, **body: Any) -> bytes:
        try:
            headers = bearer(self._token)
            response = httpx2.request(method, self._url + path, headers=headers, timeout=_SECONDS, **body)
        except httpx2.TransportError as error:
            raise ClientError(f"{self._url}: {str(error) or type(error).__name__}") from None
        if not response.is_success:
            raise Refusal(response).error()
        return response.content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClientError(f"{path} cannot be read: {error.strerror}") from None
