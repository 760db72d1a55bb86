"""The two formats of a log line: text for people, and JSON for programs."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

from tickwire.core.codec import encode_json
from tickwire.core.log_text import escape_controls, safe_text
from tickwire.redaction import redact_urls

LogFormat: TypeAlias = Literal["console", "json"]

MAX_MESSAGE_BYTES = 4_000
"""The maximum size of a message. The longest regular message, an error with several addresses, has about 100 bytes."""
MAX_TRACEBACK_CHARS = 16_000
"""The maximum length of a traceback. The formatter cuts the beginning of a longer traceback, because the end names the
error."""
_FORMAT = "%(asctime)s %(levelname)s %(message)s"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the present task answers."""
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The id of the trace that the request belongs to, as hexadecimal digits, or None if the request is not sampled."""


class LineFormatter(logging.Formatter):
    """Formats a log record, even if the record contains untrusted text.

    URLs lose their credentials. The message is one line without control characters and has a bounded size. The lines of
    a traceback are indented, so that each line without indentation is a new record.
    """

    def __init__(self) -> None:
        super().__init__(_FORMAT)
        # A cache: the newest second, and its formatted time, which all records of this second share.
        self._second, self._second_text = 0, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802  # named by the base class
        """Return the local time of a record with milliseconds."""
        return self._format_time(record.created)

    def format_fields(self, level_name: str, _logger_name: str, fields: Mapping[str, Any]) -> str:
        """Return the log line of a request at the present time.

        The line has the same form as the line of a log record.
        """
        message = safe_text(redact_urls(encode_json(fields).decode()), MAX_MESSAGE_BYTES)
        return f"{self._format_time(time.time())} {level_name} {message}"

    def _format_time(self, seconds: float) -> str:
        whole = int(seconds)
        if whole != self._second:
            self._second, self._second_text = whole, time.strftime(self.default_time_format, time.localtime(whole))
        return f"{self._second_text},{int((seconds - whole) * 1000):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # named by the base class
        """Return the first line of a record."""
        record.message = safe_text(redact_urls(record.message), MAX_MESSAGE_BYTES)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and the indented lines of its traceback."""
        head, *traceback = super().format(record).split("\n")
        text = redact_urls("\n".join(traceback))[-MAX_TRACEBACK_CHARS:]
        return "\n    ".join([head, *map(escape_controls, text.split("\n"))]) if text else head


class JsonFormatter(logging.Formatter):
    """Formats a log record as one JSON object on one line. docs/operations/logs.md describes its members.

    As in `LineFormatter`, URLs lose their credentials, and all texts are printable and bounded.
    """

    def format_fields(self, level_name: str, logger_name: str, fields: Mapping[str, Any]) -> str:
        """Return the log line of a request at the present time. `fields` contains the members of the line."""
        return _render(time.time(), level_name, logger_name, _describe_request(fields))

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record. The member `traceback` contains the traceback of the record's error."""
        fields = getattr(record, "fields", None)
        members = _describe_request(fields) if fields is not None else _describe_message(record.getMessage())
        if record.exc_info:
            text = redact_urls(self.formatException(record.exc_info))[-MAX_TRACEBACK_CHARS:]
            members["traceback"] = "\n".join(map(escape_controls, text.split("\n")))
        return _render(record.created, record.levelname, record.name, members)


def _describe_message(message: str) -> dict[str, Any]:
    members: dict[str, Any] = {"message": safe_text(redact_urls(message), MAX_MESSAGE_BYTES)}
    ids = {"request_id": request_id.get(), "trace_id": trace_id.get()}
    return members | {name: value for name, value in ids.items() if value is not None}


def _describe_request(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of the line of a request. The texts in `fields` must be printable already."""
    request = {name: value for name, value in fields.items() if name not in {"id", "trace"}}
    message = f"{fields['method']} {fields['path']} {fields['status']}"
    members = {"message": message, "request_id": fields["id"], "request": request}
    return {**members, "trace_id": fields["trace"]} if "trace" in fields else members


def _render(seconds: float, level_name: str, logger_name: str, members: Mapping[str, Any]) -> str:
    whole = int(seconds)
    moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((seconds - whole) * 1000):03d}Z"
    line = {"ts": moment, "level": level_name.lower(), "logger": logger_name, **members}
    return encode_json(line).decode()
