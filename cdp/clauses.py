"""A filter that has been read: one condition, the clauses it is made of, what it depends on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement

from cdp.clock import Clock


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of a filter: its place, what it asks (JSON), and whether that holds.

    `value` is what it looks at, for records how many answer to it; None where it is made of other
    clauses, which follow it, or looks at no one value.
    """

    path: str
    asked: object
    holds: ColumnElement[bool]
    value: ColumnElement[Any] | None = None
    is_personal: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter as it was read: the condition, its parts, and what its truth depends on.

    `segments` are the slugs that it names. `asks_consent`: it asks how customers stand to a channel
    and purpose, which a statement by somebody else with the same contact point may change.
    """

    condition: ColumnElement[bool]
    clauses: Sequence[Clause]
    clock: Clock
    segments: frozenset[str]
    asks_consent: bool = False

    @property
    def is_personal(self) -> bool:
        """Whether it names personal data."""
        return any(clause.is_personal for clause in self.clauses)
