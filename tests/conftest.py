"""What can be said to the whole run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--base-url",
        default="",
        help="a running server (tickwire serve --feed http) for tests/wire/conformance, in place of its own",
    )
    parser.addoption("--user-header", default="", help="what that server was given as --user-header, if it was")
