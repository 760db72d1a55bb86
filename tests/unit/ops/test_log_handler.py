"""The log of a process: safe lines, a bounded queue, and a caller that never waits."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.ops import line_writer, log_handler
from tickwire.ops.line_writer import LineWriter
from tickwire.ops.log_format import MAX_MESSAGE_BYTES, MAX_TRACEBACK_CHARS, JsonFormatter, LineFormatter, LogFormat
from tickwire.ops.log_handler import (
    QueuedLogHandler,
    dropped_log_lines,
    log_fields,
    running_log,
)
from tickwire.testing.waiting import wait_until


class Pipe(NamedTuple):
    read_fd: int
    write_fd: int

    def read_available(self) -> bytes:
        data = b""
        try:
            while True:
                data += os.read(self.read_fd, 65_536)
        except BlockingIOError:
            return data


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of the smallest size. Reading from the pipe does not block."""
    pipe = Pipe(*os.pipe())
    fcntl.fcntl(pipe.write_fd, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(pipe.read_fd, False)
    yield pipe
    for descriptor in pipe:
        os.close(descriptor)


async def test_nobody_reads_the_log_and_the_caller_continues(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lost lines are counted. After somebody reads the log again, one line reports their number."""
    monkeypatch.setattr(line_writer, "MAX_QUEUED_BYTES", 20_000)
    log = logging.getLogger("tickwire.test")
    with running_log("info", pipe.write_fd):
        for number in range(1_000):
            log.info("line %d of a log that nobody reads: %s", number, "x" * 100)
        lost = dropped_log_lines()
        assert 700 < lost < 950
        received = b""

        def has_report() -> bool:
            nonlocal received
            received += pipe.read_available()
            return b"log lines were lost" in received

        await wait_until(has_report)
        log.info("the last line")
    lines = (received + pipe.read_available()).decode().splitlines()
    assert sum(" of a log that nobody reads: " in line for line in lines) == 1_000 - lost
    assert [line.split(" ", 3)[3] for line in lines if "WARNING" in line] == [
        f"{lost} log lines were lost, because the output of the log was blocked or failed"
    ]
    assert lines[-1].endswith("INFO the last line")
    assert dropped_log_lines() == 0


async def test_a_log_on_a_full_disk_loses_lines_and_counts_them() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    with running_log("info", full):
        logging.getLogger("tickwire.test").info("lost")
        await wait_until(lambda: dropped_log_lines() == 1)
    os.close(full)


def test_the_end_of_a_process_does_not_wait_for_a_reader(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_handler, "_CLOSE_TIMEOUT_S", 0.05)
    with running_log("info", pipe.write_fd):
        logging.getLogger("tickwire.test").info("%s", "x" * MAX_MESSAGE_BYTES)
        logging.getLogger("tickwire.test").info("%s", "x" * MAX_MESSAGE_BYTES)
    os.set_blocking(pipe.read_fd, True)
    # The abandoned thread still writes the lines when somebody reads them.
    received = b""
    while received.count(b"\n") < 2:
        received += os.read(pipe.read_fd, 65_536)


def test_the_level_and_the_handlers_of_the_root_logger_are_restored(pipe: Pipe) -> None:
    root = logging.getLogger()
    before = (root.level, [*root.handlers])
    with running_log("error", pipe.write_fd):
        logging.getLogger("tickwire.test").warning("hidden")
    assert (root.level, root.handlers) == before
    assert pipe.read_available() == b""


def test_a_writer_survives_every_error_and_counts_it() -> None:
    written: list[bytes] = []

    def write(line: bytes) -> None:
        if line == b"bad":
            raise ValueError("a fault")
        written.append(line)

    writer = LineWriter("test", write, lambda count: b"lost %d" % count)
    for line in (b"one", b"bad", b"bad", b"two"):
        writer.append(line)
    writer.close(5)
    writer.append(b"too late")
    assert written == [b"one", b"two", b"lost 2"]
    assert writer.dropped == 3
    assert "test" not in [thread.name for thread in threading.enumerate()]


def format_message(message: str, error: Exception | None = None) -> str:
    exc_info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("tickwire", logging.INFO, "file.py", 1, "%s", (message,), exc_info)
    return LineFormatter().format(record)


def test_a_message_is_one_bounded_line_without_secrets() -> None:
    line = format_message("GET http://ann:PASS@h/x?sig=PASS\n2026-01-01 00:00:00,000 ERROR forged \x1b[2J")
    assert line.endswith(r"INFO GET http://***@h/x\n2026-01-01 00:00:00,000 ERROR forged \u001b[2J")
    assert len(format_message("é" * 100_000).encode()) < MAX_MESSAGE_BYTES + 100


def test_the_lines_of_a_traceback_are_indented_bounded_and_without_secrets() -> None:
    forged = "2026-01-01 00:00:00,000 ERROR forged"
    for text in (f"nats://ann:PASS@h\n{forged}\r\x1b\u2028{forged}", "x\n" * 100_000):
        head, *rest = format_message("failed", ValueError(text)).split("\n")
        assert head.endswith("INFO failed")
        assert all(line.startswith("    ") and line.isprintable() for line in rest)
        assert "PASS" not in "".join(rest)
        assert sum(map(len, rest)) < 4 * MAX_TRACEBACK_CHARS
    assert rest[-1] == "    "


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_request_without_a_record_has_the_same_line(
    log_format: LogFormat, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("tickwire.test")
    # pytest adds handlers, and the handler of the log must be the only one.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    requests = [{"id": f"a-{number}", "method": "GET", "path": "/v1/é", "status": 200} for number in range(3)]
    with running_log("info", pipe.write_fd, log_format):
        for fields in requests:
            log.info("%s", json.dumps(fields, separators=(",", ":"), ensure_ascii=False), extra={"fields": fields})
            log_fields(log, logging.INFO, fields)
            log_fields(log, logging.DEBUG, fields)
    lines = pipe.read_available().decode().splitlines()
    if log_format == "json":
        lines = [json.dumps({**json.loads(line), "ts": ""}) for line in lines]
    else:
        lines = [line.split(" ", 2)[2] for line in lines]
    assert lines[::2] == lines[1::2]
    assert len(lines) == 2 * len(requests)


def test_a_request_reaches_further_handlers_as_a_record(pipe: Pipe, caplog: pytest.LogCaptureFixture) -> None:
    with running_log("info", pipe.write_fd):
        log_fields(logging.getLogger("tickwire.test"), logging.INFO, {"path": "100%"})
    assert [record.getMessage() for record in caplog.records] == ['{"path":"100%"}']


@given(st.text(), st.booleans())
def test_a_line_of_json_is_one_safe_object(message: str, has_error: bool) -> None:
    """Each line of the JSON log has the documented members, for any message and any traceback."""
    error = ValueError(f"{message}\n\x1b[2J http://ann:PASS@host/")
    exc_info = (ValueError, error, None) if has_error else None
    record = logging.LogRecord("tickwire.x", logging.WARNING, "file.py", 1, "%s", (message,), exc_info)
    line = JsonFormatter().format(record)
    members = json.loads(line)
    assert [*members] == ["ts", "level", "logger", "message", *(["traceback"] if has_error else [])]
    assert (members["level"], members["logger"]) == ("warning", "tickwire.x")
    assert datetime.fromisoformat(members["ts"]).tzinfo is not None
    assert line.isprintable()
    assert "PASS" not in line


def test_a_batch_contains_the_lines_in_order_and_counts_each_lost_line() -> None:
    written: list[bytes] = []
    writer = LineWriter("test", written.append, lambda count: b"lost %d" % count, batches=True)
    lines = [b"%d\n" % number for number in range(1_000)]
    for line in lines:
        writer.append(line)
    writer.close(5)
    assert b"".join(written) == b"".join(lines)
    assert len(written) < len(lines)

    def fail(text: bytes) -> None:
        raise OSError("a fault")

    writer = LineWriter("test", fail, lambda count: b"", batches=True)
    writer.append(b"one\n")
    writer.append(b"two\n")
    writer.close(5)
    assert writer.dropped == 2


def test_a_record_that_cannot_be_formatted_names_its_place(pipe: Pipe) -> None:
    handler = QueuedLogHandler(pipe.write_fd)
    handler.emit(logging.LogRecord("tickwire", logging.INFO, "file.py", 17, "%d", ("text",), None))
    handler.close()
    assert pipe.read_available() == b"cannot format the log record of file.py, line 17: TypeError\n"
