"""The load test for Locust, which shows its results in a web page and runs on several machines.

    python -m locust -f benchmarks/locustfile.py --host http://127.0.0.1:8000

Of 21 users, one sends 100 requests a second, and 20 read streams. TICKWIRE_TOKEN is the token.
"""

from __future__ import annotations

import os
import random
import time
from argparse import ArgumentParser

import requests
from locust import FastHttpUser, HttpUser, constant, constant_throughput, events, task

from benchmarks.load_scenarios import SYMBOLS, SYMBOLS_PER_READER, Request, Scenarios, sequence_of

_TOKEN = os.environ.get("TICKWIRE_TOKEN", "")
_AUTHORIZATION = {"Authorization": f"Bearer {_TOKEN}"} if _TOKEN else {}
_REQUESTS_PER_S = 100
# A stream without events sends a heartbeat every 15 s by default.
_STREAM_TIMEOUT_S = 60.0


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Add the options of this test to the command line and to the web page."""
    parser.add_argument("--read-only", action="store_true", help="publish nothing, for servers in production")


class ApiUser(FastHttpUser):
    """Sends the requests of the three scenarios. The statistics have a row for each scenario."""

    weight = 1
    wait_time = constant_throughput(_REQUESTS_PER_S)

    def on_start(self) -> None:
        """Give each symbol a quote."""
        publishes = not self.environment.parsed_options.read_only
        self._scenarios = Scenarios(random.Random(), publishes=publishes)
        if publishes:
            self._send(self._scenarios.first_import())

    @task
    def send_request(self) -> None:
        """Send one request, and compare its status with the expected one."""
        self._send(self._scenarios.next_request())

    def _send(self, request: Request) -> None:
        headers = {"Idempotency-Key": request.key, **_AUTHORIZATION} if request.key else _AUTHORIZATION
        with self.client.request(
            request.method,
            request.path,
            data=request.body or None,
            headers=headers,
            name=request.scenario,
            catch_response=True,
        ) as answer:
            if answer.status_code == request.expected:
                answer.success()
            else:
                answer.failure(f"status {answer.status_code} instead of {request.expected}")


class StreamUser(HttpUser):
    """Reads a stream, and resumes it after a loss.

    The statistics contain the time to the first event of each connection. They count each lost stream, each gap and
    each id that is lower than the previous id as a failure.
    """

    weight = 20
    # After a lost connection, wait for a second.
    wait_time = constant(1)

    def on_start(self) -> None:
        """Choose the symbols."""
        reads_all = self.environment.parsed_options.read_only
        self._symbols = "*" if reads_all else ",".join(random.sample(SYMBOLS, SYMBOLS_PER_READER))
        self._last_id = ""

    @task
    def read_stream(self) -> None:
        """Read one connection until it ends."""
        headers = {"Last-Event-ID": self._last_id, **_AUTHORIZATION} if self._last_id else _AUTHORIZATION
        begun_at, url = time.perf_counter(), f"{self.host}/v1/stream"
        try:
            with requests.get(
                url, {"symbols": self._symbols}, headers=headers, stream=True, timeout=_STREAM_TIMEOUT_S
            ) as answer:
                answer.raise_for_status()
                self._read_events(answer, begun_at)
            self._report("stream", error="the server has ended the stream")
        except requests.RequestException as error:
            self._report("stream", error=f"{type(error).__name__}: {error}")

    def _read_events(self, answer: requests.Response, begun_at: float) -> None:
        newest, is_first = sequence_of(self._last_id), True
        for line in answer.iter_lines():
            if line.startswith(b"id: "):
                self._last_id = line[4:].decode()
                sequence = sequence_of(self._last_id)
                if sequence < newest:
                    self._report("ids", error="an id is lower than the id before")
                newest = sequence
                if is_first:
                    is_first = False
                    self._report("first event", (time.perf_counter() - begun_at) * 1_000)
            elif line == b"event: gap":
                self._report("gaps", error="a gap")

    def _report(self, name: str, milliseconds: float = 0.0, error: str | None = None) -> None:
        self.environment.events.request.fire(
            request_type="SSE",
            name=name,
            response_time=milliseconds,
            response_length=0,
            context={},
            exception=None if error is None else RuntimeError(error),
        )
