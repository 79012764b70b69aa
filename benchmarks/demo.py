"""The demo, first and again, and how well it recognises the people of the sample business."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks.command import run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground

PEOPLE: Final = 4_000  # as many as the demo has unless it is told otherwise


def demo(ground: Ground, scale: float) -> Iterator[Figure]:
    """From nothing, embedded PostgreSQL included where it is used; then once more."""
    people = max(30, round(PEOPLE * scale))
    with ExitStack() as stack:
        variables: dict[str, str | Path] = {"CDP_HOME": stack.enter_context(ground.home())}
        if not ground.is_embedded:
            variables["CDP_DATABASE_URL"] = stack.enter_context(ground.database())
        for name in ("first", "again"):
            measured = run("demo", "--no-serve", "--customers", str(people), variables=variables)
            yield figure(f"demo_{name}", measured.seconds, "s")
        identity = measured.told["identity"]
        yield figure("demo_records", measured.told["records"], "records")
        yield figure("demo_precision", identity["precision"], "ratio")
        yield figure("demo_recall", identity["recall"], "ratio")
