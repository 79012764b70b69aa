"""Shopify's search syntax, as far as the emulator knows it: comparisons joined by AND."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.sandbox.state import Bounds, Item, SortValue, micros

# field:>=value, with the value quoted or not; a leading minus negates (shopify.dev, search syntax).
_TERM = re.compile(
    r"\s*(?P<name>[a-z_]+):(?P<comparator>>=|<=|>|<|=)?(?P<value>'[^']*'|\"[^\"]*\"|[^\s()]+)"
)
_AND = re.compile(r"\s*AND(?=\s)")

SECOND = 1_000_000
"""Microseconds: Shopify's times have no fraction."""


def whole_second(text: object) -> int:
    """Return microseconds since 1970, the fraction of the second cut off as Shopify stores it."""
    return micros(text) // SECOND * SECOND


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison."""

    name: str
    comparator: str
    value: SortValue

    def holds(self, value: SortValue | None) -> bool:
        """Say whether a value passes."""
        if value is None or isinstance(value, str) != isinstance(self.value, str):
            return False
        left, right = str(value), str(self.value)
        if isinstance(value, int) and isinstance(self.value, int):
            return _compare(self.comparator, value - self.value)
        return _compare(self.comparator, (left > right) - (left < right))


def _compare(comparator: str, difference: int) -> bool:
    match comparator:
        case ">=":
            return difference >= 0
        case "<=":
            return difference <= 0
        case ">":
            return difference > 0
        case "<":
            return difference < 0
        case _:
            return difference == 0


@dataclass(slots=True)
class Search:
    """A parsed query: what must hold, and the fields that it named in vain."""

    terms: list[Term] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def bounds(self, name: str) -> Bounds:
        """Return the range that the terms set for one field."""
        low: SortValue | None = None
        high: SortValue | None = None
        low_open = high_open = False
        for term in self.terms:
            if term.name != name:
                continue
            if term.comparator in {">", ">=", "="} and (low is None or _above(term.value, low)):
                low, low_open = term.value, term.comparator == ">"
            if term.comparator in {"<", "<=", "="} and (high is None or _above(high, term.value)):
                high, high_open = term.value, term.comparator == "<"
        return Bounds(low, low_open, high, high_open)

    def predicate(
        self, readers: dict[str, Callable[[Item], SortValue | None]]
    ) -> Callable[[Item], bool] | None:
        """Return a test of an object; None when every object passes."""
        tests = [(term, readers[term.name]) for term in self.terms]
        if not tests:
            return None
        return lambda item: all(term.holds(read(item)) for term, read in tests)


def _above(one: SortValue, other: SortValue) -> bool:
    return Term("", ">", other).holds(one)


# status: values that let every order pass.
_ANY = {"any", "*"}


def parse_search(text: str | None, times: set[str], texts: set[str]) -> Search:
    """Parse a search query; ValueError when the syntax is not one that the emulator knows.

    `times` and `texts` are the fields that can be searched; like Shopify, a field that is not among
    them is ignored and reported, which quietly widens the result.
    """
    search = Search()
    rest = text or ""
    while rest.strip():
        joined = _AND.match(rest)
        if joined:
            rest = rest[joined.end() :]
            continue
        match = _TERM.match(rest)
        if match is None:
            raise ValueError(f"the sandbox does not know this search syntax: {rest.strip()!r}")
        rest = rest[match.end() :]
        name, value = match["name"], match["value"].strip("'\"")
        if name == "status" and value in _ANY:
            continue
        if name in times:
            search.terms.append(Term(name, match["comparator"] or "=", whole_second(_dated(value))))
        elif name == "id":
            search.terms.append(Term(name, match["comparator"] or "=", int(value)))
        elif name in texts:
            search.terms.append(Term(name, match["comparator"] or "=", value.lower()))
        else:
            search.unknown.append(name)
    return search


def _dated(value: str) -> str:
    """Read a bare date as its midnight and a time without offset in the shop's zone, UTC."""
    if len(value) == len("2026-01-31"):
        return f"{value}T00:00:00Z"
    offset = value[19:]
    return value if "Z" in offset or "+" in offset or "-" in offset else f"{value}Z"
