"""Ingest: a batch of deliveries becomes records, identities and facts, in the caller's transaction.

In this order: checkpoint (fences off another runner), versions compared by digest, source profiles
and the map, every other record with its owner, facts of whoever was touched, dead letters.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.activity import ACTIVITY_STREAMS
from cdp.ahead import Ahead, look_at
from cdp.contact_points import contact_point_of
from cdp.customers import (
    add_alone,
    lock_owners,
    refresh_activity,
    refresh_attributes,
    refresh_days,
    refresh_sums,
)
from cdp.database import by_index
from cdp.database import driver as driver_of
from cdp.delivery import Batch, Checkpoint, Refused
from cdp.errors import Fenced, NotFound, SettingsChanged
from cdp.identity.evidence import CONTACT
from cdp.identity.people import contact_identifiers
from cdp.identity.rules import read_rules
from cdp.loyalty.carried import post_entries
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.orders import days_of_new_members
from cdp.profiles import STORED_COLUMNS, write_people
from cdp.records import STREAMS, ConsentRecord, ExchangeRateRecord, OrderRecord
from cdp.rows import EMBEDDED_LINE_COLUMNS, Row, columns_of, line_rows, order_status, row_of
from cdp.tables import PERSON_TABLES, STREAM_TABLES, order_line
from cdp.told_profiles import CUSTOMERS, Origin, People, contact_key, find_profiles
from cdp.touched import BELONGING_STREAMS, COMPARED_COLUMNS, Touched, adopt_waiting
from cdp.validation import digest
from cdp.values import CustomerId, ProfileId, SourceId
from cdp.versions import Changes, Driver, Version, compare, copy_rows, keep_old
from cdp.workspace import Workspace, take_turn

PERSON_STREAMS: Final = tuple(
    stream for stream, table in STREAM_TABLES.items() if table in PERSON_TABLES
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did, in records; `merged`: times that source profiles changed their customer.

    `notes`: what a person should know, with how often it happened.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    stale: int = 0
    deleted: int = 0
    refused: int = 0
    merged: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)


async def apply(
    connection: AsyncConnection,
    batch: Batch,
    workspace: Workspace,
    ahead: Ahead | None = None,
) -> Applied:
    """Apply a batch in the caller's transaction: all of it is stored, or none.

    `ahead` is what was worked out of the batch's deliveries while the database was busy.

    Raises Fenced where another runner has taken the stream over since the checkpoint's epoch,
    SettingsChanged where `workspace` is not what is in force, and NotFound for a source that does
    not exist.
    """
    ahead = ahead or look_at(batch.deliveries, workspace.region)
    versions = ahead.versions
    rates = versions.get(ExchangeRateRecord.stream, ())
    await take_turn(connection, alone=any(one.record is not None for one in rates))
    driver = await driver_of(connection)
    if batch.checkpoint is not None:
        await _advance(driver, batch.source_id, batch.checkpoint)
    origin, has_letters = await _origin(driver, batch.source_id, workspace)
    changes = {
        stream: await compare(driver, origin.source_id, stream, versions[stream], columns)
        for stream, columns in _compared(versions)
    }
    if has_letters:
        await _resolve(driver, origin, changes)
    await _bury(driver, batch, ahead.refused, origin.learned_at)
    people, notes = People(), Counter[str]()
    if not all(one.is_empty for one in changes.values()):
        writer = _Writer(connection, driver, origin, workspace, ahead)
        people, notes = await writer.write(changes)
    return Applied(
        new=sum(len(one.fresh) for one in changes.values()),
        changed=sum(len(one.changed) for one in changes.values()),
        unchanged=sum(one.unchanged for one in changes.values()),
        stale=sum(len(one.late) for one in changes.values()),
        deleted=sum(len(one.deleted) for one in changes.values()),
        refused=len(ahead.refused),
        merged=people.moves,
        notes=notes,
    )


def _compared(versions: Mapping[str, object]) -> list[tuple[str, Sequence[str]]]:
    """The streams of a batch in the order of writing, with the stored columns that are needed."""
    columns = {CUSTOMERS: STORED_COLUMNS, **COMPARED_COLUMNS}
    return [(stream, columns.get(stream, ())) for stream in STREAMS if stream in versions]


async def _advance(driver: Driver, source_id: SourceId, checkpoint: Checkpoint) -> None:
    status = await driver.execute(
        "UPDATE checkpoint SET cursor = $4, updated_at = now()"
        " WHERE source_id = $1 AND stream = $2 AND epoch = $3",
        source_id,
        checkpoint.stream,
        checkpoint.epoch,
        msgspec.json.encode(checkpoint.cursor).decode(),
    )
    if status != "UPDATE 1":
        raise Fenced(
            f"Another run has taken over the stream {checkpoint.stream!r} of this source.",
            todo="Let that run finish; nothing of this page was stored by this one.",
        )


async def _origin(driver: Driver, source_id: SourceId, workspace: Workspace) -> tuple[Origin, bool]:
    """Whose batch it is, and whether records of that source lie in the dead letters."""
    # Writers of one source take turns: an order and its customer cannot miss each other.
    row = await driver.fetchrow(
        "SELECT name, now() AS now, EXISTS (SELECT FROM dead_letter WHERE source_id = $1"
        " AND key IS NOT NULL AND resolved_at IS NULL) AS has_letters,"
        " (SELECT value::int FROM workspace WHERE key = 'revision') AS revision"
        " FROM source WHERE id = $1 FOR NO KEY UPDATE",
        source_id,
    )
    if row is None:
        raise NotFound(f"There is no source {source_id}.", todo="Add it with cdp source add.")
    if (row["revision"] or 0) != workspace.revision:
        raise SettingsChanged
    rules = await read_rules(driver)
    origin = Origin(source_id, row["name"], workspace.region, row["now"], rules)
    return origin, row["has_letters"]


async def _resolve(driver: Driver, origin: Origin, changes: Mapping[str, Changes]) -> None:
    """A record that came in a form that can be taken is no dead letter any more.

    Only where its content is new: the version before a letter's may well be read again.
    """
    for stream, one in changes.items():
        if one.current:
            await driver.execute(
                "UPDATE dead_letter SET resolved_at = $4 WHERE source_id = $1 AND stream = $2"
                " AND key = ANY($3::text[]) AND resolved_at IS NULL",
                origin.source_id,
                stream,
                [version.key for version in one.current],
                origin.learned_at,
            )


async def _bury(
    driver: Driver, batch: Batch, refused: Sequence[Refused], learned_at: datetime
) -> None:
    """Into the dead letters, each once, with its reason; what a person dismissed stays so."""
    letters = {(one.stream, digest(one.payload), one.place): one for one in refused}
    if not letters:
        return
    await driver.execute(
        "INSERT INTO dead_letter (source_id, stream, digest, place, key, reason, path, payload,"
        " first_seen_at, last_seen_at)"
        " SELECT $1, stream, digest, place, key, reason, path, payload::json, $9, $9"
        " FROM unnest($2::text[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[],"
        " $8::text[]) AS k(stream, digest, place, key, reason, path, payload)"
        " ON CONFLICT (source_id, stream, digest, place) DO UPDATE SET reason = excluded.reason,"
        " path = excluded.path, attempts = dead_letter.attempts + 1,"
        " last_seen_at = excluded.last_seen_at, resolved_at = CASE"
        " WHEN dead_letter.dismissed_by IS NOT NULL THEN dead_letter.resolved_at END",
        batch.source_id,
        *map(list, zip(*letters, strict=True)),
        [one.key for one in letters.values()],
        [one.reason for one in letters.values()],
        [one.path for one in letters.values()],
        [one.payload.decode() for one in letters.values()],
        learned_at,
    )


class _Writer:
    """The writing half of one batch."""

    def __init__(
        self,
        connection: AsyncConnection,
        driver: Driver,
        origin: Origin,
        workspace: Workspace,
        ahead: Ahead,
    ) -> None:
        self._connection = connection
        self._driver = driver
        self._origin = origin
        self._workspace = workspace
        self._ahead = ahead
        self._touched = Touched(connection, origin.source_id, workspace)
        self._notes = Counter[str]()

    async def write(self, changes: Mapping[str, Changes]) -> tuple[People, Counter[str]]:
        """Write what changed; returns the people of the batch and what should be told."""
        parties = (
            version
            for stream in PERSON_STREAMS
            if stream in changes
            for version in (*changes[stream].current, *changes[stream].late)
        )
        customers = changes.get(CUSTOMERS, Changes())
        people = await write_people(self._driver, self._origin, customers, parties, self._ahead)
        for kind, count in people.unread.items():
            self._notes[f"{kind} that cannot be read, or that says nothing is known"] += count
        for stream, one in changes.items():
            if stream != CUSTOMERS:
                await self._write_stream(stream, one, people)
        for stream, one in changes.items():
            await self._touched.add_dependents(stream, one)
        arrived = {
            version.key: people.owners[CUSTOMERS, version.key] for version in customers.fresh
        }
        if arrived:
            await adopt_waiting(self._driver, self._origin.source_id, arrived, self._touched)
        await self._fold(people)
        return people, self._notes

    async def _write_stream(self, stream: str, changes: Changes, people: People) -> None:
        origin = self._origin
        await keep_old(self._driver, origin.source_id, stream, changes)
        current = changes.current
        if stream == "order_lines":
            await self._drop_lines("key", [version.key for version in current])
        ahead = self._ahead.rows
        rows = [ahead.get(id(one)) or row_of(origin.source_id, stream, one) for one in current]
        columns = columns_of(stream)
        if stream in PERSON_STREAMS:
            owners = await self._owners(current, people)
            columns = (*columns, "source_profile_id")
            rows = [(*row, owner) for row, owner in zip(rows, owners, strict=True)]
            self._touched.add_named(stream, changes, owners, origin.learned_at)
            if stream == "orders":
                self._touched.add_orders(changes, owners)
            if stream in ACTIVITY_STREAMS:
                self._touched.add_activity(changes, owners)
            if stream in BELONGING_STREAMS:
                self._touched.add_people(changes, owners)
        if stream == "consents":
            columns = (*columns, "contact_point_kind", "contact_point")
            points = [self._contact_point(one) for one in current]
            self._touched.add_points(changes, points)
            rows = [(*row, *point) for row, point in zip(rows, points, strict=True)]
        await copy_rows(self._driver, STREAM_TABLES[stream], columns, rows)
        if stream == "orders":
            await self._write_lines(changes)

    async def _owners(
        self, versions: Sequence[Version], people: People
    ) -> Sequence[ProfileId | None]:
        """Whose each record is: its customer's in the source, else its contact's, else nobody's."""
        named = {key for one in versions if (key := getattr(one.record, "customer_id", None))}
        unknown = [key for key in named if (CUSTOMERS, key) not in people.owners]
        found = await find_profiles(self._driver, self._origin.source_id, CUSTOMERS, unknown)
        people.owners.update({(CUSTOMERS, key): owner for key, owner in found.items()})
        return [self._owner(one, people) for one in versions]

    def _owner(self, version: Version, people: People) -> ProfileId | None:
        record = version.record
        if record is None:
            return None
        customer_id = getattr(record, "customer_id", None)
        if customer_id is not None:
            return people.owners.get((CUSTOMERS, customer_id))
        said = contact_identifiers(record, self._origin.region)
        return people.owners[CONTACT, contact_key(said[0])] if said else None

    def _contact_point(self, version: Version) -> tuple[str | None, str | None]:
        """Kind and value of the contact point that a statement of consent names."""
        if not isinstance(version.record, ConsentRecord):
            return None, None
        point = contact_point_of(version.record, self._origin.region)
        return (None, None) if point is None else (point.kind, point.value)

    async def _write_lines(self, changes: Changes) -> None:
        """The lines that stand inside orders take the place of those of the versions before."""
        lines: dict[str, Row] = {}
        telling = []
        for version in changes.current:
            if isinstance(version.record, OrderRecord):
                status, is_known = order_status(version.record.status)
                if not is_known:
                    self._notes[f"order status {version.record.status!r} read as {status}"] += 1
                if version.record.lines is not None:
                    telling.append(version.key)
                    rows = self._ahead.lines.get(id(version))
                    if rows is None:
                        rows = line_rows(self._origin.source_id, version.record)
                    lines.update((row[1], row) for row in rows)
        # An order that is seen for the first time has no version before.
        known = {version.key for version, _ in changes.changed}
        await self._drop_lines("order_key", [key for key in telling if key in known])
        for key in await self._own_lines(telling):
            lines.pop(key, None)
        await copy_rows(self._driver, order_line, EMBEDDED_LINE_COLUMNS, list(lines.values()))

    async def _own_lines(self, orders: Sequence[str]) -> Sequence[str]:
        """Lines with a record of their own: it stays, whichever of the two comes first."""
        if not orders:
            return ()
        rows = await self._driver.fetch(
            "SELECT t.key FROM unnest($2::text[]) AS k(key) CROSS JOIN LATERAL (SELECT key"
            " FROM order_line WHERE source_id = $1 AND order_key = k.key AND digest <> ''"
            " OFFSET 0) t",
            self._origin.source_id,
            list(orders),
        )
        return [row["key"] for row in rows]

    async def _drop_lines(self, column: str, keys: Sequence[str]) -> None:
        """Lines known only through a former version of their order."""
        if keys:
            await self._driver.execute(
                "DELETE FROM order_line WHERE ctid = ANY (ARRAY(SELECT t.ctid"  # noqa: S608  # names are our own constants
                " FROM unnest($2::text[]) AS k(key) CROSS JOIN LATERAL"
                " (SELECT ctid FROM order_line"
                f" WHERE source_id = $1 AND {column} = k.key AND digest = '' OFFSET 0) t))",
                self._origin.source_id,
                list(keys),
            )

    async def _fold(self, people: People) -> None:
        """Facts of whoever was touched, with their customers locked before anything is read."""
        days = self._touched.days
        days |= await days_of_new_members(self._connection, people.touched - people.fresh)
        # Profiles that came with this batch have no days yet but those counted here, and a
        # customer of theirs alone is not there yet for others to change.
        stored = people.touched - people.fresh | people.moved
        buying, active = {profile_id for profile_id, _ in days}, self._touched.active
        belonging = self._touched.profiles
        told = buying | belonging
        described = (people.customers | people.left_customers) - people.alone
        owners = await lock_owners(self._connection, told | active | stored, described)

        def whose(profiles: set[ProfileId]) -> set[CustomerId]:
            return {owners[one] for one in profiles & owners.keys()}

        # Nobody has resolved them, so they may have changed their customer until it was locked.
        described |= whose(people.deleted)
        counted = whose(told | people.moved) | people.left_customers
        engaged = whose(active | people.moved) | people.left_customers
        await refresh_days(self._connection, days, self._workspace)
        await post_entries(self._connection, belonging)
        async with by_index(self._driver):
            await add_alone(self._connection, people.alone)
            await refresh_attributes(self._connection, described, self._origin.rules.survivorship)
            await refresh_sums(self._connection, counted, self._workspace)
            await refresh_activity(self._connection, engaged, self._workspace)
            await refresh_loyalty(self._connection, described | people.alone | counted)
        seen = people.customers | people.left_customers | described
        await self._touched.note(seen | counted | engaged)
