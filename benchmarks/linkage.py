"""A million records in one process, without a database: train, score, cluster; and with a model."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground
from benchmarks.shoppers import Telling, tell
from cdp.identity.census.clustering import count as cluster_everybody
from cdp.identity.census.columns import CARRIED, PAIRS, PEOPLE, Census
from cdp.identity.linkage.linking import Linkage, score, train
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.people import Claims, claims_of
from cdp.identity.rules import DEFAULT_RULES, Cuts

RECORDS: Final = 1_000_000
FEWEST_RECORDS: Final = 2_000
SEED: Final = 7
REGION: Final = "US"

Found = TypeVar("Found")


def linkage(ground: Ground, scale: float) -> Iterator[Figure]:
    """Wall seconds, as a person waits, and processor seconds, which the load of others spares."""
    del ground
    count = max(FEWEST_RECORDS, round(RECORDS * scale))
    profiles, census = read(SEED, count)
    linked, wall, processor = _timed(lambda: train(profiles))
    yield from _told("linkage_train", wall, processor)
    found, cluster_wall, cluster_processor = _timed(lambda: _cluster(census, linked))
    yield from _told("linkage_cluster", cluster_wall, cluster_processor)
    yield figure("linkage_rate", count / (wall + cluster_wall), "records/s")
    yield figure("linkage_customers", found, "customers")
    _, wall, processor = _timed(lambda: score(profiles, linked.model))
    yield from _told("linkage_with_a_model", wall, processor)


def _told(name: str, wall: float, processor: float) -> Iterator[Figure]:
    yield figure(name, wall, "s")
    yield figure(f"{name}_processor", processor, "s")


def _timed(work: Callable[[], Found]) -> tuple[Found, float, float]:
    wall, processor = time.monotonic(), time.process_time()
    found = work()
    return found, time.monotonic() - wall, time.process_time() - processor


def read(seed: int, count: int) -> tuple[pa.Table, Census]:
    """Made-up records as linkage reads them, and as clustering does, with no pair scored yet."""
    columns: dict[str, list[Any]] = {name: [] for name in PROFILES.names}
    people: dict[str, list[Any]] = {name: [] for name in PEOPLE.names}
    carried: dict[str, list[Any]] = {name: [] for name in CARRIED.names}
    for number, one in enumerate(tell(seed, count)):
        claims = claims_of(one.record, one.source, REGION)
        _add(columns, _compared(number, one, claims))
        rank = {"source": one.source, "stream": "customers", "key": one.record.id}
        _add(people, {"profile_id": number, **rank, **msgspec.structs.asdict(claims.person)})
        for kind, value in set(claims.identifiers):
            row = {"profile_id": number, "kind": kind, "value": value, "is_current": True}
            _add(carried, row)
    census = Census(
        pa.table(people, schema=PEOPLE), pa.table(carried, schema=CARRIED), PAIRS.empty_table()
    )
    return pa.table(columns, schema=PROFILES), census


def _compared(number: int, one: Telling, claims: Claims) -> dict[str, Any]:
    record, others = one.record, claims.identifiers[1:]
    by_kind = {kind: [v for k, v in others if k == kind] for kind in ("email", "phone")}
    return {
        "profile_id": number,
        "given": claims.person.given or None,
        "family": claims.person.family or None,
        "birth_date": record.birth_date,
        **{name: getattr(record, name) for name in ("gender", "street", "city", "postal_code")},
        "country": record.country,
        "emails": by_kind["email"],
        "phones": by_kind["phone"],
        "strong": [f"{kind}:{value}" for kind, value in others if kind == "loyalty_card"],
    }


def _add(columns: dict[str, list[Any]], row: dict[str, Any]) -> None:
    for name, value in row.items():
        columns[name].append(value)


def _cluster(census: Census, linked: Linkage) -> int:
    """The partition under the cuts of the model; returns how many customers there are."""
    cuts = Cuts(linked.model.join_weight, linked.model.review_weight)
    scored = replace(census, pairs=linked.pairs.select(PAIRS.names).cast(PAIRS))
    return len(np.unique(cluster_everybody(scored, replace(DEFAULT_RULES, cuts=cuts)).customer))
