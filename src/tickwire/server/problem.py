"""Problem documents: error responses of the type application/problem+json (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.errors import (
    BatchRowError,
    FilterError,
    InputError,
    JournalEntryRejected,
    JournalEntryTooLarge,
    JournalError,
)
from tickwire.server.http_errors import HttpError
from tickwire.sessions.rights import Rights

_REJECTED_ENTRY = "the journal does not accept the request: send less data"
_JOURNAL_FAULT = "the server cannot use its journal at the moment: retry later"

PROBLEM_MEDIA_TYPE = "application/problem+json"


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None, **extra_members: Any) -> Response:
    """Return a response with a problem document.

    The document also contains each of `extra_members` whose value is not None.
    """
    title = HTTPStatus(status).phrase
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    document |= {key: value for key, value in extra_members.items() if value is not None}
    return Response(encode_json(document), status, headers, media_type=PROBLEM_MEDIA_TYPE)


def input_problem(error: InputError, **extra_members: Any) -> Response:
    """Return the problem document for a request error, with `extra_members`.

    An HttpError has its own status. The status of any other error is 400.
    """
    members: dict[str, Any] = {"field": error.field, "hint": error.hint, **extra_members}
    if isinstance(error, BatchRowError):
        members |= {"index": error.index, "line": error.line}
    if isinstance(error, FilterError):
        members |= {"position": error.position, "caret": error.caret}
    if isinstance(error, HttpError):
        return problem(error.status, str(error), headers=dict(error.headers), **members)
    return problem(400, str(error), **members)


def journal_problem(error: JournalError, rights: Rights | None, **extra_members: Any) -> Response:
    """Return the problem document for a journal error, with `extra_members`.

    The status is 400 or 413 if the journal never accepts the entry. Any other error has the status 503, because the
    journal may recover soon.

    If the text of the error may contain a path or an address, only admins see the text.
    """
    is_visible = error.is_public or (rights is not None and rights.has_scope("admin"))
    if isinstance(error, JournalEntryRejected):
        status = 413 if isinstance(error, JournalEntryTooLarge) else 400
        return problem(status, str(error) if is_visible else _REJECTED_ENTRY, **extra_members)
    return problem(503, str(error) if is_visible else _JOURNAL_FAULT, headers={"retry-after": "2"}, **extra_members)
