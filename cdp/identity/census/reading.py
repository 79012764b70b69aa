"""Everybody's evidence and the map, as the database holds them at one moment."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg
import duckdb
import pyarrow as pa

from cdp.identity.census.columns import CARRIED, PAIRS, PEOPLE, Census
from cdp.identity.rules import Rules
from cdp.identity.ties import read_every_decision

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PEOPLE: Final = """
SELECT p.id AS profile_id, s.name AS source, p.stream, p.key, p.given_key AS given,
    p.family_key AS family, p.birth_date, p.customer_id
FROM source_profile p JOIN source s ON s.id = p.source_id ORDER BY p.id
"""
_CARRIED: Final = """
SELECT source_profile_id AS profile_id, kind, value, is_current FROM identifier
"""
_PAIRS: Final = """
SELECT m.left_id, m.right_id, m.weight, m.probability FROM match_pair m
JOIN source_profile l ON l.id = m.left_id AND l.compared_digest = m.left_digest
JOIN source_profile r ON r.id = m.right_id AND r.compared_digest = m.right_digest
WHERE m.model_version = $1
"""
"""A pair holds only for the records that it compared."""

MAP: Final = pa.schema([*PEOPLE, pa.field("customer_id", pa.int64())])


async def read_census(driver: Driver, rules: Rules) -> tuple[Census, pa.Table]:
    """All evidence, and the map as it is: everybody as in the census, and their `customer_id`.

    The connection should have one view of the data from start to end (`Database.read_only`).
    """
    with tempfile.TemporaryDirectory(prefix="cdp-census-") as folder:
        people = await _read(driver, Path(folder), MAP, _PEOPLE)
        carried = await _read(driver, Path(folder), CARRIED, _CARRIED)
        pairs = await _read(driver, Path(folder), PAIRS, _PAIRS, rules.model_version)
    decisions = await read_every_decision(driver)
    return Census(people.select(PEOPLE.names), carried, pairs, decisions), people


async def _read(
    driver: Driver, folder: Path, schema: pa.Schema, query: str, *values: object
) -> pa.Table:
    """The rows of a query, by way of a file: a row at a time would take as long as clustering."""
    path = folder / "rows.csv"
    await driver.copy_from_query(query, *values, output=path, format="csv", header=True)
    columns = {field.name: _DUCKDB_TYPES[field.type] for field in schema}
    words = [name for name, kind in columns.items() if kind == "VARCHAR"]
    known = ", ".join(f"coalesce({name}, '') AS {name}" for name in words)
    replaced = f"* REPLACE ({known})" if words else "*"
    with duckdb.connect(":memory:") as connection:
        found: pa.Table = connection.sql(
            f"SELECT {replaced} FROM read_csv($path, header = true, nullstr = '', quote = '\"',"  # noqa: S608  # our own columns
            " escape = '\"', auto_detect = false, columns = $columns)",
            params={"path": str(path), "columns": columns},
        ).to_arrow_table()
    return found.cast(schema)


_DUCKDB_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
    pa.date32(): "DATE",
}
