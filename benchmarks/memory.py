"""The most memory that an import takes, and whether it grows with the file."""

from collections.abc import Iterator
from typing import Final

from benchmarks.command import run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground
from benchmarks.people import write_customers

SMALL: Final = 250_000
LARGE: Final = 1_000_000
MEGABYTE: Final = 1e6


def memory(ground: Ground, scale: float) -> Iterator[Figure]:
    """Peak of a small and of a large import, each into an empty database, and their ratio."""
    peaks = []
    for name, count in (("250k", SMALL), ("1m", LARGE)):
        records = max(30, round(count * scale))
        path = ground.folder / f"{name}.jsonl"
        write_customers(path, records)
        with ground.database() as url:
            told = ("import", path, "--source", "shop", "--stream", "customers")
            measured = run(*told, variables={"CDP_DATABASE_URL": url})
        path.unlink()
        peaks.append(measured.peak_bytes)
        yield figure(f"import_{name}_peak_memory", measured.peak_bytes / MEGABYTE, "MB")
        yield figure(f"import_{name}_rate", records / measured.seconds, "records/s")
    yield figure("import_memory_growth", peaks[1] / peaks[0], "ratio")
