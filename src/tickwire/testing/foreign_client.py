"""Run programs and pages that read a stream with other client libraries, and collect the events that they report."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

# A short delay before each start, so that a program that ends at once is not started again in a tight loop.
_RESTART_INTERVAL_S = 0.2
_OUTPUT_LIMIT_BYTES = 1024 * 1024
_STATUS_PREFIX = "status: "
_REPORT_PREFIX = '{"name":'


class ClientEvent(NamedTuple):
    """One event that a client has reported. The name of a quote is `message`, as in `EventSource`."""

    name: str
    id: str
    data: Any


class ForeignClient(Protocol):
    """A client under test.

    `closings` counts how often the client stopped reconnecting, so that the test opened it again.
    """

    closings: int

    async def next_event(self) -> ClientEvent:
        """Return the next event."""
        ...


class ClientProgram:
    """A program that reads the stream at the URL in its last argument.

    The program prints each event as one line of JSON, or the lines of the stream unchanged. The program may print a
    rejected request as `status: 429`. When the program ends, this class starts the program again with the id of the
    last event. An application with the same library would need the same code.
    """

    def __init__(self, command: Sequence[str], url: str) -> None:
        self.closings = 0
        self._command = command
        self._url = url
        self._last_id = ""
        self._lines: list[str] = []
        self._process: asyncio.subprocess.Process | None = None

    async def next_event(self) -> ClientEvent:
        """Return the next event that the program prints. If the program ends, start it again."""
        while True:
            if self._process is None:
                await self._start()
            assert self._process is not None
            assert self._process.stdout is not None
            line = (await self._process.stdout.readline()).decode()
            if not line:
                await self.stop()
                self.closings += 1
                await asyncio.sleep(_RESTART_INTERVAL_S)
                continue
            event = self._parse(line.rstrip("\n"))
            if event is not None:
                self._last_id = event.id or self._last_id
                return event

    async def _start(self) -> None:
        url = f"{self._url}&{urlencode({'last_event_id': self._last_id})}" if self._last_id else self._url
        self._lines = []
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_OUTPUT_LIMIT_BYTES,
            # Start a new session, so that `stop` can also end processes that the program starts.
            start_new_session=True,
        )

    def _parse(self, line: str) -> ClientEvent | None:
        """Return the event that the line completes, or None."""
        # Compare the beginning of the line, because the program may also print the body of an error response. This body
        # is JSON too, but begins with another key.
        if line.startswith(_REPORT_PREFIX):
            return _parse_report(line)
        if line.startswith(_STATUS_PREFIX):
            # Discard the incomplete event of a broken connection.
            self._lines = []
            return None
        if line:
            self._lines.append(line)
            return None
        fields = dict(each.split(": ", 1) for each in self._lines if ": " in each and not each.startswith(":"))
        self._lines = []
        if "data" not in fields:
            return None
        return ClientEvent(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))

    async def stop(self) -> None:
        """End the program and its child processes."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


class ClientPage:
    """Serves a page that reads the stream at `stream_url` with the browser's EventSource, and reports each event.

    If EventSource gives up, the page opens a new one with the id of the last event, as README.md describes.
    """

    def __init__(self) -> None:
        self.closings = 0
        self.stream_url = ""
        self._events: asyncio.Queue[ClientEvent] = asyncio.Queue()

    async def next_event(self) -> ClientEvent:
        """Return the next event."""
        return await self._events.get()

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Serve the page on a port of the loopback interface."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", port, limit=_OUTPUT_LIMIT_BYTES)
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            _, found, rest = head.partition("content-length: ")
            length = int(rest.partition("\r\n")[0]) if found else 0
            body = _PAGE.replace("STREAM_URL", self.stream_url) if head.startswith("get / ") else ""
            for report in _reports((await reader.readexactly(length)).decode()):
                if report.name == "closed":
                    self.closings += 1
                else:
                    self._events.put_nowait(report)
            lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(body)}", "Connection: close"]
            writer.write("\r\n".join([*lines, "", ""]).encode() + body.encode())
            await writer.drain()
        writer.close()


def _reports(body: str) -> Iterator[ClientEvent]:
    for line in body.splitlines():
        yield _parse_report(line)


def _parse_report(line: str) -> ClientEvent:
    report = json.loads(line)
    return ClientEvent(report["name"], report.get("id") or "", report.get("data"))


# The page sends one report after the other, so that they arrive in order.
_PAGE = """<!doctype html><script>
let reports = Promise.resolve(), lastId = "";
const report = (body) => {
  reports = reports.then(() => fetch("/report", { method: "POST", body: JSON.stringify(body) }));
};
function open() {
  const source = new EventSource("STREAM_URL" + (lastId ? `&last_event_id=${lastId}` : ""));
  for (const name of ["message", "welcome", "gap", "expiring", "bye"]) {
    source.addEventListener(name, (event) => {
      lastId = event.lastEventId || lastId;
      report({ name, id: event.lastEventId, data: JSON.parse(event.data) });
    });
  }
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return;
    report({ name: "closed" });
    setTimeout(open, 300);
  };
}
open();
</script>"""
