"""Records that are handed to the platform: taken as if a connector had read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.ahead import look_at
from cdp.delivery import Batch, Delivery, Refused, receive
from cdp.errors import BadInput
from cdp.ingest import Applied, apply
from cdp.payloads import payload_of
from cdp.records import STREAMS, ExchangeRateRecord
from cdp.sources import PUSHED, add_source, find_source
from cdp.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that lies in the dead letters: its place among the rows, its column, and the reason."""

    index: int
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of the rows: of those that were taken by number, of the others one by one."""

    applied: Applied
    refusals: Sequence[Refusal]


def changes_money(stream: str) -> bool:
    """Whether records of the stream change what money is worth, so that `apply` is alone."""
    return STREAMS.get(stream) is ExchangeRateRecord


async def push(
    connection: AsyncConnection,
    source: str,
    stream: str,
    rows: Sequence[object],
    workspace: Workspace,
) -> Pushed:
    """Take rows of canonical columns in the caller's transaction; a bad one keeps no other out.

    A source of that name is configured if there is none. Raises BadInput for an unknown stream, for
    a name that no source can have or that a connector reads, and as `apply` does.
    """
    if stream not in STREAMS:
        todo = f"Name one of: {', '.join(STREAMS)}."
        raise BadInput(f"There is no stream {stream!r}.", todo=todo, path="stream")
    row = await find_source(connection, source) or await add_source(connection, source, PUSHED, {})
    if row.connector != PUSHED:
        raise BadInput(
            f"The source {row.name} is read by the connector {row.connector}: records that are"
            " handed over would contradict what it reads.",
            todo="Hand them over under a source of their own.",
            path="source",
        )
    deliveries = [_delivery(stream, index, each) for index, each in enumerate(rows)]
    ahead = look_at(deliveries, workspace.region)
    applied = await apply(connection, Batch(row.id, deliveries), workspace, ahead)
    places = {_place(index): index for index in range(len(rows))}
    refusals = [Refusal(places[one.place], one.path, one.reason) for one in ahead.refused]
    return Pushed(applied, refusals)


def _delivery(stream: str, index: int, row: object) -> Delivery:
    place = _place(index)
    if not isinstance(row, Mapping):
        return Refused(stream, None, "It is no object.", "", payload_of(row), place)
    return receive(stream, row, place=place)


def _place(index: int) -> str:
    return f"records[{index}]"
