"""Every code block of the documentation has a language, and is valid in this language.

tests/wire/test_docs_commands.py runs the commands, and tests/proxies runs the configurations of proxies.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^ *```(\S*)$")
# A block that is indented instead of fenced contains commands if it starts with one of these programs.
COMMAND = re.compile(r"(tickwire|python|pip|gunicorn|nats-server) ")


class Block(NamedTuple):
    """A code block, and its place in the form PAGE:LINE."""

    place: str
    language: str
    text: str


def code_blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, and the indented blocks that contain commands."""
    lines = page.read_text(encoding="utf-8").splitlines()
    name = page.relative_to(ROOT)
    start, language, indented = 0, "", list[str]()
    for number, line in enumerate([*lines, ""], 1):
        if fence := FENCE.match(line):
            if start:
                yield Block(f"{name}:{start}", language, "\n".join(lines[start : number - 1]) + "\n")
                start = 0
            else:
                start, language = number, fence[1]
        elif not start and line.startswith("    ") and (indented or not lines[number - 2]):
            indented.append(line.strip())
        elif not start and indented:
            if COMMAND.match(indented[0]):
                yield Block(f"{name}:{number - len(indented)}", "sh", "\n".join(indented))
            indented = []
    assert not start, f"{name}:{start}: the block has no end"


def check_sh(text: str) -> None:
    check_with_program("sh", "-n", text=text)


def check_js(text: str) -> None:
    check_with_program("node", "--check", "--input-type=module", text=text)


def check_with_program(*command: str, text: str) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    checked = subprocess.run([*command, "-"], input=text, capture_output=True, text=True, check=False)
    if checked.returncode:
        raise ValueError(checked.stderr)


def check_python(text: str) -> None:
    # Some blocks are a part of a coroutine.
    compile(text, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def check_text(_: str) -> None:
    """Accept everything: the block shows output, or a language whose blocks other tests run."""


CHECKS: dict[str, Callable[[str], object]] = {
    "sh": check_sh,
    "js": check_js,
    "json": json.loads,
    "python": check_python,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "text": check_text,
    # The tests in tests/proxies run these blocks.
    **dict.fromkeys(("apache", "caddyfile", "haproxy", "nginx", "vcl"), check_text),
    # The dashboard is built from files of this kind, but the block is a part of a program with imports.
    "jsx": check_text,
    # tests/e2e opens pages with these elements.
    "html": check_text,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_blocks_have_a_language_and_are_valid(page: Path) -> None:
    problems = []
    for block in code_blocks(page):
        try:
            CHECKS[block.language](block.text)
        except (KeyError, ValueError, SyntaxError) as error:
            problems.append(f"{block.place}: {block.language}: {error!r}")
    assert problems == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "tickwire serve --port '9000\n"),
        ("js", "let stream = ;\n"),
        ("json", '{"symbol": }\n'),
        ("python", "import = 3\n"),
        ("toml", "port = \n"),
        ("yaml", "port: [\n"),
    ],
)
def test_planted_mistake_is_found(language: str, text: str) -> None:
    with pytest.raises((ValueError, SyntaxError, yaml.YAMLError)):
        CHECKS[language](text)
