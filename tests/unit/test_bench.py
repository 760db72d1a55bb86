"""The benchmarks' own arithmetic: medians, ratios, and rows without figures."""

from __future__ import annotations

import pytest

from tickwire.cli.bench.peers import PEERS
from tickwire.cli.bench.report import NO_FIGURES, show
from tickwire.cli.bench.rounds import Task, cannot, chosen, in_turn, with_ratio
from tickwire.errors import InputError


def test_rounds_take_turns_and_the_median_counts() -> None:
    """Each task once a round; the median of its figures, the sum of its losses."""
    order: list[str] = []
    figures = {"a": [5, 1, 3], "b": [10, 30, 20]}

    def measure(name: str) -> dict[str, object]:
        order.append(name)
        return {"name": name, "p99_ms": figures[name][order.count(name) - 1], "lost": 1}

    rows = in_turn([Task(name, lambda name=name: measure(name)) for name in figures], 3)  # type: ignore[misc]
    assert order == ["a", "b"] * 3
    assert [(row["p99_ms"], row["lost"], row["rounds"]) for row in rows] == [(3, 3, 3), (20, 3, 3)]


def test_who_cannot_is_asked_once() -> None:
    """A task without figures is not measured again, and its row says why it has none."""
    calls: list[int] = []

    def missing() -> dict[str, object]:
        calls.append(1)
        return {"name": "x", "missing": "not here"}

    assert in_turn([Task("x", missing)], 3) == [{"name": "x", "missing": "not here"}]
    assert len(calls) == 1


def test_every_peer_that_cannot_says_why() -> None:
    """A reason for each by name, one for all others; Tickwire itself has none."""
    rows = cannot({"": "no", "node": "never"}, PEERS)
    assert {row["name"] for row in rows} == {peer.name for peer in PEERS if not peer.name.startswith("tickwire")}
    assert {row["cannot"] for row in rows if row["name"] == "node"} == {"never"}
    assert all(any(word in row for word in NO_FIGURES) for row in rows)


def test_ratios_are_against_the_limit() -> None:
    """A row without the figure gets none."""
    rows = with_ratio([{"name": "limit", "x": 4}, {"name": "a", "x": 1}, {"name": "b", "cannot": "no"}], "x")
    assert [row.get("ratio") for row in rows] == [1, 0.25, None]


def test_rows_without_figures_stand_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Those with the same reason share a line."""
    show("t", [{"name": "a", "x": 1}, {"name": "b", "cannot": "no"}, {"name": "c", "cannot": "no"}], {"x": "X"})
    assert "b, c cannot: no" in capsys.readouterr().out


def test_an_unknown_peer_is_named() -> None:
    """And those that there are."""
    with pytest.raises(InputError, match=r"no peer 'nginy'.*nchan"):
        chosen("nginy")
