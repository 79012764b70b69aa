"""The mechanism: a trait is a function from a scope to a SQL expression over one customer's row."""

import inspect
import typing
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, FromClause, func, types

from cdp.money import HUNDREDTHS, to_smallest_unit
from cdp.traits.lookups import LookUps

POINTS: Final = "points"
"""The unit of points of the loyalty programme, whose sums may be beyond 32 bits."""

TraitFunction: TypeAlias = "Callable[[Scope], ColumnElement[Any]]"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a trait may read: one customer, its facts, and the clock.

    `customer` and `fact` are the same row for the present (of `scored_customer`); for a past moment
    `fact` is folded anew. `as_of` is that moment, with time zone. `lookups`: what belongs to a
    customer elsewhere is looked up for each of some, there; None: it is gathered for everybody.
    `money_digits`: decimal places of the workspace's currency.
    """

    customer: FromClause
    fact: FromClause
    as_of: ColumnElement[datetime]
    timezone: str = "UTC"
    money_digits: int = HUNDREDTHS
    lookups: LookUps | None = None

    @property
    def today(self) -> ColumnElement[Any]:
        """The workspace's day at `as_of`."""
        return func.date(func.timezone(self.timezone, self.as_of), type_=types.Date)

    def money(self, amount: ColumnElement[Any]) -> ColumnElement[Any]:
        """An amount that a trait computes: to the smallest unit, for whoever shows or compares."""
        return to_smallest_unit(amount, self.money_digits)

    def once(self, name: str, value: ColumnElement[Any]) -> ColumnElement[Any]:
        """A trait's value, under a name of its own where many conditions may ask for it."""
        return value if self.lookups is None else self.lookups.once(name, value)

    def score(self, name: str) -> ColumnElement[Any]:
        """A column of the customer's stored score; null without one. As of when it was computed."""
        return self.customer.c[f"score_{name}"]

    def basis(self, name: str) -> ColumnElement[Any]:
        """A column of what the scores in force rest on, the same for all; null before the first."""
        return self.customer.c[f"basis_{name}"]


@dataclass(frozen=True, slots=True)
class Trait:
    """A named, typed, documented value of one customer.

    `type` is the Python type of its value (an Enum for a PostgreSQL enum); null is always possible
    and its meaning stands in `doc`. `order_column` names the stored fact that sorts like the trait
    (`-last_order_on`: the other way round), so that an index serves the order. `finer_column`: one
    that an index serves in its stead, though it tells apart whom the trait takes for equal (the
    moment within a day): good only where nothing else is to decide between them.
    """

    name: str
    type: type
    doc: str
    unit: str | None
    order_column: str | None
    finer_column: str | None
    function: TraitFunction

    def __call__(self, scope: Scope) -> ColumnElement[Any]:
        """The expression over the rows of the scope."""
        return self.function(scope)

    def shown(self, scope: Scope) -> ColumnElement[Any]:
        """What every reader is told; filters and orders go by the value itself.

        They are equal. Money is told with all the places of its currency: 10.00 where 10 is stored.
        """
        value = self(scope)
        return scope.money(value) if self.unit == "currency" else value


def trait(
    *,
    unit: str | None = None,
    order_column: str | None = None,
    finer_column: str | None = None,
) -> Callable[[TraitFunction], Trait]:
    """Make a trait of a function: name, type and documentation come from the function itself.

    `unit` is one of: count, currency, days, hours, points, ratio, score, or null for a moment, a
    text or an enum.
    """

    def make(function: TraitFunction) -> Trait:
        returned = typing.get_type_hints(function)["return"]
        return Trait(
            name=function.__name__,
            type=typing.get_args(returned)[0],
            doc=inspect.cleandoc(typing.cast("str", function.__doc__)),
            unit=unit,
            order_column=order_column,
            finer_column=finer_column,
            function=function,
        )

    return make


@dataclass(frozen=True, slots=True)
class Group:
    """Traits that are shown together, as one object of the customer.

    `type_name` is that of the object's type, where the group's own name will not do. `streams`:
    whose records it is made of. `computed_at`: the moment of what was computed from them, null
    before; None where the traits rest on facts, which are folded in the transaction that stores the
    records, so that they have always seen them all.
    """

    name: str
    doc: str
    traits: tuple[Trait, ...]
    type_name: str | None = None
    _: KW_ONLY
    streams: tuple[str, ...]
    computed_at: Callable[[Scope], ColumnElement[Any]] | None = None
