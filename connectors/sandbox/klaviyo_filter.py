"""Parses Klaviyo's filter parameter: comparisons such as greater-than(updated,TIME)."""

import re
from dataclasses import dataclass, replace

from connectors.sandbox.state import Bounds, SortValue, micros

_COMPARISON = re.compile(
    r"(?P<operator>[a-z-]+)\((?P<field>[A-Za-z_.]+),(?P<value>.*)\)", re.DOTALL
)
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T.*")


class KlaviyoError(ValueError):
    """A request that Klaviyo refuses; `parameter` is what was wrong with it."""

    def __init__(
        self, detail: str, parameter: str, *, code: str = "invalid", status: int = 400
    ) -> None:
        super().__init__(detail)
        self.parameter = parameter
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a filter; `values` has more than one member only for `any`."""

    operator: str
    field: str
    values: tuple[SortValue, ...]

    def holds(self, value: SortValue | None) -> bool:
        """Say whether a value passes."""
        wanted = self.values[0]
        if self.operator in {"equals", "any"}:
            return value in self.values
        if not isinstance(value, int) or not isinstance(wanted, int):
            return False
        match self.operator:
            case "greater-than":
                return value > wanted
            case "greater-or-equal":
                return value >= wanted
            case "less-than":
                return value < wanted
            case _:
                return value <= wanted

    def narrowed(self, bounds: Bounds) -> Bounds:
        """Return bounds, narrowed by this comparison."""
        value = self.values[0]
        if self.operator.startswith("greater"):
            return replace(bounds, low=value, low_open=self.operator == "greater-than")
        return replace(bounds, high=value, high_open=self.operator == "less-than")


def parse_filter(text: str) -> list[Comparison]:
    """Return the comparisons that a filter joins by AND; KlaviyoError when it is malformed."""
    found: list[Comparison] = []
    for part in _parts(text):
        if part.startswith("and(") and part.endswith(")"):
            found.extend(parse_filter(part[4:-1]))
            continue
        match = _COMPARISON.fullmatch(part)
        if match is None:
            raise KlaviyoError(f"Invalid filter: {part}", "filter")
        found.append(Comparison(match["operator"], match["field"], _values(match["value"])))
    return found


def _parts(text: str) -> list[str]:
    """Split at the commas that lie in no parentheses, brackets or quotes."""
    parts, depth, quote, start = [], 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:place])
            start = place + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _values(text: str) -> tuple[SortValue, ...]:
    if text.startswith("[") and text.endswith("]"):
        return tuple(_value(part) for part in _parts(text[1:-1]))
    return (_value(text),)


def _value(text: str) -> SortValue:
    if text[:1] in {"'", '"'} and text[-1:] == text[:1]:
        return text[1:-1]
    if _TIME.fullmatch(text):
        try:
            return micros(text)
        except ValueError as error:
            raise KlaviyoError(f"Invalid datetime: {text}", "filter") from error
    return int(text) if text.isdigit() else text
