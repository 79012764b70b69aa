"""A figure: what a benchmark tells."""

from dataclasses import dataclass

SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value. A `unit` such as `records/s`; `ratio` for what has none."""

    name: str
    value: float
    unit: str


def figure(name: str, value: float, unit: str) -> Figure:
    """A figure, rounded to what a measurement can tell."""
    return Figure(name, float(f"{value:.{SIGNIFICANT_DIGITS}g}"), unit)
