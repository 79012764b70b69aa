"""What a root field of Mutation is: its use case, and the row that its payload is read from.

A use case gets the input and a transaction, and gives back a row of ids and plain values. That row
is one more table to the planner: the payload's fields are edges over it, so that a payload can hold
whatever a query can, and is compiled to one statement with the same masking, limits and cost.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Text, bindparam, cast, func
from sqlalchemy import column as sql_column
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from cdp.keys import Viewer
from cdp.workspace import Workspace
from schema.declare import Declared
from schema.edges import Row, Scene, Value, argument, planned

INPUT: Final = "input"  # the one argument of every mutation
OUTCOME: Final = "outcome"  # the bound value that holds the row, as JSON
ERRORS: Final = "errors"  # the column of refusals, which every payload has


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks for a change, in which workspace, and at what moment."""

    viewer: Viewer
    workspace: Workspace
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a use case did: columns of the payload's row by name; one that is absent reads as null.

    `is_kept` is false for a preview: the payload is read, and then all of it is rolled back.
    """

    row: Mapping[str, object]
    is_kept: bool = True


UseCase = Callable[[AsyncConnection, Mapping[str, Value], Caller], Awaitable[Outcome]]


def _never(_: Mapping[str, Value]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Deed:
    """The edge. `columns`: of the payload's row. `may`: who may do it.

    `is_alone`: whether what is given changes what money is worth, so that others wait from the
    start: whoever began beside others and then wanted to be alone could wait for them for ever.

    A CdpError that `run` raises becomes the payload's `errors`, and nothing is written. The `path`
    of a BadInput is the name of a member of the input.
    """

    run: UseCase
    columns: Mapping[str, TypeEngine[Any]]
    may: Callable[[Viewer], bool] = attrgetter("may_decide")
    is_alone: Callable[[Mapping[str, Value]], bool] = _never

    def row(self, scene: Scene) -> Row:
        """The row that the payload's fields are read from."""
        outcome = cast(bindparam(OUTCOME, None, type_=Text()), JSONB)
        columns = {**self.columns, ERRORS: JSONB()}
        record = func.jsonb_to_record(outcome).table_valued(
            *(sql_column(name, type_) for name, type_ in columns.items())
        )
        return Row(record.render_derived(name="payload", with_types=True), "payload", scene)


def deed(edge: Deed, input_: Declared, description: str) -> Declared:
    """A field of Mutation, whose type is the payload's. Its input never shapes the statement."""
    given = argument(INPUT, input_, "What to do.")
    return planned(edge, description, [given], {INPUT: lambda _: None})
