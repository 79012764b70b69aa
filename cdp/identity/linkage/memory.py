"""An empty DuckDB in memory that prints nothing and leaves nothing behind."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


@contextmanager
def open_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """What does not fit into memory goes to a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="cdp-linkage-") as folder:
        connection = duckdb.connect(":memory:", config={"temp_directory": folder})
        try:
            connection.execute("SET enable_progress_bar = false")
            yield connection
        finally:
            connection.close()
