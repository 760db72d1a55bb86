"""The calculations of the benchmarks: medians, ratios, and rows without figures."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks.cli import bench
from benchmarks.peer_servers import PEERS, tickwire_variant
from benchmarks.report import Row, has_figures, print_table, save_json
from benchmarks.rounds import BenchmarkTask, add_cpu_ratio, add_ratio, run_rounds, select_peers, unsupported_rows
from tickwire.errors import InputError


def test_rounds_take_turns_and_report_medians() -> None:
    """Each round runs every task once. A row has the median of each figure and the sum of the losses."""
    order: list[str] = []
    figures = {"a": [5, 1, 3], "b": [10, 30, 20]}

    def create_task(name: str) -> BenchmarkTask:
        def measure() -> Row:
            order.append(name)
            return {"name": name, "p99_ms": figures[name][order.count(name) - 1], "lost": 1}

        return BenchmarkTask(name, measure)

    rows = run_rounds([create_task(name) for name in figures], 3)
    assert order == ["a", "b"] * 3
    assert [(row["p99_ms"], row["lost"], row["rounds"]) for row in rows] == [(3, 3, 3), (20, 3, 3)]


def test_task_without_figures_is_not_measured_again() -> None:
    calls: list[int] = []

    def measure() -> Row:
        calls.append(1)
        return {"name": "x", "missing": "not installed"}

    assert run_rounds([BenchmarkTask("x", measure)], 3) == [{"name": "x", "missing": "not installed"}]
    assert len(calls) == 1


def test_unsupported_rows_name_a_reason_for_every_peer_but_tickwire() -> None:
    rows = unsupported_rows({"": "no", "node": "never"}, PEERS)
    assert {row["name"] for row in rows} == {peer.name for peer in PEERS if not peer.name.startswith("tickwire")}
    assert {row["cannot"] for row in rows if row["name"] == "node"} == {"never"}
    assert not any(map(has_figures, rows))


def test_ratio_compares_with_the_limit() -> None:
    rows = add_ratio([{"name": "limit", "x": 4}, {"name": "a", "x": 1}, {"name": "b", "cannot": "no"}], "x")
    assert [row.get("ratio") for row in rows] == [1, 0.25, None]


def test_cpu_ratio_divides_the_cpu_time_of_the_limit() -> None:
    """A server that uses twice the CPU time of the baseline `limit` for each delivery has the ratio 0.5."""
    rows = add_cpu_ratio(
        [{"name": "limit", "cpu_us": 4.0}, {"name": "a", "cpu_us": 8.0}, {"name": "b", "cannot": "no"}]
    )
    assert [row.get("cpu_ratio") for row in rows] == [1, 0.5, None]


@pytest.mark.parametrize(
    ("load_cpu", "server_cpu", "is_marked"),
    [(1.0, 0.8, True), (1.0, 0.99, False), (0.6, 0.99, False), (0.4, 0.5, False)],
)
def test_row_is_marked_if_only_the_load_generator_was_busy(
    load_cpu: float, server_cpu: float, is_marked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed table marks the row, and explains the mark."""

    def measure() -> Row:
        return {"name": "fast", "load_cpu": load_cpu, "server_cpu": server_cpu}

    rows = run_rounds([BenchmarkTask("fast", measure)], 1)
    assert rows[0]["is_load_bound"] == is_marked
    print_table("t", rows, {"server_cpu": "cores"})
    output = capsys.readouterr().out
    assert ("fast *" in output, "the load generator was the bottleneck" in output) == (is_marked, is_marked)


def test_variant_is_a_row_of_tickwire_with_its_options(tmp_path: Path) -> None:
    peers = select_peers("limit", [tickwire_variant("plain", "--compress off")])
    assert [peer.name for peer in peers] == ["limit", "tickwire-plain"]
    assert peers[1].is_tickwire
    assert peers[1].command(8000, tmp_path)[-4:] == ["--journal", "memory", "--compress", "off"]
    result = CliRunner().invoke(bench, ["fanout", "--variant", "plain"])
    assert result.stderr == "benchmarks: --variant 'plain' is not a name with options: write NAME=OPTIONS\n"


def test_rows_without_figures_follow_the_table_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", [{"name": "a", "x": 1}, {"name": "b", "cannot": "no"}, {"name": "c", "cannot": "no"}], {"x": "X"})
    assert "b, c cannot: no" in capsys.readouterr().out


def test_saved_rows_become_a_markdown_table(tmp_path: Path) -> None:
    """The output marks load-bound rows and gives reasons for missing figures. It can replace a table in a page."""
    file, page = tmp_path / "figures.json", tmp_path / "page.md"
    rows: list[Row] = [{"name": "tickwire", "x": 1234, "is_load_bound": True}, {"name": "b", "cannot": "no"}]
    save_json(file, "figures: 2 rows", rows, {"x": "X", "y": "Y"})
    table = (
        "| figures: 2 rows | X | Y |\n| --- | --- | --- |\n| **tickwire** * | 1,234 | – |\n| b | cannot: no |  |\n\n"
    )
    assert CliRunner().invoke(bench, ["markdown", str(file)]).stdout == table
    page.write_text("before\n\n<!-- table figures -->\n\n| old |\n| --- |\n\nafter\n")
    assert CliRunner().invoke(bench, ["markdown", str(file), "--page", str(page)]).exit_code == 0
    assert page.read_text() == f"before\n\n<!-- table figures -->\n\n{table}after\n"
    page.write_text("nothing\n")
    result = CliRunner().invoke(bench, ["markdown", str(file), "--page", str(page)])
    assert (result.exit_code, "has no line '<!-- table figures -->'" in result.stderr) == (2, True)


def test_unknown_peer_is_an_error_with_the_choices() -> None:
    with pytest.raises(InputError, match=r"unknown peer 'nginy': choose from .*nchan"):
        select_peers("nginy")


def test_errors_of_the_command_are_one_line() -> None:
    result = CliRunner().invoke(bench, ["fanout", "--only", "nginy"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("benchmarks: unknown peer 'nginy'")
    assert result.stderr.count("\n") == 1
    result = CliRunner().invoke(bench, ["stalled", "--readers", "5", "--silent", "5"])
    message = "benchmarks: --silent 5 must be less than the number of readers, 5\n"
    assert (result.exit_code, result.stderr) == (2, message)


def test_all_runs_every_benchmark() -> None:
    """Each benchmark accepts the options that `all` passes on, and has help that starts with a verb."""
    assert {"fanout", "attack", "workers", "filters", "slow", "all"} <= {*bench.commands}
    for command in bench.commands.values():
        assert command.get_short_help_str().split()[0] in {
            "Measure",
            "Send",
            "Compare",
            "Connect",
            "Reconnect",
            "Run",
            "Print",
            "Write",
        }
        assert all(option.help for option in command.params if isinstance(option, click.Option))
