"""Errors as application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.errors import FilterError, InputError, JournalError, RowError

MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> Response:
    """A response that says what is wrong; `more` are members of the document beside the standard ones."""
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    document |= {key: value for key, value in more.items() if value is not None}
    return Response(encode(document), status, headers, media_type=MEDIA_TYPE)


def input_problem(error: InputError) -> Response:
    """The problem of a value that came in wrong; an error's own `status` and `headers` are the answer's."""
    more: dict[str, Any] = {"field": error.field, "hint": error.hint}
    if isinstance(error, RowError):
        more["index"] = error.index
    if isinstance(error, FilterError):
        more |= {"position": error.position, "caret": error.caret}
    return problem(getattr(error, "status", 400), str(error), headers=getattr(error, "headers", None), **more)


def journal_problem(error: JournalError) -> Response:
    """The problem of a journal that cannot do what was asked: it may be able to again soon."""
    return problem(503, str(error), headers={"retry-after": "2"})
