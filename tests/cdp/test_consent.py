"""Consent: no denial is lost or becomes silence, whatever is merged, split or deleted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import BigInteger, DateTime, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.consent import Asked, ConsentStatus, consents
from cdp.consent_writing import Statement, record_consent
from cdp.contact_points import ContactPoint, read_contact_point
from cdp.deadletters import DeadLetter, list_letters, retry_letters
from cdp.deciding import Author
from cdp.delivery import Deleted, Delivery, receive
from cdp.errors import BadInput, KeyReused, NotFound
from cdp.sources import add_source, list_sources
from cdp.stewardship import split_customer
from cdp.values import CustomerId, ProfileId
from tests.cdp.consent_model import Use
from tests.cdp.ingesting import WORKSPACE, drop, take

pytestmark = pytest.mark.anyio

NOW = datetime.fromisoformat("2026-06-15T12:00:00+00:00")
EMAIL: Use = ("email", "marketing")
ANN = {"id": "1", "first_name": "Ann", "last_name": "Doe", "email": "ann@example.com"}


def day(number: int) -> str:
    return (NOW + timedelta(days=number - 100)).isoformat()


def a_consent(key: str, status: str, at: int, **more: object) -> dict[str, object]:
    """Of marketing by email, unless told otherwise."""
    said = {"channel": "email", "purpose": "marketing", "status": status, "recorded_at": day(at)}
    return {"id": key, **said, **more}


def an_unsubscription(key: str, at: int, **more: object) -> dict[str, object]:
    said = {"channel": "email", "kind": "unsubscribed", "occurred_at": day(at)}
    return {"id": key, **said, **more}


async def standing(
    connection: AsyncConnection, customer_id: int | None = None
) -> dict[int, dict[Use, Mapping[str, Any]]]:
    """How customers stand: all of them, or the one given."""
    one = None if customer_id is None else literal(customer_id, BigInteger)
    asked = Asked(literal(NOW, DateTime(timezone=True)), one)
    found: dict[int, dict[Use, Mapping[str, Any]]] = {}
    for row in (await connection.execute(consents(asked))).mappings():
        found.setdefault(row["customer_id"], {})[row["channel"], row["purpose"]] = row
    return found


async def statuses(connection: AsyncConnection, use: Use = EMAIL) -> list[str]:
    """What holds for each customer of whom anything was said, by id."""
    return [rows[use]["status"] for _, rows in sorted((await standing(connection)).items())]


# What is said, and of whom --------------------------------------------------------------------


async def test_latest_statement_of_a_contact_point_holds_whichever_came_first(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    later = a_consent("a", "granted", 20, email="Ann@Example.com")
    await take(connection, "consents", [later], source="shop")
    await take(connection, "consents", [a_consent("b", "denied", 10, customer_id="1")])
    assert await statuses(connection) == ["granted"]
    await take(connection, "consents", [a_consent("c", "withdrawn", 30, customer_id="1")])
    assert await statuses(connection) == ["withdrawn"]


async def test_one_denial_is_enough_across_contact_points(connection: AsyncConnection) -> None:
    await take(connection, "customers", [{**ANN, "emails": ["work@example.com"]}])
    said = [
        a_consent("a", "denied", 10, customer_id="1", email="work@example.com"),
        a_consent("b", "granted", 20, customer_id="1", email="ann@example.com"),
    ]
    await take(connection, "consents", said)
    (stands,) = (await standing(connection)).values()
    assert (stands[EMAIL]["status"], stands[EMAIL]["point"]) == ("denied", "work@example.com")


async def test_channels_and_purposes_are_words_in_any_case_and_apart(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{**ANN, "phone": "+44 7700 900001"}])
    said = [
        a_consent("a", "granted", 10, customer_id="1", channel=" Email", purpose="Marketing "),
        a_consent("b", "denied", 11, customer_id="1", channel="SMS"),
        a_consent("c", "denied", 12, customer_id="1", purpose="profiling"),
    ]
    await take(connection, "consents", said)
    (stands,) = (await standing(connection)).values()
    assert {use: row["status"] for use, row in stands.items()} == {
        ("email", "marketing"): "granted",
        ("sms", "marketing"): "denied",
        ("email", "profiling"): "denied",
    }
    assert stands["sms", "marketing"]["point"] == "+447700900001"


@pytest.mark.parametrize(
    "spelling", ["Ann Doe <ann@example.com>", "mailto:ann@example.com", "ann@example.com."]
)
async def test_refusal_holds_however_its_address_is_written(
    connection: AsyncConnection, spelling: str
) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "consents", [a_consent("a", "granted", 10, customer_id="1")])
    await take(connection, "consents", [a_consent("b", "denied", 11, email=spelling)], source="pos")
    assert await statuses(connection) == ["denied"]
    await take(connection, "consents", [a_consent("c", "granted", 12, customer_id="1")])
    refused = an_unsubscription("m", 20, email=spelling)
    await take(connection, "messages", [refused], source="mail")
    assert await statuses(connection) == ["withdrawn"]


async def test_statement_that_would_hold_for_nobody_is_refused_with_what_to_do(
    connection: AsyncConnection,
) -> None:
    said = [
        a_consent("a", "denied", 10),
        a_consent("b", "denied", 10, email="ann at example"),
        a_consent("c", "denied", 10, phone="12", channel="sms"),
        a_consent("d", "denied", 10, customer_id="9"),
        a_consent("e", "denied", 10, phone="020 7946 0123", channel="sms"),
    ]
    applied = await take(connection, "consents", said)
    assert (applied.new, applied.refused) == (2, 3)
    events = [
        an_unsubscription("f", 20, email="ann at example"),
        an_unsubscription("g", 20, email="ann at example", kind="opened"),
        an_unsubscription("h", 20, channel="bluesky", handle="ann.example.com"),
    ]
    applied = await take(connection, "messages", events)
    assert (applied.new, applied.refused) == (2, 1)
    letters = await list_letters(connection, limit=10)
    assert [(one.key, one.path) for one in letters] == [
        ("a", "customer_id"),
        ("b", "email"),
        ("c", "phone"),
        ("f", "email"),
    ]
    assert all("Give customer_id, an email" in one.reason for one in letters)


async def test_refusal_whose_number_nobody_can_dial_stays_a_dead_letter_when_tried_again(
    connection: AsyncConnection,
) -> None:
    applied = await take(connection, "consents", [a_consent("c", "denied", 10, phone="12")])
    assert applied.refused == 1
    letters = await list_letters(connection, limit=10)

    def as_it_is(letter: DeadLetter) -> list[Delivery]:
        assert isinstance(letter.payload, dict)
        return [receive(letter.stream, letter.payload)]

    tried = await retry_letters(connection, letters, WORKSPACE, as_it_is)
    assert (tried.taken, [one.path for one in tried.refused.values()]) == (0, ["phone"])
    (letter,) = await list_letters(connection, limit=10)
    assert (letter.key, letter.attempts) == ("c", 2)


async def test_refusal_holds_under_every_spelling_of_its_channel(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    said = [
        a_consent("a", "granted", 10, customer_id="1"),
        a_consent("b", "denied", 11, customer_id="1", channel="E-Mail"),
    ]
    await take(connection, "consents", said)
    assert await statuses(connection) == ["denied"]
    await take(connection, "consents", [a_consent("c", "granted", 12, customer_id="1")])
    assert await statuses(connection) == ["granted"]
    refused = an_unsubscription("m", 20, email="ann@example.com", channel="e_mail")
    await take(connection, "messages", [refused], source="newsletter")
    assert await statuses(connection) == ["withdrawn"]


async def test_who_said_nothing_has_not_consented(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN])
    opened = {**an_unsubscription("m", 1, customer_id="1"), "kind": "opened"}
    await take(connection, "messages", [opened])
    assert await standing(connection) == {}


@pytest.mark.parametrize("kind", ["unsubscribed", "complained"])
async def test_message_withdraws_marketing_on_its_channel_and_nothing_else(
    connection: AsyncConnection, kind: str
) -> None:
    await take(connection, "customers", [ANN])
    said = [
        a_consent(purpose, "granted", 10, customer_id="1", purpose=purpose)
        for purpose in ("marketing", "service")
    ]
    await take(
        connection,
        "consents",
        [*said, a_consent("s", "granted", 10, customer_id="1", channel="sms")],
    )
    refused = {**an_unsubscription("m", 20, email="ann@example.com"), "kind": kind}
    await take(connection, "messages", [{**refused, "channel": "Email"}], source="newsletter")
    (stands,) = (await standing(connection)).values()
    assert stands[EMAIL]["status"] == "withdrawn"
    assert stands[EMAIL]["event"] == kind
    assert stands["email", "service"]["status"] == "granted"
    assert stands["sms", "marketing"]["status"] == "granted"


async def test_grant_after_an_unsubscription_holds_again(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "messages", [an_unsubscription("m", 10, customer_id="1")])
    assert await statuses(connection) == ["withdrawn"]
    again = a_consent("a", "granted", 20, email="ann@example.com")
    await take(connection, "consents", [again], source="newsletter")
    assert await statuses(connection) == ["granted"]


async def test_what_has_not_happened_yet_counts_for_nothing(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN])
    said = [
        a_consent("a", "granted", 10, customer_id="1"),
        a_consent("b", "denied", 101, customer_id="1"),
    ]
    await take(connection, "consents", said)
    assert await statuses(connection) == ["granted"]


async def test_denial_of_a_customer_not_seen_yet_holds_for_who_bears_the_address(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    waiting = a_consent("a", "denied", 10, customer_id="unseen", email="ann@example.com")
    await take(connection, "consents", [waiting], source="newsletter")
    assert await statuses(connection) == ["denied"]


# Who speaks for whom --------------------------------------------------------------------------

BOB = {"id": "2", "first_name": "Bob", "last_name": "Poe", "email": "ann@example.com"}


async def test_denial_holds_for_all_who_bear_the_address_and_a_grant_for_who_gave_it(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN, BOB])
    await take(connection, "consents", [a_consent("a", "granted", 10, customer_id="1")])
    assert await statuses(connection) == ["granted"]  # Bob has said nothing
    await take(connection, "consents", [a_consent("b", "denied", 20, customer_id="2")])
    assert await statuses(connection) == ["denied", "denied"]


async def test_nobody_else_takes_back_what_a_customer_denied(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN, BOB])
    await take(connection, "consents", [a_consent("b", "denied", 10, customer_id="2")])
    await take(connection, "consents", [a_consent("a", "granted", 20, customer_id="1")])
    assert await statuses(connection) == ["granted", "denied"]


# Deletes --------------------------------------------------------------------------------------


async def test_denial_outlives_its_profile_and_its_record_and_a_grant_does_not(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN, {"id": "3", "phone": "+447700900003"}])
    said = [
        a_consent("a", "denied", 10, customer_id="1"),
        a_consent("b", "granted", 10, customer_id="3", channel="sms"),
    ]
    await take(connection, "consents", said)
    for key in ("1", "3"):
        await drop(connection, Deleted("customers", key, NOW))
    ((_, stands),) = (await standing(connection)).items()
    assert stands[EMAIL]["status"] == "denied"
    await drop(connection, Deleted("consents", "a", NOW))
    assert await statuses(connection) == ["denied"]


async def test_denial_of_a_deleted_profile_holds_for_one_that_comes_with_its_address(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "consents", [a_consent("a", "denied", 10, customer_id="1")])
    await drop(connection, Deleted("customers", "1", NOW))
    fresh = {**ANN, "id": "9", "first_name": "Zoe", "last_name": "Roe"}
    await take(connection, "customers", [fresh], source="till")
    assert await statuses(connection) == ["denied", "denied"]


async def test_grant_of_an_address_that_its_profile_has_given_up_counts_no_more(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{**ANN, "updated_at": day(1)}])
    said = a_consent("a", "granted", 10, customer_id="1", email="ann@example.com")
    await take(connection, "consents", [said])
    assert await statuses(connection) == ["granted"]
    moved = {**ANN, "email": "new@example.com", "updated_at": day(20)}
    await take(connection, "customers", [moved])
    assert await standing(connection) == {}


@pytest.mark.parametrize("status", ["denied", "granted"])
async def test_older_file_read_again_takes_nothing_back(
    connection: AsyncConnection, status: str
) -> None:
    await take(connection, "customers", [ANN])
    older = a_consent("a", "granted" if status == "denied" else "denied", 10, customer_id="1")
    newer = a_consent("a", status, 20, customer_id="1")
    for row in (older, newer, older):
        await take(connection, "consents", [row])
    assert await statuses(connection) == [status]


@pytest.mark.parametrize("order", [("granted", "denied"), ("denied", "granted")])
async def test_of_one_moment_the_denial_counts(
    connection: AsyncConnection, order: Sequence[str]
) -> None:
    await take(connection, "customers", [ANN])
    for status in order:
        await take(connection, "consents", [a_consent("a", status, 10, customer_id="1")])
    assert await statuses(connection) == ["denied"]


# Splits ---------------------------------------------------------------------------------------


async def test_after_a_split_each_side_keeps_its_own_and_a_shared_address_stays_denied(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "customers", [ANN], source="till")
    said = [
        a_consent("a", "denied", 10, customer_id="1"),
        a_consent("b", "granted", 10, customer_id="1", channel="push"),
    ]
    await take(connection, "consents", said, source="till")
    profile = tables.source_profile
    rows = await connection.execute(
        select(profile.c.id, profile.c.customer_id).order_by(profile.c.id)
    )
    (first, customer_id), (second, _) = rows.all()
    author = Author("local", "They are two.")
    await split_customer(
        connection, CustomerId(customer_id), [ProfileId(second)], author, WORKSPACE
    )
    stands = await standing(connection)
    assert {use: row["status"] for use, row in stands[first].items()} == {EMAIL: "denied"}
    assert {use: row["status"] for use, row in stands[second].items()} == {
        EMAIL: "denied",
        ("push", "marketing"): "granted",
    }


# The platform's own statements ----------------------------------------------------------------


def a_statement(
    status: ConsentStatus,
    contact_point: ContactPoint | None = None,
    profile_id: int | None = None,
    evidence: str | None = None,
) -> Statement:
    """Of marketing by email, as a person may spell it."""
    return Statement(
        channel="Email",
        purpose=" marketing",
        status=status,
        actor="desk",
        at=NOW,
        contact_point=contact_point,
        evidence=evidence,
        profile_id=None if profile_id is None else ProfileId(profile_id),
    )


async def test_recorded_consent_is_a_record_of_the_platform_on_the_earliest_profile(
    connection: AsyncConnection,
) -> None:
    for source in ("shop", "till"):
        await take(connection, "customers", [ANN], source=source)
    said = a_statement(ConsentStatus.WITHDRAWN, evidence="Told us by telephone.")
    first = await connection.scalar(select(func.min(tables.source_profile.c.id)))
    assert first is not None
    recorded = await record_consent(connection, CustomerId(first), said)
    assert recorded.profile_id == first
    assert await record_consent(connection, CustomerId(first), said) == recorded
    row = (await connection.execute(select(tables.consent))).mappings().one()
    assert (row["channel"], row["purpose"], row["evidence"]) == (*EMAIL, "Told us by telephone.")
    assert (row["attributes"], row["customer_id"]) == ({"actor": "desk"}, None)
    assert await statuses(connection) == ["withdrawn"]
    assert "platform" not in [each.name for each in await list_sources(connection)]
    with pytest.raises(BadInput, match="calls itself"):
        await add_source(connection, "platform", "file", {})


async def test_a_statement_of_one_key_is_recorded_once_whenever_it_is_said_again(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    await take(connection, "customers", [{"id": "7", "full_name": "Bob Cook"}], source="till")
    ids = await connection.scalars(select(tables.customer.c.id).order_by(tables.customer.c.id))
    ann, bob = map(CustomerId, ids)
    said = replace(a_statement(ConsentStatus.GRANTED), key="form 17", is_dated=False)
    recorded = await record_consent(connection, ann, said)
    later = replace(said, at=NOW + timedelta(hours=1), actor="another desk")
    assert await record_consent(connection, ann, later) == recorded
    stored = select(tables.consent.c.recorded_at)
    assert (await connection.scalars(stored)).all() == [NOW]
    for customer_id, other in (
        (bob, said),
        (ann, replace(said, status=ConsentStatus.DENIED)),
        (ann, replace(said, evidence="Call 17")),
        (ann, replace(later, is_dated=True)),
    ):
        with pytest.raises(KeyReused):
            await record_consent(connection, customer_id, other)
    await record_consent(connection, ann, replace(later, key="form 18"))
    assert len((await connection.scalars(stored)).all()) == 2
    with pytest.raises(BadInput, match="1 to 200 characters"):
        replace(said, key=" ")


async def test_recorded_consent_goes_to_the_profile_that_bears_the_contact_point(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{**ANN, "loyalty_card": "A"}])
    other = {"id": "7", "email": "work@example.com", "loyalty_card": "A"}
    await take(connection, "customers", [other], source="till")
    profile = tables.source_profile
    first, second = (
        await connection.execute(select(profile.c.id).order_by(profile.c.id))
    ).scalars()
    point = read_contact_point(" Work@Example.com ", "GB")
    granted = a_statement(ConsentStatus.GRANTED, contact_point=point)
    # The id of the one who was merged leads to the survivor.
    assert (await record_consent(connection, CustomerId(second), granted)).profile_id == second
    named = a_statement(ConsentStatus.GRANTED, contact_point=point, profile_id=first)
    assert (await record_consent(connection, CustomerId(first), named)).profile_id == first
    (stands,) = (await standing(connection)).values()
    assert (stands[EMAIL]["status"], stands[EMAIL]["point"]) == ("granted", "work@example.com")


async def test_grant_for_a_foreign_contact_point_is_refused_and_a_denial_is_taken(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [ANN])
    ann = await connection.scalar(select(tables.source_profile.c.id))
    assert ann is not None
    point = ContactPoint("email", "old@example.com")
    granted = a_statement(ConsentStatus.GRANTED, contact_point=point)
    with pytest.raises(BadInput) as refusal:
        await record_consent(connection, CustomerId(ann), granted)
    assert refusal.value.path == "contactPoint"
    denied = a_statement(ConsentStatus.DENIED, contact_point=point)
    await record_consent(connection, CustomerId(ann), denied)
    assert await statuses(connection) == ["denied"]


async def test_what_cannot_be_recorded_is_refused_at_its_place(connection: AsyncConnection) -> None:
    await take(connection, "customers", [ANN])
    ann = await connection.scalar(select(tables.source_profile.c.id))
    assert ann is not None
    with pytest.raises(NotFound):
        await record_consent(connection, CustomerId(ann + 1), a_statement(ConsentStatus.DENIED))
    for said, path in (
        (a_statement(ConsentStatus.DENIED, profile_id=ann + 1), "sourceProfileId"),
        (a_statement(ConsentStatus.DENIED, evidence="x" * 10_001), "evidence"),
    ):
        with pytest.raises(BadInput) as refusal:
            await record_consent(connection, CustomerId(ann), said)
        assert refusal.value.path == path
    silent = Statement("email", "  ", ConsentStatus.DENIED, "desk", NOW)
    with pytest.raises(BadInput, match="purpose is empty"):
        await record_consent(connection, CustomerId(ann), silent)
    with pytest.raises(BadInput, match="neither an email address nor a phone number"):
        read_contact_point("ann at example", "GB")
