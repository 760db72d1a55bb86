"""Control the feed (the source of ticks) of a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tickwire.client.http import HttpConnection
from tickwire.core.codec import decode_json
from tickwire.errors import ClientError

_SIMULATOR_PATH = "/v1/simulator"


class Simulator:
    """Controls the feed (the source of ticks) of a server.

    Each method returns the state of the feed after the call, in the format of `GET /v1/simulator`. Each method raises
    InputError if a command, a model or a scenario is invalid, and ClientError if the server does not answer.
    """

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    async def status(self) -> dict[str, Any]:
        return await self._request("GET", "")

    async def send_command(self, text: str) -> dict[str, Any]:
        """Send a command such as PAUSE or SPEED=5."""
        return await self._request("POST", "", json={"command": text})

    async def set_model(self, path: Path) -> dict[str, Any]:
        """Switch to the market model in the file at `path`."""
        return await self._request("PUT", "/model", content=_read_file(path))

    async def set_scenario(self, path: Path | None) -> dict[str, Any]:
        """Replace the current scenario with the scenario in the file at `path`. None ends the current scenario."""
        if path is None:
            return await self._request("DELETE", "/scenario")
        return await self._request("PUT", "/scenario", content=_read_file(path))

    async def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        response = await self._connection.request(method, _SIMULATOR_PATH + path, **options)
        return decode_json(response.content, dict[str, Any])


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ClientError(f"cannot read {path}: {error.strerror}") from None
