"""The result of a diagnosis: findings, notes and measurements."""

from __future__ import annotations

from typing import Any

import msgspec

from tickwire.client.doctor.remedies import Problem, Product, find_remedy


class Finding(msgspec.Struct, frozen=True):
    """One problem of the path between the client and the server.

    `evidence` is the observation. `culprit` is the program that causes the problem, and `change` is the line to change
    in its configuration.
    """

    problem: Problem
    evidence: str
    culprit: str
    change: str


class Diagnosis(msgspec.Struct):
    """The findings, notes and measurements of all checks. `product` is the proxy that names itself in a response. It is
    None if no proxy does so."""

    url: str
    product: Product | None = None
    findings: list[Finding] = []
    notes: list[str] = []
    measurements: dict[str, Any] = {}

    def add(self, problem: Problem, evidence: str, *, culprit: str = "", change: str = "") -> None:
        """Add a finding, unless there is already a finding with the same problem. By default, the culprit is the proxy
        that names itself in a response, and the change comes from the table of remedies.
        """
        if any(finding.problem == problem for finding in self.findings):
            return
        remedy = find_remedy(problem, self.product)
        self.findings.append(Finding(problem, evidence, culprit or remedy.culprit, change or remedy.change))

    def add_http_2(self, diagnosis: Diagnosis) -> None:
        """Add the results of the checks over HTTP/2. Omit problems and notes that the checks over HTTP/1.1 reported,
        too."""
        for each in diagnosis.findings:
            self.add(each.problem, f"only over HTTP/2: {each.evidence}", culprit=each.culprit, change=each.change)
        self.notes += [f"HTTP/2: {note}" for note in diagnosis.notes if note not in self.notes]
        self.measurements |= {
            f"http_2_{name}": value
            for name, value in diagnosis.measurements.items()
            if name in ("heartbeat_delay_ms", "content_encoding")
        }
