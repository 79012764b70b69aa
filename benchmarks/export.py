"""Exports at a million customers, every trait of each: how long they take, and how much memory."""

from collections.abc import Iterator
from typing import Final

from benchmarks.command import run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.processor import postgres_clock
from benchmarks.shop import open_shop

CUSTOMERS: Final = 1_000_000
MEGABYTE: Final = 1e6
FORMATS: Final = ("parquet", "csv")


def export(ground: Ground, scale: float) -> Iterator[Figure]:
    """Fill a shop, write its customers to files, publish the mart."""
    customers = max(200, round(CUSTOMERS * scale))
    with ground.database() as url:
        open_shop(url, customers)
        execute(url, "VACUUM ANALYZE")
        clock, variables = postgres_clock(url), {"CDP_DATABASE_URL": url}
        for form in FORMATS:
            path = ground.folder / f"customers.{form}"
            told = ("export", "customers", "--format", form, "--output", path)
            done = run(*told, variables=variables, clock=clock)
            path.unlink()
            yield figure(f"export_{form}", done.seconds, "s")
            yield figure(f"export_{form}_client_processor", done.client_seconds, "s")
            if done.postgres_seconds is not None:
                yield figure(f"export_{form}_postgres_processor", done.postgres_seconds, "s")
            yield figure(f"export_{form}_peak_memory", done.peak_bytes / MEGABYTE, "MB")
        run("publish", variables=variables)  # the first also finds who is in which segment
        done = run("publish", variables=variables, clock=clock)
        yield figure("publish", done.seconds, "s")
        if done.postgres_seconds is not None:
            yield figure("publish_postgres_processor", done.postgres_seconds, "s")
        yield figure("publish_peak_memory", done.peak_bytes / MEGABYTE, "MB")
