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
    """All findings, notes and measurements of the checks. `product` is the proxy that names itself in a response, or
    None."""

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
