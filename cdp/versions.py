"""Versions of records: which of two is newer, what a batch changes, and how that is written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
from sqlalchemy import Table

from cdp.delivery import Deleted, Received, Refused, Unacceptable, digest, encode
from cdp.records import Record
from cdp.tables import STREAM_TABLES
from cdp.values import SourceId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TOMBSTONE_DIGEST: Final = b"deleted"
"""In the place of a digest where a record is known only by its delete."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one record as it was delivered; `record` is None for a delete."""

    key: str
    record: Record | None
    payload: bytes
    digest: bytes
    at: datetime | None
    vendor_version: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """The current version as the database holds it, with the columns asked for beside."""

    digest: bytes
    at: datetime | None
    vendor_version: int | None
    deleted_at: datetime | None
    row: asyncpg.Record

    @property
    def order_digest(self) -> bytes:
        """What orders it among versions of its moment: a delete beats all others."""
        is_delete = self.deleted_at is not None and self.deleted_at == self.at
        return TOMBSTONE_DIGEST if is_delete else self.digest


@dataclass(slots=True)
class Changes:
    """What a batch changes in one stream.

    `fresh`: keys never seen. `changed`: a newer version of a known record. `deleted`: tombstones
    for known records. `late`: versions that are not the newest of their record.
    """

    fresh: list[Version] = field(default_factory=list)
    changed: list[tuple[Version, Stored]] = field(default_factory=list)
    deleted: list[tuple[Version, Stored]] = field(default_factory=list)
    late: list[Version] = field(default_factory=list)
    unchanged: int = 0

    @property
    def current(self) -> list[Version]:
        """The versions that are now the current ones of their records, deletes left out."""
        return [*self.fresh, *(version for version, _ in self.changed)]


def read_version(delivery: Received | Deleted) -> Version | Refused:
    """A delivery as a version; refused where its text cannot be stored."""
    if isinstance(delivery, Deleted):
        return Version(
            delivery.key,
            None,
            delivery.payload,
            TOMBSTONE_DIGEST,
            delivery.deleted_at,
            delivery.vendor_version,
        )
    record = delivery.record
    try:
        content = digest(encode(record))
    except Unacceptable as refusal:
        return Refused(
            record.stream, None, refusal.reason, refusal.path, delivery.payload, delivery.place
        )
    return Version(
        record.key, record, delivery.payload, content, _moment(record), delivery.vendor_version
    )


def is_newer(new: Version, at: datetime | None, version: int | None, content: bytes) -> bool:
    """Whether `new` supersedes a version of the given moment, vendor's version and digest.

    By moment, then by the vendor's version, then by digest; a version that tells neither moment
    nor version is ordered by arrival: it is newer. A delete beats a version of the same moment.
    """
    if new.at is None and new.vendor_version is None:
        return True
    if new.at != at:
        return new.at is not None and (at is None or new.at > at)
    if new.vendor_version != version:
        return new.vendor_version is not None and (version is None or new.vendor_version > version)
    if TOMBSTONE_DIGEST in (new.digest, content):
        return new.digest == TOMBSTONE_DIGEST != content
    return new.digest > content


async def compare(
    driver: Driver,
    source_id: SourceId,
    stream: str,
    versions: Iterable[Version],
    columns: Sequence[str] = (),
) -> Changes:
    """Sort versions of one stream by what they change; `columns` come with what is stored."""
    changes = Changes()
    newest: dict[str, Version] = {}
    for version in versions:
        known = newest.get(version.key)
        if known is None:
            newest[version.key] = version
        elif known.digest == version.digest:
            changes.unchanged += 1
        elif is_newer(version, known.at, known.vendor_version, known.digest):
            newest[version.key] = version
            changes.late.append(known)
        else:
            changes.late.append(version)
    stored = await _stored(driver, source_id, stream, list(newest), columns)
    late = changes.late
    changes.late = []
    for version in newest.values():
        _sort(changes, version, stored.get(version.key))
    # A version that lost within the batch may still be one that the database holds already.
    for version in late:
        known_stored = stored.get(version.key)
        if known_stored is not None and known_stored.digest == version.digest:
            changes.unchanged += 1
        else:
            changes.late.append(version)
    changes.late = await _unknown_versions(driver, source_id, stream, changes)
    return changes


def _sort(changes: Changes, version: Version, stored: Stored | None) -> None:
    if stored is None:
        changes.fresh.append(version)
    elif stored.digest == version.digest or (version.record is None and stored.at == version.at):
        changes.unchanged += 1
    elif not is_newer(version, stored.at, stored.vendor_version, stored.order_digest):
        changes.late.append(version)
    elif version.record is None:
        changes.deleted.append((version, stored))
    else:
        changes.changed.append((version, stored))


async def _stored(
    driver: Driver, source_id: SourceId, stream: str, keys: list[str], columns: Sequence[str]
) -> Mapping[str, Stored]:
    if not keys:
        return {}
    table = STREAM_TABLES[stream]
    extra = "".join(f", t.{name}" for name in columns)
    only = " AND t.stream = 'customers'" if stream == "customers" else ""
    rows = await driver.fetch(
        f"SELECT t.key, t.digest, t.updated_at, t.vendor_version, t.deleted_at{extra}"  # noqa: S608  # names are our own constants
        f" FROM unnest($2::text[]) AS k(key) JOIN {table.name} t"
        f" ON t.source_id = $1 AND t.key = k.key{only}",
        source_id,
        keys,
    )
    return {
        row["key"]: Stored(
            row["digest"],
            _later(row["updated_at"], row["deleted_at"]),
            row["vendor_version"],
            row["deleted_at"],
            row,
        )
        for row in rows
    }


async def _unknown_versions(
    driver: Driver, source_id: SourceId, stream: str, changes: Changes
) -> list[Version]:
    """The late versions that are not kept yet; a replayed one is unchanged."""
    if not changes.late:
        return []
    rows = await driver.fetch(
        "SELECT v.key, v.digest FROM unnest($3::text[], $4::bytea[]) AS k(key, digest)"
        " JOIN record_version v USING (key, digest) WHERE v.source_id = $1 AND v.stream = $2",
        source_id,
        stream,
        [version.key for version in changes.late],
        [version.digest for version in changes.late],
    )
    seen = {(row["key"], row["digest"]) for row in rows}
    unknown: dict[tuple[str, bytes], Version] = {}
    for version in changes.late:
        if (version.key, version.digest) in seen or (version.key, version.digest) in unknown:
            changes.unchanged += 1
        else:
            unknown[version.key, version.digest] = version
    return list(unknown.values())


async def keep_old(
    driver: Driver, source_id: SourceId, stream: str, changes: Changes, learned_at: datetime
) -> None:
    """Move what is superseded, and put what came late, among the old versions."""
    table = STREAM_TABLES[stream]
    only = " AND t.stream = 'customers'" if stream == "customers" else ""
    if changes.changed:
        await driver.execute(
            f"WITH gone AS (DELETE FROM {table.name} t USING unnest($2::text[]) AS k(key)"  # noqa: S608  # names are our own constants
            f" WHERE t.source_id = $1 AND t.key = k.key{only} RETURNING t.*)"
            " INSERT INTO record_version (source_id, stream, key, digest, payload, updated_at,"
            " vendor_version, learned_at, deleted_at) SELECT source_id, $3, key, digest, payload,"
            " updated_at, vendor_version, learned_at, deleted_at FROM gone",
            source_id,
            [version.key for version, _ in changes.changed],
            stream,
        )
    if changes.deleted:
        await driver.execute(
            f"UPDATE {table.name} t SET deleted_at = k.deleted_at,"  # noqa: S608  # names are our own constants
            " vendor_version = coalesce(k.vendor_version, t.vendor_version)"
            " FROM unnest($2::text[], $3::timestamptz[], $4::bigint[])"
            " AS k(key, deleted_at, vendor_version)"
            f" WHERE t.source_id = $1 AND t.key = k.key{only}",
            source_id,
            [version.key for version, _ in changes.deleted],
            [version.at for version, _ in changes.deleted],
            [version.vendor_version for version, _ in changes.deleted],
        )
    if changes.late:
        await driver.copy_records_to_table(
            "record_version",
            columns=[
                "source_id", "stream", "key", "digest", "payload", "updated_at",
                "vendor_version", "learned_at", "deleted_at",
            ],
            records=[
                (
                    source_id, stream, late.key, late.digest, late.payload.decode(), late.at,
                    late.vendor_version, learned_at, None if late.record else late.at,
                )
                for late in changes.late
            ],
        )  # fmt: skip


async def copy_rows(
    driver: Driver, table: Table, columns: Sequence[str], rows: Sequence[tuple[object, ...]]
) -> None:
    """COPY rows into a table; they are new to it."""
    if rows:
        await driver.copy_records_to_table(table.name, columns=columns, records=rows)


def _moment(record: Record) -> datetime | None:
    return _later(getattr(record, "updated_at", None), getattr(record, "deleted_at", None))


def _later(left: datetime | None, right: datetime | None) -> datetime | None:
    if left is None or right is None:
        return left or right
    return max(left, right)
