"""Constructs that one of the supported Python versions rejects or warns about."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import tickwire

NUMBERED_PARAMETER = re.compile(r"\?\d")


def test_sql_statements_use_no_numbered_parameters() -> None:
    """Python 3.12.0 to 3.12.3 warn if ?1, ?2, ... are bound to a sequence of values, and a warning fails a test."""
    package = Path(tickwire.__file__).parent
    found = [
        f"{path.relative_to(package)}:{node.lineno}: {node.value}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NUMBERED_PARAMETER.search(node.value)
    ]
    assert found == []
