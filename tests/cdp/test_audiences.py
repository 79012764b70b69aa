"""Audiences: who is written to and where, why the others are not, and who is held out for good."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.audiences.assignment import Drawn, assignments, audience_now, draw, take_turn
from cdp.audiences.people import Aim, read_aim
from cdp.deciding import Author
from cdp.errors import BadInput
from cdp.stewardship import merge_customers, split_customer
from cdp.values import CustomerId, ProfileId
from tests.cdp.commands import Run, command_over
from tests.cdp.ingesting import WORKSPACE, take
from tests.cdp.segmenting import Stage, a_segment, customer_ids, refreshed, without_starters

pytestmark = pytest.mark.anyio

EMAIL = Aim("all", "email", "marketing")
SMS = Aim("all", "sms", "marketing")
LONG_AGO = "2026-01-01T10:00:00Z"


def a_person(key: str, **more: object) -> dict[str, object]:
    return {"id": key, "first_name": key, "email": f"{key}@example.com", **more}


def a_consent(key: str, status: str, at: str = LONG_AGO, **more: object) -> dict[str, object]:
    said = {"channel": "email", "purpose": "marketing", "status": status, "recorded_at": at}
    return {"id": f"{key}-{status}-{at}", "customer_id": key, **said, **more}


async def everybody(
    connection: AsyncConnection,
    people: Sequence[Mapping[str, object]],
    said: Sequence[Mapping[str, object]],
) -> int:
    """The number of a segment that holds for all of them."""
    await without_starters(connection)
    await take(connection, "customers", people)
    await take(connection, "consents", said)
    segment = await a_segment(connection, "All", {})
    await refreshed(Stage(connection))
    return segment.id


async def drawn(
    connection: AsyncConnection, segment_id: int, aim: Aim = EMAIL, percent: float | None = None
) -> tuple[Drawn, dict[int, dict[str, Any]]]:
    """What came of it, and the rows by customer; as at the end of a transaction."""
    done = await draw(connection, aim, segment_id, await take_turn(connection), percent)
    rows = await connection.execute(select(audience_now))
    found = {row["customer_id"]: dict(row) for row in rows.mappings()}
    await connection.exec_driver_sql("DROP TABLE audience_now")
    return done, found


async def test_only_those_who_consent_are_written_to_and_the_others_are_counted(
    connection: AsyncConnection,
) -> None:
    segment = await everybody(
        connection,
        [a_person(key) for key in ("yes", "no", "once", "mute")],
        [
            a_consent("yes", "granted"),
            a_consent("no", "denied"),
            a_consent("once", "granted"),
            a_consent("once", "withdrawn", "2026-02-01T10:00:00Z"),
            a_consent("mute", "granted", purpose="research"),
        ],
    )
    done, rows = await drawn(connection, segment)
    assert (done.members, done.written_to, done.held_out) == (4, 1, 0)
    assert done.left_out == {"denied": 1, "withdrawn": 1, "silent": 1}
    ids = await customer_ids(connection)
    assert rows[ids["yes"]]["contact_point"] == "yes@example.com"
    assert rows[ids["yes"]]["consented_at"] == datetime.fromisoformat(LONG_AGO)
    assert {key: rows[ids[key]]["reason"] for key in ids} == {
        "yes": None,
        "no": "denied",
        "once": "withdrawn",
        "mute": "silent",
    }


async def test_only_the_address_that_was_consented_to_is_written_to(
    connection: AsyncConnection,
) -> None:
    """Each is known by one address, and two have consented for another."""
    segment = await everybody(
        connection,
        [
            a_person("both", emails=["both@example.com", "old@example.com"]),
            a_person("other", emails=["other@example.com", "work@example.com"]),
        ],
        [
            a_consent("both", "granted"),
            a_consent("other", "granted", email="work@example.com"),
        ],
    )
    ids = await customer_ids(connection)
    _, rows = await drawn(connection, segment)
    assert rows[ids["both"]]["contact_point"] == "both@example.com"
    assert rows[ids["other"]]["contact_point"] == "work@example.com"


async def test_channels_reach_people_at_what_they_are_for(connection: AsyncConnection) -> None:
    told = {"channel": "sms"}
    segment = await everybody(
        connection,
        [a_person("phone", phone="+44 7700 900123"), a_person("none")],
        [
            a_consent("phone", "granted", **told),
            a_consent("none", "granted", **told),
            a_consent("none", "granted", "2026-02-01T10:00:00Z", channel="push"),
        ],
    )
    ids = await customer_ids(connection)
    done, rows = await drawn(connection, segment, SMS)
    assert done.left_out == {"unreachable": 1}
    assert rows[ids["phone"]]["contact_point"] == "+447700900123"
    done, rows = await drawn(connection, segment, Aim("all", "push", "marketing"))
    assert (done.written_to, done.left_out) == (1, {"silent": 1})
    assert rows[ids["none"]]["contact_point"] is None


def is_below(slug: str, customer_id: int, percent: float) -> bool:
    digest = hashlib.sha256(f"{slug}:{customer_id}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32 < percent / 100


async def a_crowd(connection: AsyncConnection, count: int, first: int = 0) -> int:
    keys = [f"p{number}" for number in range(first, first + count)]
    people = [a_person(key) for key in keys]
    return await everybody(connection, people, [a_consent(key, "granted") for key in keys])


async def join_late(connection: AsyncConnection, count: int) -> None:
    """More people who consent, after the segment was made."""
    keys = [f"q{number}" for number in range(count)]
    await take(connection, "customers", [a_person(key) for key in keys])
    await take(connection, "consents", [a_consent(key, "granted") for key in keys])
    await refreshed(Stage(connection))


async def test_who_is_held_out_follows_from_the_hash_alone(connection: AsyncConnection) -> None:
    segment = await a_crowd(connection, 120)
    done, rows = await drawn(connection, segment, percent=20)
    assert {one: row["is_held_out"] for one, row in rows.items()} == {
        one: is_below("all", one, 20) for one in rows
    }
    assert done.held_out == sum(row["is_held_out"] for row in rows.values())
    assert 5 <= done.held_out <= 50  # of 120, 24 are expected
    assert done.written_to == 120 - done.held_out


async def test_another_percentage_is_for_those_who_are_new(connection: AsyncConnection) -> None:
    segment = await a_crowd(connection, 40)
    _, before = await drawn(connection, segment, percent=50)
    await join_late(connection, 40)
    done, after = await drawn(connection, segment, percent=0)
    assert len(after) == 80
    assert {one: after[one]["is_held_out"] for one in before} == {
        one: row["is_held_out"] for one, row in before.items()
    }
    assert not [one for one in after.keys() - before.keys() if after[one]["is_held_out"]]
    again, same = await drawn(connection, segment)
    assert (again, same) == (done, after)
    assert again.held_out_percent == 0


async def test_first_assignment_holds_through_merge_and_split(connection: AsyncConnection) -> None:
    segment = await a_crowd(connection, 30)
    _, first = await drawn(connection, segment, percent=50)
    await join_late(connection, 30)
    _, second = await drawn(connection, segment, percent=50)
    out = next(one for one in first if first[one]["is_held_out"])
    written = next(one for one in second.keys() - first.keys() if not second[one]["is_held_out"])
    author = Author("local", "They are one.")
    await merge_customers(connection, [CustomerId(out), CustomerId(written)], author, WORKSPACE)
    await refreshed(Stage(connection))
    _, merged = await drawn(connection, segment)
    assert merged[out]["is_held_out"] is True
    assert written not in merged
    await split_customer(
        connection, CustomerId(out), [ProfileId(written)], Author("local", "Two."), WORKSPACE
    )
    await refreshed(Stage(connection))
    _, parted = await drawn(connection, segment)
    assert (parted[out]["is_held_out"], parted[written]["is_held_out"]) == (True, False)


async def test_of_two_who_merge_the_earlier_assignment_holds_whoever_survives(
    connection: AsyncConnection,
) -> None:
    await a_crowd(connection, 2)
    ids = sorted((await customer_ids(connection)).values())
    now = datetime.now(UTC)
    audience_id = await connection.scalar(
        tables.audience.insert()
        .values(slug="all", channel="email", purpose="marketing", held_out_percent=50)
        .values(created_at=now, exported_at=now)
        .returning(tables.audience.c.id)
    )
    assert audience_id is not None
    for place, (one, is_held_out) in enumerate(zip(ids, (False, True), strict=True)):
        await connection.execute(
            tables.audience_member.insert().values(
                audience_id=audience_id,
                source_profile_id=one,
                is_held_out=is_held_out,
                assigned_at=now - timedelta(days=place),
            )
        )
    customers = [CustomerId(one) for one in ids]
    await merge_customers(connection, customers, Author("local", "One."), WORKSPACE)
    ((survivor, is_held_out, at),) = await connection.execute(assignments(audience_id))
    assert (survivor, is_held_out, at) == (ids[0], True, now - timedelta(days=1))


@pytest.mark.parametrize(
    ("channel", "purpose"), [(None, "marketing"), ("email", None), (" ", "marketing")]
)
def test_an_audience_needs_a_channel_and_a_purpose(
    channel: str | None, purpose: str | None
) -> None:
    with pytest.raises(BadInput, match="An audience needs a"):
        read_aim("all", channel, purpose)
    assert read_aim("all", " Email", "MARKETING ") == EMAIL


# On the command line ---------------------------------------------------------------------------

PEOPLE = "\n".join(
    ["id,first_name,email,city"] + [f"s{n},N{n},n{n}@example.com,Bath" for n in range(60)]
)
SAID = "\n".join(
    ["id,customer_id,channel,purpose,status,recorded_at"]
    + [
        f"c{n},s{n},email,marketing,{'denied' if n < 10 else 'granted'},{LONG_AGO}"
        for n in range(60)
    ]
)


@pytest.fixture
def cdp(database_url: str, tmp_path: Path) -> Run:
    """The command over sixty people, of whom ten do not want to be written to."""
    run = command_over(database_url)
    folder = tmp_path / "shop"
    folder.mkdir()
    for stream, text in (("customers", PEOPLE), ("consents", SAID)):
        (folder / f"{stream}.csv").write_text(text)
    assert run("import", folder, "--source", "shop").exit_code == 0
    return run


AUDIENCE = ("export", "audience:prospects", "--channel", "email", "--purpose", "marketing")


def test_audience_is_written_in_every_format_without_those_held_out(
    cdp: Run, tmp_path: Path
) -> None:
    files = {form: tmp_path / f"a.{form}" for form in ("csv", "jsonl", "parquet")}
    told = {}
    for form, path in files.items():
        given = (*AUDIENCE, "--holdout", "30", "--format", form, "--output", path, "--json")
        result = cdp(*given)
        assert result.exit_code == 0, result.output
        told[form] = json.loads(result.stdout)["audience"]
    assert told["csv"] == told["jsonl"] == told["parquet"]
    drawn = told["csv"]
    assert (drawn["members"], drawn["left_out"]) == (60, {"denied": 10})
    assert drawn["written_to"] + drawn["held_out"] == 50
    assert 5 <= drawn["held_out"] <= 25
    table = parquet.read_table(files["parquet"])
    lines = [json.loads(line) for line in files["jsonl"].read_text().splitlines()]
    assert [line["id"] for line in lines] == table["id"].to_pylist()
    assert len(lines) == drawn["written_to"] == files["csv"].read_text().count("\n") - 1
    assert {"contact_point", "first_name", "lifecycle_stage"} <= lines[0].keys()
    assert not {"city", "email", "attributes", "birth_date"} & lines[0].keys()
    assert table.schema.metadata[b"channel"] == b"email"


def test_summary_tells_why_people_are_left_out(cdp: Run, tmp_path: Path) -> None:
    result = cdp(*AUDIENCE, "--output", tmp_path / "a.csv")
    assert result.stdout.strip() == (
        f"50 rows in {tmp_path / 'a.csv'}. Of 60 members 10 denied it."
    )


def test_a_file_that_cannot_be_written_assigns_nobody(cdp: Run, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "a.csv"
    assert cdp(*AUDIENCE, "--holdout", "99", "--output", nowhere).exit_code == 1
    result = cdp(*AUDIENCE, "--output", tmp_path / "a.csv", "--json")
    assert json.loads(result.stdout)["audience"]["held_out"] == 0


def test_what_is_no_audience_is_refused(cdp: Run) -> None:
    for given, sentence in (
        (("export", "audience:prospects"), "An audience needs a channel."),
        (("export", "audience:nobody", *AUDIENCE[2:]), "There is no segment 'nobody'."),
        (
            (*AUDIENCE[:3], "fax", *AUDIENCE[4:]),
            "Nobody was ever asked about fax for marketing. Consents are known of: email for",
        ),
        ((*AUDIENCE, "--filter", "{}"), "An audience takes no filter."),
        (("export", "customers", "--holdout", "5"), "Channel, purpose and holdout are an"),
    ):
        result = cdp(*given)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {sentence}")
