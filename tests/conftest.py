"""Options, environment, timeouts and processes of all tests."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import ssl
import traceback
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import hypothesis
import pytest
import pytest_timeout
from httpx2._config import DEFAULT_TIMEOUT_CONFIG
from httpx2._transports import default as default_transport
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tickwire.settings import ENV_PREFIX
from tickwire.testing.certificates import write_certificate

_LONG_TEST_TIMEOUT_S = 900
# The tests of each of these folders run in one process. Those of cluster start many processes each, and those of e2e
# share a browser.
_SERIAL_FOLDERS = ("tests/cluster/", "tests/e2e/")
# A test that has not failed at its timeout, because something caught the exception, gets another one after this time.
_TIMEOUT_REPEAT_S = 10.0
# After a failure, the report and the teardown of a test have this time.
_TEARDOWN_TIMEOUT_S = 60.0
# The timeout of HTTP requests without a timeout of their own. The default of the library, 5 s, is too short for a busy
# machine. The limit is shorter than the timeout of a test, so that the traceback names the request.
_REQUEST_TIMEOUT_S = 100
# Variables for the tests themselves. They are not settings of a server.
_TEST_VARIABLES = {f"{ENV_PREFIX}{name}" for name in ("NATS_SERVER", "PAGE_SECONDS", "TEST_READERS")}
_TESTS_PER_FULL_COLLECTION = 500
_test_numbers = count(1)
# No program listens on the discard port. A command in a test that names no server must not reach the user's own server.
_UNREACHABLE_URL = "http://127.0.0.1:9"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--base-url",
        default="",
        help="Run tests/wire/conformance against this server (tickwire serve --feed http).  [default: start one]",
    )
    parser.addoption(
        "--user-header", default="", help="Name the --user-header of the server at --base-url.  [default: none]"
    )


def pytest_configure() -> None:
    """Make the tests independent of the user's settings, of a server on the default port, and of the machine's load."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX) and name not in _TEST_VARIABLES]:
        del os.environ[name]
    os.environ[f"{ENV_PREFIX}PORT"] = "0"
    # Set no deadline, because a deadline would depend on the load of the machine. Each test run has different examples.
    hypothesis.settings.register_profile("tickwire", deadline=None, max_examples=60)
    hypothesis.settings.load_profile("tickwire")
    DEFAULT_TIMEOUT_CONFIG.connect = DEFAULT_TIMEOUT_CONFIG.read = _REQUEST_TIMEOUT_S
    # Each HTTP client would read the certificates of all authorities again, which takes 50 ms of CPU time.
    default_transport.create_ssl_context = functools.cache(default_transport.create_ssl_context)
    os.environ[f"{ENV_PREFIX}URL"] = _UNREACHABLE_URL
    # Commands that `nohup` or a shell script starts in the background ignore these signals, and so do their child
    # processes.
    for number in (signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give long tests a timeout that overrides any other timeout."""
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(pytest.mark.timeout(_LONG_TEST_TIMEOUT_S), append=False)


class FolderScheduling(LoadScopeScheduling):
    """Run the tests of each serial folder in one process, and every other test in any process."""

    def _split_scope(self, nodeid: str) -> str:
        return next(filter(nodeid.startswith, _SERIAL_FOLDERS), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FolderScheduling:
    return FolderScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(settings: pytest_timeout.Settings) -> Generator[None, object, object]:
    """Repeat the signal of a timeout.

    asyncio catches and logs the exception of a signal that arrives while a callback runs. Without another signal, the
    test would never end.
    """
    result = yield
    if settings.method == "signal":
        signal.setitimer(signal.ITIMER_REAL, settings.timeout, _TIMEOUT_REPEAT_S)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Release the local variables of a failed test after its report, unless the debugger shows them.

    The traceback keeps these variables alive. Sockets and processes that the test leaves open would otherwise fail a
    later test.
    """
    if call.excinfo is not None and signal.getitimer(signal.ITIMER_REAL)[1] > 0:
        # A repeated timeout must not interrupt pytest itself.
        signal.setitimer(signal.ITIMER_REAL, _TEARDOWN_TIMEOUT_S)
    report = yield
    if call.excinfo is not None and not item.config.getoption("usepdb"):
        clear_frames(call.excinfo.value)
    return report


def clear_frames(error: BaseException | None) -> None:
    """Clear the local variables in the traceback of an error, and in the tracebacks of its causes."""
    if error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            # A frame that still runs cannot be cleared.
            with contextlib.suppress(RuntimeError):
                frame.clear()
                # Without this access, the frame keeps the dictionary from which pytest read the variables.
                _ = frame.f_locals
        cause = None if error.__cause__ is error.__context__ else error.__cause__
        for other in (cause, error.__context__, *getattr(error, "exceptions", ())):
            clear_frames(other)


@pytest.fixture(autouse=True)
def collect_garbage() -> Iterator[None]:
    """Collect the garbage of a test as the last step of the test.

    A warning about an unclosed socket or file then fails the test that leaves it open, and not a later test. The
    collection skips the objects that existed before the test, because there are millions of them after some thousand
    tests. Only every `_TESTS_PER_FULL_COLLECTION` tests does it visit all objects.
    """
    yield
    if next(_test_numbers) % _TESTS_PER_FULL_COLLECTION == 0:
        gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def trusted_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Write a certificate and its key (see `write_certificate`). The HTTP clients of the test trust the certificate."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(cafile=certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    # `pytest_configure` caches the contexts of other tests.
    monkeypatch.setattr(default_transport, "create_ssl_context", lambda **_options: context)
    return certificate, key
