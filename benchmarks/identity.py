"""How well people are recognised, in the product's own path: import, resolve, export; and rivals.

`cdp import` with a map, `cdp resolve`, `cdp export identity`, each a process of its own, without
any truth; then the export is judged.
"""

import asyncio
import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import asyncpg
import click
import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.command import Run, run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground
from benchmarks.judging import Judgement, Labels, ceiling, judge
from benchmarks.public_sets import PUBLIC_SETS, SETS
from benchmarks.rivals import RIVALS
from benchmarks.shoppers import tell
from cdp.identity.linkage.linking import candidate_pairs
from cdp.identity.linkage.reading import read_everybody
from cdp.identity.rules import read_rules

RECORDS: Final = 200_000
FEWEST_RECORDS: Final = 2_000  # with fewer there is nothing to learn from
MEGABYTE: Final = 1e6


def public_sets(ground: Ground, scale: float) -> Iterator[Figure]:
    """The public sets, where they are and at full scale: they are what they are."""
    if scale != 1 or not PUBLIC_SETS.is_dir():
        why = "they have one size" if PUBLIC_SETS.is_dir() else f"{PUBLIC_SETS} is not here"
        click.echo(f"The public sets are skipped: {why}.", err=True)
        return
    for one in SETS:
        path, map_path, truth = one.write(ground.folder)
        with ground.database() as url:
            _import(url, path, one.name, "--map", map_path)
            profiles, people = asyncio.run(_profiles(url, {one.name: truth}))
            yield from _resolved(ground, url, one.name, {one.name: truth})
        yield from _ceiling(one.name, profiles, people)


def shoppers(ground: Ground, scale: float) -> Iterator[Figure]:
    """Made-up shoppers of a fresh seed, and what rivals would do on the same records."""
    count = max(FEWEST_RECORDS, round(RECORDS * scale))
    seed = time.time_ns() % 10_000  # a fresh one: nothing is tuned to it
    yield figure("shoppers_seed", seed, "number")
    files, truth = _write_shoppers(ground.folder, seed, count)
    with ground.database() as url:
        for source, path in files.items():
            _import(url, path, source, "--stream", "customers")
        profiles, people = asyncio.run(_profiles(url, truth))
        before = _export(ground, url, truth)
        yield from _judged("shoppers_before_resolve", judge(*before))
        yield from _resolved(ground, url, "shoppers", truth)
    yield from _ceiling("shoppers", profiles, people)
    places = profiles.set_column(0, "profile_id", pa.array(np.arange(profiles.num_rows)))
    for name, rival in RIVALS.items():
        yield from _judged(f"shoppers_rival_{name}", judge(rival(places), people))


def _write_shoppers(
    folder: Path, seed: int, count: int
) -> tuple[Mapping[str, Path], Mapping[str, Mapping[str, str]]]:
    """A file of canonical customers for each source, and source to key to true person."""
    encode = msgspec.json.Encoder().encode
    lines: dict[str, list[bytes]] = {}
    truth: dict[str, dict[str, str]] = {}
    for one in tell(seed, count):
        lines.setdefault(one.source, []).append(encode(one.record))
        truth.setdefault(one.source, {})[one.record.id] = str(one.person)
    files = {source: folder / f"{source}.jsonl" for source in lines}
    for source, path in files.items():
        path.write_bytes(b"\n".join(lines[source]))
    return files, truth


def _import(url: str, path: Path, source: str, *how: str | Path) -> None:
    run("import", path, "--source", source, *how, variables={"CDP_DATABASE_URL": url})


def _resolved(
    ground: Ground, url: str, name: str, truth: Mapping[str, Mapping[str, str]]
) -> Iterator[Figure]:
    measured = run("resolve", variables={"CDP_DATABASE_URL": url})
    yield from _judged(name, judge(*_export(ground, url, truth)))
    yield from _cost(name, measured)


def _ceiling(name: str, profiles: pa.Table, people: Labels) -> Iterator[Figure]:
    """What the best scorer could reach on the pairs that linkage compares."""
    left, right = _places(profiles, *candidate_pairs(profiles))
    yield figure(f"{name}_candidates", len(left), "pairs")
    yield figure(f"{name}_ceiling_f1", ceiling(left, right, people), "ratio")


def _cost(name: str, measured: Run) -> Iterator[Figure]:
    told = measured.told
    yield figure(f"{name}_resolve", measured.seconds, "s")
    yield figure(f"{name}_resolve_rate", told["profiles"] / measured.seconds, "records/s")
    yield figure(f"{name}_link_rate", told["profiles"] / told["link_seconds"], "records/s")
    yield figure(f"{name}_resolve_peak_memory", measured.peak_bytes / MEGABYTE, "MB")
    yield figure(f"{name}_asked", told["asking"], "pairs")


def _export(
    ground: Ground, url: str, truth: Mapping[str, Mapping[str, str]]
) -> tuple[list[int], list[str]]:
    """Of each exported profile its customer, and whom it is truly about."""
    path = ground.folder / "identity.csv"
    how = ("--format", "csv", "--output", path)
    run("export", "identity", *how, variables={"CDP_DATABASE_URL": url})
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["stream"] == "customers"]
    customers = [int(row["customer_id"]) for row in rows]
    return customers, [truth[row["source"]][row["key"]] for row in rows]


def _judged(name: str, found: Judgement) -> Iterator[Figure]:
    for metric in ("precision", "recall", "f1", "b_cubed_f1", "exact_f1", "mixed"):
        yield figure(f"{name}_{metric}", getattr(found, metric), "ratio")
    yield figure(f"{name}_largest", found.largest, "records")


async def _profiles(url: str, truth: Mapping[str, Mapping[str, str]]) -> tuple[pa.Table, Labels]:
    """What linkage reads of the database, and of each row whom it is truly about."""
    driver = await asyncpg.connect(url)
    try:
        profiles = (await read_everybody(driver, await read_rules(driver))).profiles
        rows = await driver.fetch(
            "SELECT p.id, s.name, p.key FROM source_profile p JOIN source s ON s.id = p.source_id"
        )
    finally:
        await driver.close()
    person = {row["id"]: truth[row["name"]][row["key"]] for row in rows}
    people = [person[one] for one in profiles["profile_id"].to_pylist()]
    return profiles, np.unique(people, return_inverse=True)[1].astype(np.int64)


def _places(profiles: pa.Table, left: Labels, right: Labels) -> tuple[Labels, Labels]:
    """Profile ids as places in the table, which is ordered by them."""
    ids = profiles["profile_id"].to_numpy()
    return np.searchsorted(ids, left), np.searchsorted(ids, right)
