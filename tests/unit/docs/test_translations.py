"""The Chinese pages contain the same commands, programs and figures as the English pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TRANSLATIONS = [ROOT / "README.zh-CN.md", *sorted((ROOT / "docs" / "zh").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The translation may translate comments.
COMMENT = re.compile(r" +(#|//) .*$", re.MULTILINE)
ENGLISH_PAGE = re.compile(r"(?:\[English\]|英文版：\[[^]]+\])\(([^)]+)\)")


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return the language and the code of each block, without comments."""
    return [(language, COMMENT.sub("", code)) for language, code in BLOCK.findall(text)]


def english_page(page: Path) -> Path:
    """Return the English page that a translation links to."""
    found = ENGLISH_PAGE.search(page.read_text(encoding="utf-8"))
    assert found, f"{page}: link to the English page"
    return page.parent / found[1]


def missing_blocks(translation: str, english: str) -> list[str]:
    """Return the blocks of a translation that the English page does not contain, in the order of the translation."""
    rest = iter(code_blocks(english))
    return [code for language, code in code_blocks(translation) if (language, code) not in rest]


@pytest.mark.parametrize("page", TRANSLATIONS, ids=lambda page: page.stem)
def test_translation_contains_the_commands_of_the_english_page(page: Path) -> None:
    translation, english = (each.read_text(encoding="utf-8") for each in (page, english_page(page)))
    assert code_blocks(translation)
    assert missing_blocks(translation, english) == []


def test_readme_and_its_translation_contain_the_same_code_and_figures() -> None:
    translation, english = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.zh-CN.md", "README.md"))
    assert code_blocks(translation) == code_blocks(english)
    rows = re.compile(r"^\|[^|]+\| [\d,.]+ \|.*$", re.MULTILINE)
    assert rows.findall(english)
    assert rows.findall(translation) == rows.findall(english)


def test_changed_command_is_found() -> None:
    english = "```sh\ntickwire serve --speed 10     # fast\n```\n```sh\ntickwire watch\n```\n"
    assert missing_blocks(english.replace("fast", "快"), english) == []
    assert missing_blocks(english.replace("--speed 10", "--speed 20"), english) != []
    assert missing_blocks("```sh\ntickwire watch\n```\n```sh\ntickwire serve --speed 10\n```\n", english) != []
