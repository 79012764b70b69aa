"""Candidates made and compared on Spark: its tasks share out the pairs, and compare them alike."""

import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from cdp.errors import CdpError
from cdp.identity.linkage.blocking import make_blocks
from cdp.identity.linkage.comparisons import COMPARISONS
from cdp.identity.linkage.memory import open_memory
from cdp.identity.linkage.vectors import Vectors, code_of, vectors_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # an extra: it may be missing

_COLUMNS: Final = sorted({column for one in COMPARISONS for column in one.columns})
SIDES: Final = ", ".join(
    f"{side}.{column} AS {column}_{side}" for column in _COLUMNS for side in "lr"
)
"""What is compared of the tables `l` and `r`, as the comparisons name it."""

_KEYS: Final = "SELECT (k - (1::hugeint << 63))::bigint AS k, profile_id, number::int AS number"
"""Spark knows no numbers without a sign."""

_PAIRS: Final = f"""
WITH pair AS (
    SELECT a.profile_id AS left_id, b.profile_id AS right_id,
        bit_or(shiftleft(1L, a.number)) AS blocks
    FROM block a JOIN block b ON a.k = b.k AND a.profile_id < b.profile_id
    WHERE a.is_fresh OR b.is_fresh
    GROUP BY a.profile_id, b.profile_id
)
SELECT left_id, right_id, blocks,
    {SIDES}
FROM pair JOIN person l ON l.profile_id = left_id JOIN person r ON r.profile_id = right_id
"""  # noqa: S608  # our own constants
_COMPARED: Final = (
    "SELECT left_id, right_id, blocks,"  # noqa: S608  # our own constants
    f" {code_of(lambda one: f'({one.number}) + 1')} AS code FROM pair"
)
_CODES: Final = "left_id long, right_id long, blocks long, code long"


def compare_on_spark(
    connection: duckdb.DuckDBPyConnection, among: Collection[int] | None = None
) -> Vectors:
    """On the cluster that Spark is configured for, else all cores of this machine: an Engine.

    Raises CdpError SPARK_UNAVAILABLE.
    """
    make_blocks(connection, among)
    is_fresh = "true" if among is None else "profile_id IN (SELECT profile_id FROM fresh)"
    blocks = connection.sql(f"{_KEYS}, {is_fresh} AS is_fresh FROM block").to_arrow_table()
    people = connection.sql(
        f"SELECT profile_id, {', '.join(_COLUMNS)} FROM person"  # noqa: S608  # our own constants
    ).to_arrow_table()
    found = _compared(blocks, people)
    connection.register("compared", found)
    return vectors_of(
        connection.execute("SELECT * FROM compared ORDER BY left_id, right_id").fetchnumpy()
    )


def _compared(blocks: pa.Table, people: pa.Table) -> pa.Table:
    spark = _open()
    try:
        spark.createDataFrame(blocks).createOrReplaceTempView("block")
        spark.createDataFrame(people).createOrReplaceTempView("person")
        found: pa.Table = spark.sql(_PAIRS).mapInArrow(coded, _CODES).toArrow()
        return found
    finally:
        spark.stop()


def coded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """In a task: the pairs by the same expressions, in a DuckDB of one thread."""
    with open_memory() as connection:
        connection.execute("SET threads = 1")
        for batch in batches:
            connection.register("pair", pa.Table.from_batches([batch]))
            yield from connection.sql(_COMPARED).to_arrow_table().to_batches()


def _open() -> "SparkSession":
    """A session. Where it runs is Spark's own configuration (SPARK_CONF_DIR)."""
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise CdpError(
            "SPARK_UNAVAILABLE",
            "pyspark is not installed.",
            todo="Install it with pip install 'cdp[spark]', or leave --engine spark away.",
        ) from error
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else whatever python3 is first
    try:
        spark = (
            SparkSession.builder.appName("cdp resolve")
            .config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .getOrCreate()
        )
    except PySparkRuntimeError as error:
        raise CdpError(
            "SPARK_UNAVAILABLE",
            f"Spark does not start: {error}",
            todo="Install Java 17 or newer and let JAVA_HOME or PATH find it.",
        ) from error
    spark.sparkContext.setLogLevel("ERROR")
    return spark
