"""Small charts as SVG: panels with axes, points, lines and columns. Enough for one report, and nothing to install."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

import numpy as np

WIDTH, HEIGHT = 380, 280  # of a panel, in pixels
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 44, 40  # from its edges to the plot
_GRID, _TEXT, _FAINT = "#e4e7ec", "#344054", "#667085"
DATA, MODEL = "#98a2b3", "#2563eb"
_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_MARKS = 5  # on an axis, about


class Panel:
    """One chart: `x` and `y` are the ends of its axes; draw into it, then ask for its `svg`."""

    def __init__(self, title: str, note: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._title, self._note = title, note
        self._x, self._y = x, y
        self._names: list[tuple[float, str]] | None = None
        self._drawn: list[str] = []

    def name_places(self, names: Iterable[tuple[float, str]]) -> None:
        """Write names below some places instead of numbers."""
        self._names = [*names]

    def points(self, xs: Iterable[float], ys: Iterable[float], colour: str, *, hollow: bool = False) -> None:
        """A dot at each place."""
        fill = "white" if hollow else colour
        for x, y in zip(xs, ys, strict=True):
            place = f'cx="{self._across(x):.1f}" cy="{self._up(y):.1f}"'
            self._drawn.append(f'<circle {place} r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>')

    def line(self, xs: Iterable[float], ys: Iterable[float], colour: str, *, dashed: bool = False) -> None:
        """A line through all places."""
        path = " ".join(f"{self._across(x):.1f},{self._up(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        shape = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        self._drawn.append(shape)

    def columns(self, heights: Sequence[float], colour: str) -> None:
        """Columns over 0, 1, 2, ..."""
        width = 0.8 * (self._across(1) - self._across(0))
        for place, height in enumerate(heights):
            left, top = self._across(place) - width / 2, self._up(height)
            box = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{self._up(self._y[0]) - top:.1f}"'
            self._drawn.append(f'<rect {box} fill="{colour}" rx="1.5"/>')

    def svg(self, left: int, top: int) -> str:
        """The panel with its upper left corner there."""
        head = _text(_LEFT, 18, self._title, size=14, weight=600) + _text(_LEFT, 34, self._note, colour=_FAINT)
        return f'<g transform="translate({left},{top})">{head}{self._axes()}{"".join(self._drawn)}</g>'

    def _axes(self) -> str:
        parts = []
        for value in marks(*self._y):
            y = self._up(value)
            line = f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
            parts += [line, _text(_LEFT - 8, y + 4, f"{value:g}", anchor="end", colour=_FAINT)]
        numbers = [(value, f"{value:g}") for value in marks(*self._x)]
        for value, name in numbers if self._names is None else self._names:
            parts.append(_text(self._across(value), HEIGHT - _BOTTOM + 18, name, anchor="middle", colour=_FAINT))
        return "".join(parts)

    def _across(self, x: float) -> float:
        low, high = self._x
        return _LEFT + (x - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def _up(self, y: float) -> float:
        low, high = self._y
        return HEIGHT - _BOTTOM - (y - low) / (high - low) * (HEIGHT - _TOP - _BOTTOM)


def sheet(title: str, note: str, panels: Sequence[Panel], *, across: int = 3) -> str:
    """An SVG document of the panels in rows, with a heading and a legend of data and model."""
    rows = -(-len(panels) // across)
    width, height, head = across * WIDTH + 24, rows * HEIGHT + 84, 72
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(_LEFT, 32, title, size=18, weight=600),
        _text(_LEFT, 52, note, colour=_FAINT, size=12),
    ]
    for place, (name, colour) in enumerate((("data", DATA), ("model", MODEL))):
        x = width - 170 + place * 80
        parts += [f'<circle cx="{x}" cy="28" r="5" fill="{colour}"/>', _text(x + 10, 32, name, size=13)]
    for place, panel in enumerate(panels):
        parts.append(panel.svg(place % across * WIDTH + 12, head + place // across * HEIGHT))
    return "\n".join([*parts, "</svg>", ""])


def marks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high`, about five."""
    rough = (high - low) / _MARKS
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(unit * nice for nice in _NICE if unit * nice >= rough)
    found = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    return [round(float(value), 10) + 0.0 for value in found]  # no -0


def around(values: Iterable[float], *, zero: bool = False, room: float = 0.08) -> tuple[float, float]:
    """The ends of an axis on which all values have room; from 0 on, if that is asked for."""
    known = [float(value) for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min([*known, 0.0] if zero else known), max(known)
    margin = (high - low or 1.0) * room
    return (low if zero and low == 0 else low - margin), high + margin


def steps(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """The corners of a stair with a tread of width 1 around each of 0, 1, 2, ..."""
    xs = [edge for place in range(len(values)) for edge in (place - 0.5, place + 0.5)]
    return xs, [value for value in values for _ in pairwise((0, 1, 2))]


def _text(
    x: float, y: float, said: str, *, size: int = 11, weight: int = 400, anchor: str = "start", colour: str = _TEXT
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(said)}</text>'
