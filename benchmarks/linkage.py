"""A million records in one process, without a database: train, score, cluster; and with a model."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import pyarrow as pa

from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground
from benchmarks.shoppers import Telling, tell
from cdp.identity.bounds import too_shared
from cdp.identity.cluster import partition
from cdp.identity.evidence import Evidence, Identifier, Pair, Ties
from cdp.identity.linkage.linking import Linkage, score, train
from cdp.identity.linkage.profiles import PROFILES
from cdp.identity.people import claims_of
from cdp.identity.rules import DEFAULT_RULES, Cuts
from cdp.values import ProfileId

RECORDS: Final = 1_000_000
FEWEST_RECORDS: Final = 2_000
SEED: Final = 7
REGION: Final = "US"

Found = TypeVar("Found")


def linkage(ground: Ground, scale: float) -> Iterator[Figure]:
    """Wall seconds, as a person waits, and processor seconds, which the load of others spares."""
    del ground
    count = max(FEWEST_RECORDS, round(RECORDS * scale))
    profiles, evidence = _read(count)
    gc.freeze()  # the records are the benchmark's: no collection within what is timed walks them
    linked, wall, processor = _timed(lambda: train(profiles))
    yield from _told("linkage_train", wall, processor)
    found, cluster_wall, cluster_processor = _timed(lambda: _cluster(evidence, linked))
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


def _read(count: int) -> tuple[pa.Table, list[Evidence]]:
    """The records as linkage reads them, and as the partition does."""
    columns: dict[str, list[Any]] = {name: [] for name in PROFILES.names}
    evidence = []
    for number, one in enumerate(tell(SEED, count)):
        identifiers = _add(columns, number, one)
        rank = (one.source, "customers", one.record.id)
        person = claims_of(one.record, one.source, REGION).person
        profile_id = ProfileId(number)
        evidence.append(
            Evidence(profile_id, rank, person, current=identifiers, all=set(identifiers))
        )
    return pa.table(columns, schema=PROFILES), evidence


def _add(columns: dict[str, list[Any]], number: int, one: Telling) -> frozenset[Identifier]:
    record, claims = one.record, claims_of(one.record, one.source, REGION)
    own, *others = claims.identifiers
    by_kind = {kind: [v for k, v in others if k == kind] for kind in ("email", "phone")}
    row = {
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
    for name, value in row.items():
        columns[name].append(value)
    return frozenset([own, *others])


def _cluster(evidence: list[Evidence], linked: Linkage) -> int:
    """The partition under the cuts of the model; returns how many customers there are."""
    model, columns = linked.model, linked.pairs
    rules = replace(DEFAULT_RULES, cuts=Cuts(model.join_weight, model.review_weight))
    holders: dict[Identifier, list[Evidence]] = {}
    for one in evidence:
        for identifier in one.all:
            holders.setdefault(identifier, []).append(one)
    blocked = {value for value, who in holders.items() if too_shared(value, who, rules)}
    told = (columns[name].to_pylist() for name in ("left_id", "right_id", "weight", "probability"))
    pairs = [Pair(*pair) for pair in zip(*told, strict=True)]
    return len(partition(evidence, rules, blocked, Ties((), pairs)).customers)
