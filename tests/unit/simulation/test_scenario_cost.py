"""The cost of parsing: even the slowest 64 KB of text take only a few times as long as ordinary text."""

from __future__ import annotations

from time import thread_time

import pytest

from tickwire.errors import InputError
from tickwire.simulation.scenario import Scenario, parse_scenario, unmatched_symbols
from tickwire.simulation.toml_text import MAX_KEY_PARTS, check_key_parts

BYTES = 64 * 1024
SYMBOLS = [f"S{number}" for number in range(500)]
HALT, RESUME = '[[event]]\nat="1s"\ndo="halt"\n', '[[event]]\nat="1s"\ndo="resume"\n'
HOSTILE = {
    "dotted key": "a." * (BYTES // 2 - 5) + "b=1",
    "dotted key with spaces": "a . " * (BYTES // 4 - 5) + "b=1",
    "dotted key of texts": '"a".' * (BYTES // 4 - 5) + "b=1",
    "dotted key after an apostrophe in a comment": "# '\n" + "a." * (BYTES // 2 - 5) + "b=1",
    "dotted key after a text with a quote": '''x="""a"b"""\n''' + "a." * (BYTES // 2 - 10) + "b=1",
    "dotted key in a table": "x={" + "a." * (BYTES // 2 - 5) + "b=1}",
    "header": "[" + "a." * (BYTES // 2 - 5) + "b]",
    "keys of the longest allowed kind": "\n".join(
        f"{'a.' * (MAX_KEY_PARTS - 1)}k{number}=1" for number in range(2_700)
    ),
    "nested arrays": "a=" + "[" * (BYTES - 5),
    "open text": "a=" + '"\\' * (BYTES // 2 - 5),
    "events": 'name="x"\n' + (HALT + RESUME) * (BYTES // 70),
    "names": 'name="x"\n' + HALT + "symbols=[" + '"*S*1",' * (BYTES // 8) + "]",
}


def parse_time(text: str) -> float:
    started_at = thread_time()
    try:
        scenario = parse_scenario(text)
    except InputError:
        pass
    else:
        assert isinstance(scenario, Scenario)
        unmatched_symbols(scenario, SYMBOLS)
        assert scenario.end_s >= 0
    return thread_time() - started_at


def test_no_text_takes_long() -> None:
    """The test compares the time for each text with the time for 64 KB of short keys."""
    unit_s = min(parse_time("\n".join(f"key{number:05}=1" for number in range(BYTES // 11))) for _ in range(3))
    for name, text in HOSTILE.items():
        assert len(text) <= BYTES + 5_000, name
        assert min(parse_time(text) for _ in range(2)) < 6 * unit_s, name


def test_the_largest_valid_scenarios_do_not_take_long() -> None:
    unit_s = min(parse_time("\n".join(f"key{number:05}=1" for number in range(BYTES // 11))) for _ in range(3))
    many_events = 'name="x"\n' + (HALT + RESUME) * 100
    names = ",".join(f'"*S*{number}"' for number in range(1_000))
    many_names = f'name="x"\n{HALT}symbols=[{names}]'
    for text in (many_events, many_names):
        parse_scenario(text)
        assert min(parse_time(text) for _ in range(2)) < 6 * unit_s


@pytest.mark.parametrize("text", ["1." * MAX_KEY_PARTS + "b=1", "[" + ' "x" .' * MAX_KEY_PARTS + "b]"])
def test_a_key_with_too_many_parts_is_named(text) -> None:
    with pytest.raises(InputError, match=f"has more than {MAX_KEY_PARTS} parts"):
        check_key_parts(text, "scenario")


@pytest.mark.parametrize(
    "text",
    [
        "a." * (MAX_KEY_PARTS - 1) + "b=1",
        'about = "' + "a." * 50 + '"',
        "about = '" + "a." * 50 + "'",
        'about = """\n' + "a." * 50 + '"""',
        "# " + "a." * 50,
        "x = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 10.5]",
    ],
)
def test_dots_in_texts_and_numbers_are_allowed(text) -> None:
    check_key_parts(text, "scenario")
