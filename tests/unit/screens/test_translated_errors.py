"""The Chinese texts of filter errors, field names and of the built-in model, which the dashboard contains."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest
from tests.unit.screens.test_filter_language import INVALID

import tickwire.screens
from tickwire.errors import FilterError
from tickwire.screens.fields import CHINESE_FIELD_NAMES
from tickwire.screens.ranking import parse_ranking
from tickwire.screens.screen import parse_screen
from tickwire.simulation import universe

INVALID_ORDER = "1 desc"
WORDS = Path(__file__).parents[3] / "dashboard" / "src" / "words"
TRANSLATIONS = WORDS / "serverTextsZh.ts"
ENGLISH_TEXT = re.compile(r"""^  (?:  |\[)(?P<text>"(?:[^"\\]|\\.)*"|'[^']*'),""", re.MULTILINE)


def read_patterns() -> list[re.Pattern[str]]:
    """Return a regular expression for each English text that the dashboard translates."""
    texts = [match["text"] for match in ENGLISH_TEXT.finditer(TRANSLATIONS.read_text(encoding="utf-8"))]
    plain = [json.loads(text) if text[0] == '"' else text[1:-1] for text in texts]
    return [re.compile(re.escape(text).replace(re.escape("{}"), "(.+?)")) for text in plain]


PATTERNS = read_patterns()


def is_translated(text: str) -> bool:
    return any(pattern.fullmatch(" ".join(text.split())) for pattern in PATTERNS)


@pytest.mark.parametrize("text", [case[0] for case in INVALID])
def test_every_error_and_hint_is_translated(text: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_screen(text)
    assert is_translated(str(caught.value))
    assert caught.value.hint is None or is_translated(caught.value.hint)


def test_the_error_and_the_hint_of_an_order_are_translated() -> None:
    with pytest.raises(FilterError) as caught:
        parse_ranking(INVALID_ORDER, 1)
    assert is_translated(str(caught.value))
    assert is_translated(str(caught.value.hint))


def test_the_invalid_filters_raise_every_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line that creates a FilterError is reached, so that the test above sees every message."""
    created: set[tuple[str, int]] = set()

    class RecordedError(FilterError):
        def __init__(self, *arguments: str, **options: object) -> None:
            caller = sys._getframe(1)
            created.add((Path(caller.f_code.co_filename).name, caller.f_lineno))
            super().__init__(*arguments, **options)  # type: ignore[arg-type]

    modules = [sys.modules[f"tickwire.screens.{name}"] for name in ("lexer", "parser", "analyzer")]
    for module in modules:
        monkeypatch.setattr(module, "FilterError", RecordedError)
    for text, *_ in INVALID:
        with pytest.raises(FilterError):
            parse_screen(text)
    with pytest.raises(FilterError):
        parse_ranking(INVALID_ORDER, 1)
    missed = [
        (path.name, call.lineno)
        for path in Path(tickwire.screens.__path__[0]).glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "FilterError"
        if not {(path.name, line) for line in range(call.lineno, (call.end_lineno or 0) + 1)} & created
    ]
    assert missed == []


def test_the_description_of_the_built_in_model_is_translated() -> None:
    assert is_translated(str(universe.__doc__))


def test_filters_accept_the_field_names_of_the_chinese_page() -> None:
    """The page suggests these names."""
    _, _, block = (WORDS / "zh.ts").read_text(encoding="utf-8").partition("const fields = {")
    names = re.findall(r'(\w+): "(.+)"', block.partition("}")[0])
    assert {chinese: english for english, chinese in names} == CHINESE_FIELD_NAMES
