"""The command `tickwire watch`: the table in a real terminal, lines for programs, and symbols without a quote."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import struct
import sys
import termios
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

import tickwire
from tickwire.cli.terminal_keys import KeyDecoder
from tickwire.cli.watch_lines import CsvLines
from tickwire.cli.watch_rows import TREND_STEP_S, WatchRows
from tickwire.cli.watch_table import WatchTable
from tickwire.client.events import Event
from tickwire.client.quotes import find_missing_symbols
from tickwire.core.codec import encode_json
from tickwire.core.quote import QUOTE_FIELDS, Quote
from tickwire.testing.command_line import invoke_command, run_command_process
from tickwire.testing.ports import find_free_port
from tickwire.testing.server import ServerProcess, run_server
from tickwire.testing.tokens import TEST_SECRET, bearer_header, sign_token
from tickwire.testing.waiting import wait_until

# Shows the cursor, and returns to the normal screen of the terminal.
LEAVE_SCREEN = b"\x1b[?25h\x1b[?1049l"
QUOTES = [{"symbol": "AAPL", "last": 1}, {"symbol": "BTC-USD", "last": 2}]


async def read_errors(url: str, *symbols: str, count: int, token: str = "") -> list[str]:
    """Return the first `count` lines that `tickwire watch` writes to standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tickwire", "watch", *symbols, "--url", url),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TICKWIRE_TOKEN": token},
    )
    try:
        assert process.stderr is not None
        return [(await process.stderr.readline()).decode().strip() for _ in range(count)]
    finally:
        process.kill()
        await process.communicate()


async def test_watch_reports_each_failed_connection_once() -> None:
    """The log of the stream does not repeat the output."""
    lines = await read_errors(f"http://127.0.0.1:{find_free_port()}", count=2)
    assert [line.partition(":")[0] for line in lines] == ["connecting", "connecting"]


def test_a_gap_is_a_notice_and_no_quote(capsys: pytest.CaptureFixture[str]) -> None:
    output = CsvLines()
    output.add_event(Event("gap", '{"reason":"expired"}', ""))
    captured = capsys.readouterr()
    assert captured.out == ",".join(QUOTE_FIELDS) + "\n"
    assert "could not send some events" in captured.err


async def test_watch_names_symbols_without_a_quote_and_the_delay() -> None:
    async with run_server(auth="secret", auth_secret=TEST_SECRET) as server:
        async with httpx2.AsyncClient(headers=bearer_header(sign_token("publish"))) as client:
            assert (await client.post(f"{server.url}/v1/quotes", json=QUOTES)).is_success
        delayed = sign_token(delay="15m")
        assert await read_errors(server.url, "APPL", "AAPL", "BTC-*", "ZZ*", count=2, token=sign_token()) == [
            "no quote of APPL yet (did you mean AAPL?)",
            "no quote of ZZ* yet",
        ]
        assert await read_errors(server.url, "AAPL", count=2, token=delayed) == [
            "quotes are delayed by 15 minutes",
            "no quote of AAPL yet",
        ]


@pytest.mark.parametrize(
    ("patterns", "missing"),
    [
        (["AAPL", "BTC-*", "*"], {}),
        (["APPL"], {"APPL": "AAPL"}),
        (["btc-usd"], {"btc-usd": "BTC-USD"}),
        (["QQQ", "Q*"], {"QQQ": None, "Q*": None}),
    ],
)
async def test_missing_symbols_have_a_suggestion(patterns: list[str], missing: dict[str, str | None]) -> None:
    async with run_server() as server, httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/v1/quotes", json=QUOTES)).is_success
        assert await find_missing_symbols(server.url, patterns) == missing


class Terminal:
    """A pseudo-terminal in which `tickwire watch` runs. `frame` is the newest picture, without colours."""

    def __init__(self, *arguments: str, url: str, rows: int = 24, columns: int = 100, **environment: str) -> None:
        self._arguments = ("-m", "tickwire", "watch", *arguments, "--url", url)
        # These variables would replace the size of the terminal.
        inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._environment = {**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment}
        self._main, self._secondary = os.openpty()
        self._size = (rows, columns)
        self.output = b""

    async def __aenter__(self) -> Terminal:
        self.resize(*self._size)
        self.mode = termios.tcgetattr(self._secondary)
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._arguments),
            stdin=self._secondary,
            stdout=self._secondary,
            stderr=self._secondary,
            start_new_session=True,
            # The kernel sends the signals of a terminal to the programs that it controls.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env=self._environment,
        )
        os.set_blocking(self._main, False)
        asyncio.get_running_loop().add_reader(self._main, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._main)
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()
        os.close(self._main)
        os.close(self._secondary)

    @property
    def frame(self) -> str:
        # Each picture begins at the upper left corner.
        picture = self.output.decode(errors="ignore").rpartition("\x1b[H")[2]
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", picture).replace("\r", "")

    @property
    def current_mode(self) -> list[object]:
        return termios.tcgetattr(self._secondary)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    async def wait_for(self, *texts: str, absent: str = "") -> None:
        """Wait until a picture contains `texts` but not `absent`."""
        await wait_until(lambda: all(text in self.frame for text in texts) and (not absent or absent not in self.frame))

    async def wait_for_order(self, *symbols: str) -> None:
        """Wait until the rows contain exactly these symbols, in this order."""
        await wait_until(lambda: re.findall(r"^(S[A-Z]) ", self.frame, re.MULTILINE) == [*symbols])

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            self.output = (self.output + os.read(self._main, 65_536))[-65_536:]


PRICES = [{"symbol": f"S{name}", "last": price, "size": 1} for name, price in (("A", 10), ("B", 30), ("C", 20))]


async def publish(url: str, *ticks: dict[str, object]) -> None:
    async with tickwire.AsyncClient(url) as client:
        await client.publish(ticks)


async def test_keys_sort_filter_pause_and_quit() -> None:
    async with run_server() as server:
        await publish(server.url, *PRICES)
        async with Terminal("--sort", "-last", url=server.url) as terminal:
            await terminal.wait_for("3 symbols", "live", "updates/s", "round trip", "Last▼")
            await terminal.wait_for_order("SB", "SC", "SA")
            terminal.press("r")
            await terminal.wait_for_order("SA", "SC", "SB")
            terminal.press("<")
            await terminal.wait_for_order("SA", "SB", "SC")
            terminal.press("\x1b[C")
            await terminal.wait_for_order("SB", "SC", "SA")
            terminal.press("/c\x7fb\r")
            await terminal.wait_for_order("SB")
            terminal.press("\x1b")
            await terminal.wait_for_order("SB", "SC", "SA")
            terminal.press("p")
            await terminal.wait_for("paused")
            await publish(server.url, {"symbol": "SA", "last": 40})
            terminal.press("h")
            await terminal.wait_for("reverse the order", "10.00", absent="40.00")
            terminal.press("hp")
            await terminal.wait_for("40.00", absent="paused")
            await terminal.wait_for_order("SA", "SB", "SC")
            terminal.press("q")
            assert await terminal.process.wait() == 0
            # The program leaves the alternate screen, and the terminal shows typed characters again.
            await wait_until(lambda: terminal.output.endswith(LEAVE_SCREEN))
            assert terminal.current_mode == terminal.mode


@pytest.mark.parametrize(
    ("options", "before", "after"),
    [
        (["--order", "last desc"], ["SB", "SC"], ["SA", "SB"]),
        # A calculation has no column.
        (["--order", "0 - last"], ["SB", "SC"], ["SA", "SB"]),
        (["--order", "last desc", "--sort", "symbol"], ["SB", "SC"], ["SA", "SB"]),
        (["--order", "last desc", "--filter", "last < 25"], ["SC", "SA"], ["SC"]),
    ],
)
async def test_table_shows_the_first_symbols(options: list[str], before: list[str], after: list[str]) -> None:
    async with run_server() as server:
        await publish(server.url, *PRICES)
        async with Terminal(*options, "--top", "2", url=server.url) as terminal:
            await terminal.wait_for_order(*before)
            await publish(server.url, {"symbol": "SA", "last": 40})
            await terminal.wait_for_order(*after)
            # A key chooses a column as in each other table.
            terminal.press("<" * 8)
            await terminal.wait_for_order(*sorted(after))


async def test_table_follows_the_size_of_the_terminal() -> None:
    async with run_server() as server:
        await publish(server.url, *({"symbol": f"S{number:02}", "last": 1} for number in range(30)))
        async with Terminal(url=server.url, rows=10, columns=120) as terminal:
            await terminal.wait_for("Volume", "Trend", "S06", absent="S07")
            terminal.press("\x1b[6~")
            await terminal.wait_for("S07", "S13", absent="S06")
            terminal.press("\x1b[F")
            await terminal.wait_for("S29")
            terminal.press("\x1b[A")
            await terminal.wait_for("S28", absent="S29")
            terminal.resize(20, 40)
            await terminal.wait_for("S13", "S29", "Last", absent="Volume")
            lines = terminal.frame.split("\n")
            assert len(lines) <= 20
            assert max(map(len, lines)) <= 40


async def test_table_shows_a_restart_and_recovers(tmp_path: Path) -> None:
    """While the server is away, the table keeps the old prices, and shows why there are no new ones."""
    port = find_free_port()
    options = ("--feed", "http", "--port", str(port), "--journal", "sqlite:j")
    async with ServerProcess(*options, cwd=tmp_path) as server:
        await publish(server.url, *PRICES)
        async with Terminal(url=server.url) as terminal:
            await terminal.wait_for("3 symbols", "live", "10.00")
            await server.kill()
            await terminal.wait_for("connecting: ", "retry in", "10.00")
            async with ServerProcess(*options, cwd=tmp_path) as again:
                await terminal.wait_for("live", "1 reconnect")
                await publish(again.url, {"symbol": "SA", "last": 77})
                await terminal.wait_for("77.00")


async def test_terminal_is_restored_while_the_program_is_stopped() -> None:
    async with run_server() as server:
        await publish(server.url, *PRICES)
        async with Terminal(url=server.url) as terminal:
            await terminal.wait_for("SA")
            assert terminal.current_mode != terminal.mode
            terminal.press("\x1a")
            await wait_until(lambda: terminal.current_mode == terminal.mode)
            await wait_until(lambda: terminal.output.endswith(LEAVE_SCREEN))
            # A signal before the stop has no effect.
            await wait_until(lambda: os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOHANG) is not None)
            terminal.output = b""
            terminal.process.send_signal(signal.SIGCONT)
            await terminal.wait_for("SA", "live")
            terminal.press("q")
            assert await terminal.process.wait() == 0


async def test_wrong_filter_ends_the_table_with_the_reason() -> None:
    async with run_server() as server, Terminal("--filter", "lst > 5", url=server.url) as terminal:
        assert await terminal.process.wait() == 2
        await wait_until(lambda: b"lst" in terminal.output.rpartition(LEAVE_SCREEN)[2])
        assert terminal.current_mode == terminal.mode


@pytest.mark.parametrize(
    ("option", "first_lines"),
    [
        ("--json", ['{"symbol":"SA","last":10']),
        ("--csv", ["symbol,last,bid,ask", "SA,10.0,,"]),
        ("", ['{"symbol":"SA","last":10']),
    ],
)
async def test_lines_for_programs(option: str, first_lines: list[str]) -> None:
    """Without a terminal, the lines have the format JSON."""
    async with run_server() as server:
        await publish(server.url, *PRICES)
        result = await run_command_process("watch", "--url", server.url, "--count", 1, *filter(None, [option]))
    lines = result.output.splitlines()
    assert (result.exit_code, len(lines)) == (0, len(first_lines))
    assert all(line.startswith(begin) for line, begin in zip(lines, first_lines, strict=True))


@pytest.mark.parametrize("option", ["--json", "--csv", ""])
async def test_lines_of_the_first_symbols(option: str) -> None:
    async with run_server() as server:
        await publish(server.url, *PRICES)
        options = ("--order", "last desc", "--top", 2, *filter(None, [option]))
        result = await run_command_process("watch", "--url", server.url, "--count", 2, *options)
    assert result.exit_code == 0
    assert sorted(re.findall("S[ABC]", result.output)) == ["SB", "SC"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--top", 2], "--top requires an order: add --order (example: --order 'change_rate desc')"),
        (["--order", "last"], "--order requires the number of symbols: add --top (example: --top 10)"),
        (["--order", "lst desc", "--top", 2], "unknown field 'lst' (did you mean last?)"),
        (["--order", "last", "--top", 101], "101 is not in the range 1<=x<=100"),
    ],
)
def test_wrong_order_is_an_error(options: list[object], error: str) -> None:
    result = invoke_command("watch", *options)
    assert result.exit_code == 2
    assert error in result.errors


def test_unknown_sort_field_is_an_error() -> None:
    result = invoke_command("watch", "--sort", "price")
    assert (result.exit_code, "cannot sort by 'price': choose one of symbol, last" in result.errors) == (2, True)


def render(table: WatchTable) -> str:
    console = Console(width=130)
    with console.capture() as captured:
        console.print(table.render(console))
    return captured.get()


def quote_event(**fields: object) -> Event:
    return Event("quote", encode_json(fields).decode(), "")


def test_the_table_shows_a_notice_until_the_quote_arrives() -> None:
    table = WatchTable("http://server", WatchRows())
    table.add_notice("A*", "no quote of A* yet")
    table.add_notice("B", "no quote of B yet")
    assert "no quote of A* yet" in render(table)
    table.add_event(quote_event(symbol="ACME", last=1.5))
    assert "no quote of A* yet" not in render(table)
    assert "no quote of B yet" in render(table)
    # An answer that is older than the first quote adds no notice.
    table.add_notice("AC*", "no quote of AC* yet")
    assert "no quote of AC* yet" not in render(table)


def test_trend_has_a_price_of_every_two_seconds() -> None:
    rows = WatchRows()
    for number, price in enumerate((9, *range(8), *range(8))):
        # The second price of each step replaces the first.
        rows.add_quote(Quote("A", last=price + 100.0), TREND_STEP_S * number)
        rows.add_quote(Quote("A", last=float(price)), TREND_STEP_S * number + 1)
    assert "▁▂▃▄▅▆▇█▁▂▃▄▅▆▇█" in render(WatchTable("http://server", rows))


def test_rows_without_a_value_come_last_in_both_orders() -> None:
    rows = WatchRows("last")
    for symbol, last in (("A", None), ("B", 2.0), ("C", 1.0)):
        rows.add_quote(Quote(symbol, last=last), 0.0)
    assert [row.quote.symbol for row in rows.selected()] == ["C", "B", "A"]
    rows.is_descending = True
    assert [row.quote.symbol for row in rows.selected()] == ["B", "C", "A"]
    rows.pattern = "?"
    assert len(rows.selected()) == 3
    rows.pattern = "b"
    assert [row.quote.symbol for row in rows.selected()] == ["B"]


@pytest.mark.parametrize(
    ("chunks", "keys"),
    [
        ([b"aq"], ["a", "q"]),
        ([b"\x1b[A\x1b[6~x"], ["up", "page down", "x"]),
        ([b"\x1b", b"[", b"B"], ["down"]),
        ([b"\x1bOC"], ["right"]),
        ([b"\x1b[1;5Cx"], ["x"]),
        ([b"\x1bx"], ["escape", "x"]),
        ([b"\x1b\x1b"], ["escape", "escape"]),
        (["é".encode()[:1], "é".encode()[1:]], ["é"]),
        ([b"\r\x7f"], ["enter", "backspace"]),
    ],
)
def test_characters_become_keys(chunks: list[bytes], keys: list[str]) -> None:
    found: list[str] = []
    decoder = KeyDecoder(found.append)
    for chunk in chunks:
        decoder.feed(chunk)
    decoder.end_sequence()
    assert found == keys
