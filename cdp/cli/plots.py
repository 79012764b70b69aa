"""Small plots as inline SVG: bars beside bars, curves, and a line to compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 420
HEIGHT: Final = 260
LEFT: Final = 48  # for the numbers of the axis
BOTTOM: Final = 36
TOP: Final = 12
TICKS: Final = 4
COLOURS: Final = ("#2f6db5", "#e08a1e", "#7a7a7a", "#4a9c5d")
"""Told apart also without colour vision, and in print."""


@dataclass(frozen=True, slots=True)
class Series:
    """A name, and values: of bars one per label, of curves points (x, y)."""

    name: str
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Curve:
    """A name, and its points from left to right."""

    name: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False


def bars(labels: Sequence[str], series: Sequence[Series]) -> str:
    """Groups of bars, one group per label."""
    highest = max((value for one in series for value in one.values), default=0.0) or 1.0
    step = (WIDTH - LEFT) / max(len(labels), 1)
    width = step * 0.8 / max(len(series), 1)
    parts = [_frame(0.0, highest)]
    for place, one in enumerate(series):
        for at, value in enumerate(one.values):
            x = LEFT + at * step + step * 0.1 + place * width
            top = _y(value, 0.0, highest)
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}"'
                f' height="{HEIGHT - BOTTOM - top:.1f}" fill="{COLOURS[place]}"/>'
            )
    for at, label in enumerate(labels):
        parts.append(_text(LEFT + (at + 0.5) * step, HEIGHT - BOTTOM + 14, label, "middle"))
    return _svg(parts, [one.name for one in series])


def curves(given: Sequence[Curve], labels: tuple[str, str]) -> str:
    """Curves on one pair of axes from zero; `labels` stand at the ends of the lower one."""
    right = max((x for one in given for x, _ in one.points), default=0.0) or 1.0
    highest = max((y for one in given for _, y in one.points), default=0.0) or 1.0
    parts = [_frame(0.0, highest)]
    for place, one in enumerate(given):
        points = " ".join(
            f"{LEFT + x / right * (WIDTH - LEFT - 8):.1f},{_y(y, 0.0, highest):.1f}"
            for x, y in one.points
        )
        dash = ' stroke-dasharray="5 4"' if one.is_dashed else ""
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[place]}"'
            f' stroke-width="2"{dash}/>'
        )
    parts.append(_text(LEFT, HEIGHT - BOTTOM + 14, labels[0], "start"))
    parts.append(_text(WIDTH - 8, HEIGHT - BOTTOM + 14, labels[1], "end"))
    return _svg(parts, [one.name for one in given])


def _y(value: float, low: float, high: float) -> float:
    return TOP + (high - value) / (high - low) * (HEIGHT - BOTTOM - TOP)


def _frame(low: float, high: float) -> str:
    parts = []
    for tick in range(TICKS + 1):
        value = low + (high - low) * tick / TICKS
        y = _y(value, low, high)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:.3g}", "end"))
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], names: Sequence[str]) -> str:
    legend = []
    for place, name in enumerate(names):
        x = LEFT + place * (WIDTH - LEFT) / len(names)
        legend.append(
            f'<rect x="{x:.1f}" y="{HEIGHT - 14}" width="10" height="10" fill="{COLOURS[place]}"/>'
            + _text(x + 14, HEIGHT - 5, name, "start")
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' font-size="11" font-family="sans-serif">{"".join(parts)}{"".join(legend)}</svg>'
    )
