"""What a root field of Subscription is: a feed, whose changes are told one by one, in their order.

To the planner the changes after a number are rows as any others are: each is told with whatever
a query could read of it, by one statement for a batch of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, bindparam

from schema.edges import Arguments, Branch, Scene, Value

AFTER: Final = "after_number"  # the bound value that holds how far a reader has come

MAX_BATCH: Final = 50
"""Changes that one statement reads, of which none is held longer than its reader takes them."""


@dataclass(frozen=True, slots=True)
class Feed:
    """The edge. `branch`: what comes after a number, in order; `number`: that of each.

    `source`: of which feed an operation asks, and `start`: after which number, None for what is
    still to come; both by the arguments of the field. Raise BadInput.
    """

    branch: Callable[[Scene, Arguments, ColumnElement[int]], Branch]
    number: Callable[[Branch], ColumnElement[int]]
    source: Callable[[Mapping[str, Value]], int]
    start: Callable[[Mapping[str, Value]], int | None]


def after_number() -> ColumnElement[int]:
    """How far the reader of a feed has come."""
    return bindparam(AFTER, None, type_=BigInteger())


def batch_size(price: int, most_cost: int) -> int:
    """How many changes of that price a statement reads: it takes what one operation may spend."""
    return max(1, min(MAX_BATCH, most_cost // max(1, price)))
