"""Draws charts as SVG, so that the calibration report needs no plotting library.

A chart is a panel with axes, points, lines and columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import pairwise

import numpy as np

# These sizes are in pixels.
PANEL_WIDTH, PANEL_HEIGHT = 380, 280
_LEFT_MARGIN, _RIGHT_MARGIN, _TOP_MARGIN, _BOTTOM_MARGIN = 52, 14, 44, 40
_GRID_COLOUR, _TEXT_COLOUR, _FAINT_COLOUR = "#e4e7ec", "#344054", "#667085"
DATA_COLOUR, MODEL_COLOUR = "#98a2b3", "#2563eb"
_ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# The maximum number of characters of a title in the larger size. A longer title has the smaller size, so that it fits.
_MAX_LARGE_TITLE_CHARS = 40
# The approximate width of a character of a legend, in pixels.
_LEGEND_CHAR_WIDTH = 5.6
# The approximate number of marks on an axis.
_TARGET_MARK_COUNT = 5


class Panel:
    """One chart. `x_range` and `y_range` are (low, high) pairs. Draw into the panel first, then call `render`."""

    def __init__(self, title: str, subtitle: str, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self._title, self._subtitle = title, subtitle
        self._x_range, self._y_range = x_range, y_range
        self._x_labels: list[tuple[float, str]] | None = None
        self._elements: list[str] = []

    def set_x_labels(self, labels: Iterable[tuple[float, str]]) -> None:
        """Replace the numbers below the x axis by labels. A label is a pair: an x coordinate and a text."""
        self._x_labels = [*labels]

    def draw_points(self, xs: Iterable[float], ys: Iterable[float], colour: str, *, hollow: bool = False) -> None:
        fill = "white" if hollow else colour
        for x, y in zip(xs, ys, strict=True):
            index = f'cx="{self._x_pixel(x):.1f}" cy="{self._y_pixel(y):.1f}"'
            self._elements.append(f'<circle {index} r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>')

    def draw_line(self, xs: Iterable[float], ys: Iterable[float], colour: str, *, dashed: bool = False) -> None:
        path = " ".join(f"{self._x_pixel(x):.1f},{self._y_pixel(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        shape = f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        self._elements.append(shape)

    def draw_columns(self, heights: Sequence[float], colour: str) -> None:
        """Draw one column for each value, at x = 0, 1, 2, ..."""
        width = 0.8 * (self._x_pixel(1) - self._x_pixel(0))
        for index, height in enumerate(heights):
            left, top = self._x_pixel(index) - width / 2, self._y_pixel(height)
            box = (
                f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{self._y_pixel(self._y_range[0]) - top:.1f}"'
            )
            self._elements.append(f'<rect {box} fill="{colour}" rx="1.5"/>')

    def draw_legend(self, entries: Iterable[tuple[str, str]]) -> None:
        """Write as many names as fit below the subtitle, each in its colour. An entry is a name and a colour."""
        x = float(_LEFT_MARGIN)
        for name, colour in entries:
            width = _LEGEND_CHAR_WIDTH * len(name) + 10
            if x + width > PANEL_WIDTH:
                self._elements.append(_text_element(x, 50, "...", size=10, colour=_FAINT_COLOUR))
                break
            self._elements.append(_text_element(x, 50, name, size=10, colour=colour))
            x += width

    def render(self, left: int, top: int) -> str:
        """Return the SVG text of the panel, with the upper left corner of the panel at (`left`, `top`)."""
        size = 14 if len(self._title) <= _MAX_LARGE_TITLE_CHARS else 12
        head = _text_element(_LEFT_MARGIN, 18, self._title, size=size, weight=600) + _text_element(
            _LEFT_MARGIN, 34, self._subtitle, colour=_FAINT_COLOUR
        )
        return f'<g transform="translate({left},{top})">{head}{self._render_axes()}{"".join(self._elements)}</g>'

    def _render_axes(self) -> str:
        parts = []
        for value in axis_marks(*self._y_range):
            y = self._y_pixel(value)
            ends = f'x1="{_LEFT_MARGIN}" x2="{PANEL_WIDTH - _RIGHT_MARGIN}" y1="{y:.1f}" y2="{y:.1f}"'
            parts += [
                f'<line {ends} stroke="{_GRID_COLOUR}"/>',
                _text_element(_LEFT_MARGIN - 8, y + 4, f"{value:g}", anchor="end", colour=_FAINT_COLOUR),
            ]
        numbers = [(value, f"{value:g}") for value in axis_marks(*self._x_range)]
        for value, name in numbers if self._x_labels is None else self._x_labels:
            parts.append(
                _text_element(
                    self._x_pixel(value),
                    PANEL_HEIGHT - _BOTTOM_MARGIN + 18,
                    name,
                    anchor="middle",
                    colour=_FAINT_COLOUR,
                )
            )
        return "".join(parts)

    def _x_pixel(self, x: float) -> float:
        low, high = self._x_range
        return _LEFT_MARGIN + (x - low) / (high - low) * (PANEL_WIDTH - _LEFT_MARGIN - _RIGHT_MARGIN)

    def _y_pixel(self, y: float) -> float:
        low, high = self._y_range
        return PANEL_HEIGHT - _BOTTOM_MARGIN - (y - low) / (high - low) * (PANEL_HEIGHT - _TOP_MARGIN - _BOTTOM_MARGIN)


def render_document(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    *,
    panels_per_row: int = 3,
    legend: Sequence[tuple[str, str]] = (("data", DATA_COLOUR), ("model", MODEL_COLOUR)),
) -> str:
    """Return an SVG document with a heading, a legend and the panels, at most `panels_per_row` side by side.

    `legend` contains pairs of a name and a colour.
    """
    rows = -(-len(panels) // panels_per_row)
    width, height, head = panels_per_row * PANEL_WIDTH + 24, rows * PANEL_HEIGHT + 84, 72
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text_element(_LEFT_MARGIN, 32, title, size=18, weight=600),
        _text_element(_LEFT_MARGIN, 52, subtitle, colour=_FAINT_COLOUR, size=12),
    ]
    for index, (name, colour) in enumerate(legend):
        x = width - 170 + index * 80
        parts += [f'<circle cx="{x}" cy="28" r="5" fill="{colour}"/>', _text_element(x + 10, 32, name, size=13)]
    for index, panel in enumerate(panels):
        parts.append(
            panel.render(index % panels_per_row * PANEL_WIDTH + 12, head + index // panels_per_row * PANEL_HEIGHT)
        )
    return "\n".join([*parts, "</svg>", ""])


def axis_marks(low: float, high: float) -> list[float]:
    """Return about five round numbers between `low` and `high`."""
    rough = (high - low) / _TARGET_MARK_COUNT
    unit = 10.0 ** np.floor(np.log10(rough))
    step = next(unit * nice for nice in _ROUND_STEPS if unit * nice >= rough)
    marks = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    # Adding 0.0 turns -0.0 into 0.0.
    return [round(float(value), 10) + 0.0 for value in marks]


def axis_range(values: Iterable[float], *, include_zero: bool = False, padding: float = 0.08) -> tuple[float, float]:
    """Return a pair: the lower and the upper end of an axis that covers all finite numbers in `values`.

    With `include_zero`, the axis also covers 0.
    """
    finite = [float(value) for value in values if np.isfinite(value)] or [0.0, 1.0]
    low, high = min([*finite, 0.0] if include_zero else finite), max(finite)
    margin = (high - low or 1.0) * padding
    return (low if include_zero and low == 0 else low - margin), high + margin


def step_line(values: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return a pair: the x and the y coordinates of a step line through `values`.

    The steps have the width 1, and their centres are at x = 0, 1, 2, ...
    """
    xs = [edge for index in range(len(values)) for edge in (index - 0.5, index + 0.5)]
    return xs, [value for value in values for _ in pairwise((0, 1, 2))]


def _text_element(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    weight: int = 400,
    anchor: str = "start",
    colour: str = _TEXT_COLOUR,
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'
