"""What a run of linkage found, written to the database: the model, the pairs, who was compared."""

from collections.abc import Iterator
from typing import Final, TypeAlias

import asyncpg
import pyarrow as pa
import pyarrow.compute as pc

from cdp.identity.linkage.linking import Linkage
from cdp.identity.linkage.model import Model, read_model, write_model
from cdp.identity.linkage.reading import Everybody

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ROWS_AT_ONCE: Final = 50_000  # of a COPY; bounds memory, not the result


async def load_model(driver: Driver, version: int) -> Model:
    """A stored model. Raises CdpError UNTRAINED where it is of another release."""
    document = await driver.fetchval(
        "SELECT document::text FROM linkage_model WHERE version = $1", version
    )
    return read_model(document.encode())


async def store_model(driver: Driver, model: Model) -> int:
    """Store a new model; returns its version."""
    version = await driver.fetchval(
        "INSERT INTO linkage_model (document) VALUES ($1::jsonb) RETURNING version",
        write_model(model).decode(),
    )
    assert isinstance(version, int)
    return version


async def store_everything(
    driver: Driver, linkage: Linkage, everybody: Everybody, version: int
) -> None:
    """The pairs of a new model, in place of those of the one before, and whom it has compared."""
    await driver.execute("DELETE FROM match_pair")
    await driver.execute("DELETE FROM compared_profile")
    await _copy_pairs(driver, linkage.pairs, everybody, version)
    await _copy_compared(driver, everybody.said)


async def store_new(driver: Driver, linkage: Linkage, everybody: Everybody, version: int) -> None:
    """The pairs of new and changed profiles, in place of those that they had."""
    new = sorted(everybody.new)
    await driver.execute(
        "DELETE FROM match_pair WHERE left_id = ANY($1::bigint[]) OR right_id = ANY($1::bigint[])",
        new,
    )
    await driver.execute(
        "DELETE FROM compared_profile WHERE source_profile_id = ANY($1::bigint[])", new
    )
    await _copy_pairs(driver, linkage.pairs, everybody, version)
    is_new = pc.is_in(everybody.said["profile_id"], value_set=pa.array(new, pa.int64()))
    await _copy_compared(driver, everybody.said.filter(is_new))


async def _copy_pairs(driver: Driver, pairs: pa.Table, everybody: Everybody, version: int) -> None:
    ids = everybody.said["profile_id"].combine_chunks()
    left, right = (
        everybody.said.take(pc.index_in(pairs[side], value_set=ids))["digest"]
        for side in ("left_id", "right_id")
    )
    rows = pairs.append_column("left_digest", left).append_column("right_digest", right)
    for batch in rows.to_batches(max_chunksize=ROWS_AT_ONCE):
        await driver.copy_records_to_table(
            "match_pair",
            columns=[*batch.schema.names, "model_version"],
            records=_records(batch, version),
        )


def _records(batch: pa.RecordBatch, version: int) -> Iterator[tuple[object, ...]]:
    columns: list[list[object]] = [column.to_pylist() for column in batch.columns[:-2]]
    digests = [_bytes(column.to_pylist()) for column in batch.columns[-2:]]
    return zip(*columns, *digests, [version] * batch.num_rows, strict=True)


async def _copy_compared(driver: Driver, said: pa.Table) -> None:
    for batch in said.to_batches(max_chunksize=ROWS_AT_ONCE):
        await driver.copy_records_to_table(
            "compared_profile",
            columns=["source_profile_id", "digest"],
            records=zip(
                batch["profile_id"].to_pylist(), _bytes(batch["digest"].to_pylist()), strict=True
            ),
        )


def _bytes(digests: list[object]) -> list[bytes]:
    return [bytes.fromhex(str(one)) for one in digests]
