"""What a server's answer says when it is not what was asked for."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec

from tickwire.errors import ClientError, FilterError, InputError, RowError, TickwireError

_PASSING = {408, 425, 429, 500, 502, 503, 504}


def check_url(url: str) -> str:
    """The server's address without a slash at its end; InputError where it is none."""
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{url!r} is no server's address", field="url", hint="example: http://127.0.0.1:8000")
    return url.rstrip("/")


class Refusal:
    """An answer other than 200: for good, or for now."""

    def __init__(self, response: httpx2.Response) -> None:
        self._status = response.status_code
        self._url = response.url.copy_with(query=None)  # a query may hold a ticket
        self._problem = _problem(response)
        self._retry_after = response.headers.get("retry-after", "")

    @property
    def passing(self) -> bool:
        """Whether asking again later makes sense."""
        return self._status in _PASSING

    @property
    def retry_after(self) -> float | None:
        """The seconds that the server asks to wait, if it does."""
        return float(self._retry_after) if self._retry_after.isdigit() else None

    def error(self) -> TickwireError:
        """The refusal as an error: ours to mend (InputError, RowError), or the server's (ClientError).

        What the server says beside it (the place in a filter, a hint) are its notes, which a traceback shows.
        """
        error = self._error()
        for note in map(self._problem.get, ("caret", "hint")):
            if note:
                error.add_note(str(note))
        return error

    def _error(self) -> TickwireError:
        problem, detail = self._problem, str(self)
        if self._status not in (400, 413, 414):
            return ClientError(detail, status=self._status)
        if "index" in problem:
            return RowError(detail, index=problem["index"], field=problem.get("field"), hint=problem.get("hint"))
        if "position" in problem:
            return FilterError(detail, position=problem["position"], hint=problem.get("hint"))
        return InputError(detail, field=problem.get("field"), hint=problem.get("hint"))

    def __str__(self) -> str:
        return str(self._problem.get("detail") or f"{self._url} answered {self._status}")


def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
