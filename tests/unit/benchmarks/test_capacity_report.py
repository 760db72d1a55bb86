"""The capacity report of one run, and the comparison of two runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from benchmarks.cli import bench
from benchmarks.report import save_json

COLUMNS = {"per_s": "deliveries/s", "p99_ms": "p99 ms"}


@pytest.fixture
def runs(tmp_path):
    """Two folders with the figures of an earlier and of a later run."""
    for name, rate in (("old", 1_000), ("new", 1_250)):
        rows = [
            {"name": "tickwire", "per_s": rate, "p99_ms": 10.4},
            {"name": "<peer>", "per_s": 500, "p99_ms": None},
            {"name": "absent", "missing": "it is not installed"},
        ]
        save_json(tmp_path / name / "fanout.json", "fanout: 10 readers", rows, COLUMNS)
    save_json(tmp_path / "new" / "publish.json", "publish", [{"name": "one", "per_s": 0, "p99_ms": 1}], COLUMNS)
    return tmp_path


def write_report(runs, *paths):
    result = CliRunner().invoke(
        bench, ["report", *(str(runs / path) for path in paths), "--page", str(runs / "a.html")]
    )
    if result.exit_code:
        return result.output
    text = (runs / "a.html").read_text()
    HTMLParser().feed(text)
    for svg in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(svg)
    return text


def test_the_page_has_the_machine_the_tables_and_the_plots_of_a_run(runs):
    text = write_report(runs, "new")
    assert "fanout: 10 readers" in text
    assert "<td>tickwire</td><td>1,250</td><td>10.40</td>" in text
    assert "absent missing: it is not installed" in text
    assert "&lt;peer&gt;" in text
    assert "<peer>" not in text
    assert text.count("<rect") == 2
    # The page loads nothing from elsewhere.
    assert not re.search(r"(?:src|href)=|url\(", text)


def test_two_runs_are_compared(runs):
    text = write_report(runs, "old", "new")
    assert '1,250 <span class="changed">+25%</span>' in text
    assert '10.40 <span class="before">+0%</span>' in text
    assert "The earlier run did not measure this." in text
    assert "The machines differ" not in text
    single = write_report(runs, "old/fanout.json", "new/fanout.json")
    assert '<span class="changed">+25%</span>' in single
    assert "Only the earlier run measured this." in write_report(runs, "new", "old")


def test_wrong_paths_are_named(runs):
    (runs / "empty").mkdir()
    (runs / "bad.json").write_text("[]")
    assert "contains no JSON files" in write_report(runs, "empty")
    assert "is not a file with results of a benchmark" in write_report(runs, "bad.json")
    assert "3 paths given" in write_report(runs, "old", "new", "old")
