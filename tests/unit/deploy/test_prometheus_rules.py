"""The rules of Prometheus in deploy/prometheus: they name metrics that exist, pass promtool, and have a runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tickwire.ops.metric_table import METRICS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
RULES, RULE_TESTS = FOLDER / "tickwire-rules.yml", FOLDER / "tickwire-rules-test.yml"
PROMTOOL = shutil.which("promtool")
METRIC_NAME = re.compile(r"(?<![\w:/-])(?:tickwire|process)_\w+")
HISTOGRAM_SUFFIX = re.compile(r"_(?:bucket|sum|count)$")


def unknown_metrics(text: str) -> set[str]:
    """Return the names in a query or a file of rules for which no metric exists."""
    names = {match[0] for match in METRIC_NAME.finditer(text)}
    return {name for name in names if name not in METRICS and not _is_histogram(name)}


def _is_histogram(name: str) -> bool:
    metric = METRICS.get(HISTOGRAM_SUFFIX.sub("", name))
    return metric is not None and metric.kind == "histogram"


@pytest.mark.parametrize("path", [RULES, RULE_TESTS], ids=lambda path: path.name)
def test_rules_name_metrics_that_exist(path: Path) -> None:
    assert unknown_metrics(path.read_text()) == set()


def test_every_alert_has_a_section_in_the_runbook() -> None:
    page = (ROOT / "docs" / "operations" / "runbook.md").read_text()
    sections = re.findall(r"^## (Tickwire\w+)$", page, re.MULTILINE)
    rules = RULES.read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert sections == alerts
    assert re.findall(r"runbook: docs/operations/runbook\.md#(\w+)", rules) == [alert.lower() for alert in alerts]


def test_every_alert_has_a_unit_test() -> None:
    tested = RULE_TESTS.read_text()
    assert [alert for alert in re.findall(r"- alert: (\w+)", RULES.read_text()) if alert not in tested] == []


@pytest.mark.skipif(PROMTOOL is None, reason="promtool of Prometheus is not installed")
@pytest.mark.parametrize(
    "arguments", [("check", "config", "prometheus.yml"), ("test", "rules", RULE_TESTS.name)], ids=" ".join
)
def test_promtool_accepts_the_rules(arguments: tuple[str, ...]) -> None:
    assert PROMTOOL is not None
    result = subprocess.run([PROMTOOL, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
