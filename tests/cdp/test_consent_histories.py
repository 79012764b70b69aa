"""Whatever is merged, split or deleted: no denial is lost, and the SQL says what the rules say."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from sqlalchemy import DateTime, Select, insert, literal, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.consent import Asked, consents, statements
from tests.cdp.builders import a_source
from tests.cdp.consent_model import Model, Said, Use, load
from tests.cdp.histories import steps_at
from tests.cdp.side_by_side import Claim, count_rows, in_parts, prove, try_slice

pytestmark = pytest.mark.anyio

NOW: Final = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
EMAILS: Final = ("a", "b", "c")
PHONES: Final = ("1", "2")
MOST_CHANGES: Final = 5

Row = Mapping[str, Any]
Change = tuple[str, int, int]
Standing = Mapping[int, Mapping[Use, str]]
"""What holds for each customer."""


@dataclass(frozen=True, slots=True)
class Life:
    """A history: profiles, what was said of them, and what happens to them then."""

    profiles: Sequence[Row]
    said: Sequence[Row]
    changes: Sequence[Change]


PROFILES: Final = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.sampled_from((*EMAILS, None)),
            "phone": st.sampled_from((*PHONES, None)),
            "former": st.sampled_from((*EMAILS, None, None)),
            "source": st.sampled_from(("shop", "till")),
        }
    ),
    min_size=2,
    max_size=5,
)
SAID: Final = st.lists(
    st.fixed_dictionaries(
        {
            "profile": st.integers(0, 5),  # beyond the last one: a customer who is not seen yet
            "at": st.integers(1, 101),
            "status": st.sampled_from(
                ("granted", "denied", "withdrawn", "unsubscribed", "complained")
            ),
            "channel": st.sampled_from(("email", "email", "sms", "push")),
            "purpose": st.sampled_from(("marketing", "marketing", "service")),
            "point": st.sampled_from((None, None, *EMAILS, PHONES[0])),
        }
    ),
    min_size=1,
    max_size=8,
)
CHANGES: Final = st.lists(
    st.tuples(
        st.sampled_from(("merge", "split", "delete profile", "delete statement")),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    max_size=MOST_CHANGES,
)


# Doing it -------------------------------------------------------------------------------------


def _kind(name: str) -> str:
    return "email" if name in EMAILS else "phone"


def _value(name: str, number: int) -> str:
    """The identifier of that name in the history of that number."""
    return f"{name}{number:02d}@example.com" if name in EMAILS else f"+4477009000{number:02d}{name}"


def _record(source_id: int, key: str) -> dict[str, Any]:
    return {
        "source_id": source_id,
        "key": key,
        "digest": b"",
        "payload": {},
        "learned_at": NOW,
    }


async def _tell(connection: AsyncConnection, lives: Sequence[Life]) -> list[list[int]]:
    """Store histories as ingest would; returns the ids of the profiles of each."""
    sources = {name: await a_source(connection, name) for name in ("shop", "till")}
    ids = await _tell_profiles(connection, lives, sources)
    identifiers: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number, life in enumerate(lives):
        for one, profile_id in zip(life.profiles, ids[number], strict=True):
            identifiers += _identifiers(one, profile_id, number)
        for place, one in enumerate(life.said):
            owner = ids[number][one["profile"]] if one["profile"] < len(ids[number]) else None
            row = _record(sources["shop"], f"{number}-{place}")
            at = NOW + timedelta(days=one["at"] - 100)
            row |= {"source_profile_id": owner, "channel": one["channel"]}
            if one["status"] in ("unsubscribed", "complained"):
                event = {
                    "kind": one["status"],
                    "occurred_at": at,
                    "channel": row["channel"].upper(),
                }
                events.append(row | event)
                continue
            named = one["point"]
            point = {
                "contact_point_kind": named and _kind(named),
                "contact_point": named and _value(named, number),
            }
            told = {"purpose": one["purpose"], "status": one["status"], "recorded_at": at}
            records.append(row | point | told)
    for table, rows in (
        (tables.identifier, identifiers),
        (tables.consent, records),
        (tables.message, events),
    ):
        if rows:
            await connection.execute(insert(table), rows)
    return ids


async def _tell_profiles(
    connection: AsyncConnection, lives: Sequence[Life], sources: Mapping[str, int]
) -> list[list[int]]:
    """Each a customer of its own."""
    profile = tables.source_profile
    about = {
        "customer_id": 0,
        "stream": "customers",
        "first_stored_at": NOW,
        "given_key": "",
        "family_key": "",
    }
    rows = [
        {**about, **_record(sources[one["source"]], f"{number}-{place}")}
        for number, life in enumerate(lives)
        for place, one in enumerate(life.profiles)
    ]
    await connection.execute(insert(profile), rows)
    await connection.execute(update(profile).values(customer_id=profile.c.id))
    stored = await connection.execute(select(profile.c.key, profile.c.id))
    ids: dict[str, int] = {row[0]: row[1] for row in stored}
    return [
        [ids[f"{number}-{place}"] for place in range(len(life.profiles))]
        for number, life in enumerate(lives)
    ]


def _identifiers(told: Row, profile_id: int, number: int) -> Iterable[dict[str, Any]]:
    """Evidence; the former address only where it is not the one of now."""
    now = [told[kind] for kind in ("email", "phone") if told[kind]]
    former = [told["former"]] if told["former"] and told["former"] != told["email"] else []
    for name in (*now, *former):
        yield {
            "kind": _kind(name),
            "value": _value(name, number),
            "source_profile_id": profile_id,
            "is_current": name in now,
            "first_seen_at": NOW,
            "last_seen_at": NOW,
        }


async def _change(connection: AsyncConnection, ids: Sequence[int], change: Change) -> None:
    """Change the map as identity would, or take away what a source has deleted."""
    what, one, other = change
    first, second = ids[one % len(ids)], ids[other % len(ids)]
    p = tables.source_profile
    whose = select(p.c.customer_id).where(p.c.id == first).scalar_subquery()
    match what:
        case "merge":
            from_ = select(p.c.customer_id).where(p.c.id == second).scalar_subquery()
            moved = update(p).where(p.c.customer_id == from_).values(customer_id=whose)
        case "split":
            alone = first + 1_000_000
            moved = update(p).where(p.c.id == first).values(customer_id=alone)
        case "delete profile":
            moved = update(p).where(p.c.id == first).values(deleted_at=NOW)
        case _:
            for table in (tables.consent, tables.message):
                gone = table.c.source_profile_id == first
                await connection.execute(update(table).where(gone).values(deleted_at=NOW))
            return
    await connection.execute(moved)


# What must hold -------------------------------------------------------------------------------


def _as_told(row: Row) -> Said:
    point = None if row["point"] is None else (row["point_kind"], row["point"])
    use = row["channel"], row["purpose"]
    return Said(
        use, row["status"], row["at"], point, row["profile_id"], row["source_id"], row["event"],
        row["key"], row["evidence"],
    )  # fmt: skip


def _of_each() -> Select[Any]:
    """How every customer stands, each asked about by itself."""
    profile = tables.source_profile
    each = select(profile.c.customer_id.label("asked_id")).distinct().subquery()
    alone = consents(Asked(literal(NOW, DateTime(timezone=True)), each.c.asked_id)).lateral()
    return select(each.c.asked_id, alone).select_from(each.join(alone, true()))


class _Found:
    """What the SQL says now, by customer; `alone`: where each is asked about by itself."""

    def __init__(self, everybody: Iterable[Row], alone: Iterable[Row], said: Iterable[Row]) -> None:
        self.everybody: dict[int, dict[Use, Said]] = defaultdict(dict)
        self.alone: dict[int, dict[Use, Said]] = defaultdict(dict)
        self.statements: dict[int, list[tuple[Said, bool, bool]]] = defaultdict(list)
        for row in everybody:
            self.everybody[row["customer_id"]][row["channel"], row["purpose"]] = _as_told(row)
        for row in alone:
            assert row["asked_id"] == row["customer_id"]
            self.alone[row["customer_id"]][row["channel"], row["purpose"]] = _as_told(row)
        for row in said:
            self.statements[row["customer_id"]].append((_as_told(row), row["holds"], row["is_own"]))


async def _check(connection: AsyncConnection, ids: Sequence[Sequence[int]]) -> Sequence[Standing]:
    """The SQL says what the rules say, of all and of each, and keeps denials. What holds."""
    asked = Asked(literal(NOW, DateTime(timezone=True)))
    rows = [
        (await connection.execute(query)).mappings().all()
        for query in (consents(asked), _of_each(), statements(asked))
    ]
    found, stored = _Found(*rows), await load(connection)
    return [_check_one(found, model) for model in _models(stored, ids)]


def _models(rows: Mapping[str, Sequence[Row]], ids: Sequence[Sequence[int]]) -> Iterable[Model]:
    """The rules over the rows of each history by itself."""
    whose = {profile_id: number for number, own in enumerate(ids) for profile_id in own}
    parts: list[dict[str, list[Row]]] = [{name: [] for name in rows} for _ in ids]
    for name, several in rows.items():
        for row in several:
            number = (
                whose[row["source_profile_id"]]
                if name == "identifier"
                else int(row["key"].partition("-")[0])
            )
            parts[number][name].append(row)
    return (Model(part, NOW) for part in parts)


def _check_one(found: _Found, model: Model) -> Standing:
    holding = {}
    for customer_id in {row["customer_id"] for row in model.profiles.values()}:
        told = found.everybody.get(customer_id, {})
        assert told == model.consents(customer_id)
        assert found.alone.get(customer_id, {}) == told
        said = found.statements.get(customer_id, [])
        assert sorted(said, key=repr) == sorted(model.statements(customer_id), key=repr)
        if told:
            holding[customer_id] = {use: one.status for use, one in told.items()}
    for one in model.said:
        if one.is_denial:
            _is_kept(one, model, holding)
    return holding


def _is_kept(denial: Said, model: Model, holding: Standing) -> None:
    """It is no silence for whoever made it; without a later grant it holds for all concerned."""
    owner = model.customer_of(denial.profile_id)
    if owner is not None:
        assert denial.use in holding[owner]
    if any(
        (one.use, one.point) == (denial.use, denial.point)
        and one.rank() > denial.rank()
        and not one.is_denial
        for one in model.said
    ):
        return
    everybody = {row["customer_id"] for row in model.profiles.values()}
    concerned = {each for each in everybody if denial.point and model.bears(each, denial.point)}
    for customer_id in concerned | ({owner} if owner is not None else set()):
        assert holding[customer_id][denial.use] in ("denied", "withdrawn")


def _takes_nothing_back(before: Standing, after: Standing) -> None:
    """A delete makes no denial a grant, and none of them silence."""
    for customer_id, uses in before.items():
        for use, status in uses.items():
            if status != "granted":
                assert after[customer_id][use] != "granted"


async def _lose_no_denial(connection: AsyncConnection, lives: Sequence[Life], world: None) -> None:
    assert world is None
    ids = await _tell(connection, lives)
    await count_rows(connection)
    before = await _check(connection, ids)
    for at in range(max(len(life.changes) for life in lives)):
        now = steps_at([life.changes for life in lives], at)
        for number, change in now.items():
            await _change(connection, ids[number], change)
        after = await _check(connection, ids)
        for number, change in now.items():
            if change[0].startswith("delete"):
                _takes_nothing_back(before[number], after[number])
        before = after


KEPT: Final = Claim(st.builds(Life, PROFILES, SAID, CHANGES), st.none(), _lose_no_denial)


async def test_no_merge_split_or_delete_loses_a_denial_or_makes_it_silence(
    connection: AsyncConnection,
) -> None:
    await try_slice(connection, KEPT)


@pytest.mark.prove
@in_parts
async def test_ten_thousand_histories_lose_no_denial(
    connection: AsyncConnection, part: int
) -> None:
    await prove(connection, KEPT, part)
