"""Versions of records: which of two is newer, what a batch changes, and how that is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeAlias

import asyncpg
import msgspec
from msgspec.structs import replace
from sqlalchemy import Table

from cdp.delivery import Deleted, Received
from cdp.records import Record
from cdp.tables import STREAM_TABLES, record_version
from cdp.values import SourceId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_DELETE: Final = b"deleted "
"""How the digest of a delete begins; its moment follows."""


class Version(msgspec.Struct, frozen=True):
    """One version of one record as it was delivered; `record` is None for a delete.

    `at`: when the source wrote the content. `deleted_at`: when it deleted the record.
    """

    key: str
    record: Record | None
    payload: bytes
    digest: bytes
    at: datetime | None
    vendor_version: int | None
    deleted_at: datetime | None = None

    @property
    def is_bare_delete(self) -> bool:
        """Whether nothing but a delete is known."""
        return self.digest.startswith(_DELETE)


class Stored(msgspec.Struct, frozen=True):
    """The current version as the database holds it, with the columns asked for beside."""

    row: asyncpg.Record

    @property
    def version(self) -> Version:
        """As a version, without its record and payload."""
        row = self.row
        return Version(
            row["key"],
            None,
            b"",
            row["digest"],
            row["updated_at"],
            row["vendor_version"],
            row["deleted_at"],
        )

    def is_repeated_by(self, version: Version) -> bool:
        """Whether a delivery says again what is known of a living record, and nothing more."""
        return (
            self.row["digest"] == version.digest
            and self.row["deleted_at"] is None
            and version.deleted_at is None
            and version.record is not None
            and (version.vendor_version or 0) <= (self.row["vendor_version"] or 0)
        )


@dataclass(slots=True)
class Changes:
    """What a batch changes in one stream.

    `fresh`: keys never seen. `changed`: new content of a known record. `deleted`: deletes of known
    records whose content stays. `renewed`: the same content under a later version of the vendor.
    `late`: versions that are not the newest of their record. `deletes`: every delete, to be kept.
    """

    fresh: list[Version] = field(default_factory=list)
    changed: list[tuple[Version, Stored]] = field(default_factory=list)
    deleted: list[tuple[Version, Stored]] = field(default_factory=list)
    renewed: list[Version] = field(default_factory=list)
    late: list[Version] = field(default_factory=list)
    deletes: list[Version] = field(default_factory=list)
    unchanged: int = 0

    @property
    def current(self) -> list[Version]:
        """The versions whose content is now the current one of their records."""
        return [*self.fresh, *(version for version, _ in self.changed)]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.current or self.deleted or self.renewed or self.late or self.deletes)


def version_of(delivery: Received | Deleted) -> Version:
    """A delivery as a version."""
    if isinstance(delivery, Deleted):
        gone = delivery.deleted_at
        content = _DELETE + gone.astimezone(UTC).isoformat().encode()
        number = delivery.vendor_version
        return Version(delivery.key, None, delivery.payload, content, None, number, gone)
    record = delivery.record
    at: datetime | None = getattr(record, "updated_at", None)
    gone_at: datetime | None = getattr(record, "deleted_at", None)
    return Version(
        record.key,
        record,
        delivery.payload,
        delivery.digest,
        at,
        delivery.vendor_version,
        max(gone_at, at) if gone_at is not None and at is not None else gone_at,
    )


def is_newer(new: Version, known: Version) -> bool:
    """Whether the content of `new` supersedes that of `known`.

    By moment, then by the vendor's version, then by digest. Where they have neither in common the
    source gives no order, and the one that arrives later is newer.
    """
    is_ordered = False
    if new.at is not None and known.at is not None:
        if new.at != known.at:
            return new.at > known.at
        is_ordered = True
    if new.vendor_version is not None and known.vendor_version is not None:
        if new.vendor_version != known.vendor_version:
            return new.vendor_version > known.vendor_version
        is_ordered = True
    return not is_ordered or new.digest > known.digest


def merged(known: Version, new: Version) -> Version:
    """What is known of a record when `new` has arrived: the newest content, deleted or not.

    A delete holds against content of its moment or before, whichever came first; content without a
    moment is ordered by arrival.
    """
    content = known
    if new.record is not None and (known.is_bare_delete or is_newer(new, known)):
        content = new
    deletes = [one.deleted_at for one in (known, new) if one.deleted_at is not None]
    if not deletes:
        return content
    gone = max(deletes)
    if content.at is not None and not content.is_bare_delete:
        is_alive = content.at > gone
    else:
        is_alive = content is new and new.deleted_at is None
    return replace(content, deleted_at=None if is_alive else gone)


async def compare(
    driver: Driver,
    source_id: SourceId,
    stream: str,
    versions: Iterable[Version],
    columns: Sequence[str] = (),
) -> Changes:
    """Sort versions of one stream by what they change; `columns` come with what is stored."""
    changes = Changes()
    newest = _fold(changes, versions)
    stored = await _stored(driver, source_id, stream, list(newest), columns)
    late, changes.late = changes.late, []
    for version in newest.values():
        _sort(changes, version, stored.get(version.key))
    # A version that lost within the batch may still be one that the database holds already.
    for version in late:
        held = stored.get(version.key)
        if held is not None and held.version.digest == version.digest:
            changes.unchanged += 1
        else:
            changes.late.append(version)
    changes.late = await _unknown_versions(driver, source_id, stream, changes.late, changes)
    if changes.deletes:
        deletes = changes.deletes
        changes.deletes = await _unknown_versions(driver, source_id, stream, deletes, Changes())
    return changes


def _fold(changes: Changes, versions: Iterable[Version]) -> dict[str, Version]:
    """What the batch itself makes of each key; versions that lose within it are late."""
    newest: dict[str, Version] = {}
    for version in versions:
        if version.record is None:
            changes.deletes.append(version)
        known = newest.get(version.key)
        if known is None:
            newest[version.key] = version
            continue
        newest[version.key] = state = merged(known, version)
        if version.record is not None:
            loser = known if state.digest == version.digest else version
            if known.digest == version.digest:
                changes.unchanged += 1
            elif not loser.is_bare_delete:
                changes.late.append(loser)
    return newest


def _sort(changes: Changes, version: Version, stored: Stored | None) -> None:
    if stored is None:
        changes.fresh.append(version)
        return
    if stored.is_repeated_by(version):
        changes.unchanged += 1
        return
    before = stored.version
    after = merged(before, version)
    is_same = version.record is not None and version.digest == before.digest
    if after.digest != before.digest or (is_same and before.deleted_at and not after.deleted_at):
        changes.changed.append((replace(version, deleted_at=after.deleted_at), stored))
        return
    if after.deleted_at != before.deleted_at:
        changes.deleted.append((after, stored))
    elif version.record is None or is_same:
        changes.unchanged += 1
    if version.record is not None and not is_same:
        changes.late.append(version)
    if is_same and (version.vendor_version or 0) > (before.vendor_version or 0):
        changes.renewed.append(version)


async def _stored(
    driver: Driver, source_id: SourceId, stream: str, keys: list[str], columns: Sequence[str]
) -> Mapping[str, Stored]:
    if not keys:
        return {}
    table = STREAM_TABLES[stream]
    extra = "".join(f", t.{name}" for name in columns)
    # A line that is known only from inside its order is no record of its own.
    only = {"customers": " AND t.stream = 'customers'", "order_lines": " AND t.digest <> ''"}
    # A lookup for each key, by index, however large the table has become (LATERAL, OFFSET 0).
    rows = await driver.fetch(
        "SELECT s.* FROM unnest($2::text[]) AS k(key) CROSS JOIN LATERAL"  # noqa: S608  # names are our own constants
        f" (SELECT t.key, t.digest, t.updated_at, t.vendor_version, t.deleted_at{extra}"
        f" FROM {table.name} t WHERE t.source_id = $1 AND t.key = k.key{only.get(stream, '')}"
        " OFFSET 0) s",
        source_id,
        keys,
    )
    return {row["key"]: Stored(row) for row in rows}


async def _unknown_versions(
    driver: Driver,
    source_id: SourceId,
    stream: str,
    versions: Sequence[Version],
    counting: Changes,
) -> list[Version]:
    """The versions that are not kept yet; `counting` counts the others as unchanged."""
    if not versions:
        return []
    rows = await driver.fetch(
        "SELECT v.key, v.digest FROM unnest($3::text[], $4::bytea[]) AS k(key, digest)"
        " CROSS JOIN LATERAL (SELECT key, digest FROM record_version WHERE source_id = $1"
        " AND stream = $2 AND key = k.key AND digest = k.digest OFFSET 0) v",
        source_id,
        stream,
        [version.key for version in versions],
        [version.digest for version in versions],
    )
    seen = {(row["key"], row["digest"]) for row in rows}
    unknown: dict[tuple[str, bytes], Version] = {}
    for version in versions:
        if (version.key, version.digest) in seen or (version.key, version.digest) in unknown:
            counting.unchanged += 1
        else:
            unknown[version.key, version.digest] = version
    return list(unknown.values())


async def keep_old(driver: Driver, source_id: SourceId, stream: str, changes: Changes) -> None:
    """Move what is superseded, and put deletes and what came late, among the old versions."""
    table = STREAM_TABLES[stream].name
    mine = "t.source_id = $1 AND t.key = k.key"
    if stream == "customers":
        mine += " AND t.stream = 'customers'"
    if changes.changed:
        await driver.execute(
            f"WITH gone AS (DELETE FROM {table} t USING unnest($2::text[]) AS k(key)"  # noqa: S608  # names are our own constants
            f" WHERE {mine} RETURNING t.*)"
            " INSERT INTO record_version (source_id, stream, key, digest, payload, updated_at,"
            " vendor_version, learned_at, deleted_at) SELECT source_id, $3, key, digest, payload,"
            " updated_at, vendor_version, learned_at, deleted_at FROM gone"
            " WHERE substring(digest, 1, 8) <> $4",
            source_id,
            [version.key for version, _ in changes.changed],
            stream,
            _DELETE,
        )
    if changes.deleted:
        await driver.execute(
            f"UPDATE {table} t SET deleted_at = k.deleted_at"  # noqa: S608  # names are our own constants
            f" FROM unnest($2::text[], $3::timestamptz[]) AS k(key, deleted_at) WHERE {mine}",
            source_id,
            [version.key for version, _ in changes.deleted],
            [version.deleted_at for version, _ in changes.deleted],
        )
    if changes.renewed:
        await driver.execute(
            f"UPDATE {table} t SET vendor_version = k.version"  # noqa: S608  # names are our own constants
            f" FROM unnest($2::text[], $3::bigint[]) AS k(key, version) WHERE {mine}",
            source_id,
            [version.key for version in changes.renewed],
            [version.vendor_version for version in changes.renewed],
        )
    kept = [
        (
            source_id, stream, one.key, one.digest, one.payload.decode(), one.at,
            one.vendor_version, one.deleted_at,
        )
        for one in (*changes.late, *changes.deletes)
    ]  # fmt: skip
    await copy_rows(driver, record_version, _VERSION_COLUMNS, kept)


_VERSION_COLUMNS: Final = (
    "source_id", "stream", "key", "digest", "payload", "updated_at", "vendor_version",
    "deleted_at",
)  # fmt: skip


async def copy_rows(
    driver: Driver, table: Table, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """COPY rows into a table; they are new to it."""
    if rows:
        await driver.copy_records_to_table(table.name, columns=columns, records=rows)
