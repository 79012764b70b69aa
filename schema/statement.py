"""What a plan is: statements that are compiled, and what each request brings to them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import asyncpg
from graphql import FieldNode, GraphQLField
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import ColumnElement, DateTime, Select, bindparam

from cdp.statements import Rendered, render
from schema.deeds import INPUT, OUTCOME, Deed
from schema.edges import Value
from schema.feeds import AFTER, Feed

AS_OF: Final = "as_of"  # the bound value that holds the moment of the request


@dataclass(frozen=True, slots=True)
class Given:
    """What one request brings to a statement that is compiled already.

    `outcome`: of a mutation's field, what its use case gave back, as JSON. `after`: the number up
    to which the reader of a feed has come.
    """

    variables: VariableValues
    as_of: datetime
    outcome: str = "{}"
    after: int = 0


Getter = Callable[[Given], object]
Reader: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Statement:
    """An operation as one statement: a row of `data` (JSON in bytes) and `actual`, its cost.

    `reads_all`: it looks at all customers, or at all that they did.
    """

    sql: str
    getters: Sequence[Getter]
    price: int
    reads_all: bool = False

    def arguments(self, given: Given) -> list[object]:
        """The values of `$1`, `$2`, ... Raises BadInput for an id or a cursor that is none."""
        return [get(given) for get in self.getters]

    async def fetch(self, reader: Reader, given: Given) -> asyncpg.Record:
        """Its row.

        One that reads all is prepared anew each time, so that PostgreSQL plans it for the values:
        it would soon keep a plan for any, which expects few to answer and goes from each of them
        to the next table. What is asked often is prepared once.
        """
        arguments = self.arguments(given)
        # Not fetchrow: whoever asks PostgreSQL for the first row alone gets no parallel plan.
        if not self.reads_all:
            (row,) = await reader.fetch(self.sql, *arguments)
            return row
        async with reader.acquire() as connection:
            prepared = await connection.prepare(self.sql)
            (row,) = await prepared.fetch(*arguments)
        return row


@dataclass(frozen=True, slots=True)
class Step:
    """One field of a mutation: what it does, and the statement that reads its payload after."""

    deed: Deed
    payload: Statement
    field: GraphQLField
    node: FieldNode

    def input(self, variables: VariableValues) -> Mapping[str, Value]:
        """The input, coerced."""
        given: Mapping[str, Value] = get_argument_values(self.field, self.node, variables)[INPUT]
        return given


Steps = Mapping[str, Step | None]
"""A mutation's fields by their key of the answer, in order; None stands for `__typename`."""


@dataclass(frozen=True, slots=True)
class Telling:
    """The field of a subscription, and the statement that reads the next changes of its feed.

    The statement has a row for each: its `number`, and `data`, JSON in bytes. Its price is that of
    one change, of which it reads so many that they cost no more together than a query may.
    """

    feed: Feed
    batch: Statement
    field: GraphQLField
    node: FieldNode

    def arguments(self, variables: VariableValues) -> Mapping[str, Value]:
        """The arguments, coerced."""
        given: Mapping[str, Value] = get_argument_values(self.field, self.node, variables)
        return given


def request_moment() -> ColumnElement[Any]:
    """The moment of the request, which every statement is asked as of."""
    return bindparam(AS_OF, None, type_=DateTime(timezone=True))


def compiled(
    root: Select[Any], getters: Mapping[str, Getter], price: int, *, reads_all: bool = False
) -> Statement:
    """The statement of a plan; `getters` by the names of what its arguments bind."""
    found = render(root)
    in_order = [_getter(found, getters, name) for name in found.names]
    return Statement(found.text, in_order, price, reads_all)


def _getter(found: Rendered, getters: Mapping[str, Getter], name: str) -> Getter:
    """What gives the value of a bound parameter: the request, or else the plan itself."""
    if name == AS_OF:
        return lambda given: given.as_of
    if name == OUTCOME:
        return lambda given: given.outcome
    if name == AFTER:
        return lambda given: given.after
    if name in getters:
        return getters[name]
    fixed = found.value(name)
    return lambda _: fixed
