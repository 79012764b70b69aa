"""Facts beside buying: messages, tickets, feedback and subscriptions, as they count."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.database import Database
from cdp.deciding import Author
from cdp.delivery import Deleted
from cdp.query import present
from cdp.rebuild import rebuild
from cdp.refresh import refresh_due
from cdp.stewardship import merge_customers
from cdp.tables import ACTIVITY_COLUMNS
from cdp.traits.catalog import CATALOG
from tests.cdp.ingesting import WORKSPACE, Row, customers, drop, take

pytestmark = pytest.mark.anyio

AT = "2024-03-01T10:00:00Z"
LATER = "2024-03-02T10:00:00Z"


async def _traits(connection: AsyncConnection, group: str) -> dict[str, object]:
    """The traits of one group of the one customer there is, now."""
    now = await connection.scalar(select(func.now()))
    assert isinstance(now, datetime)
    scope = present(now, WORKSPACE)
    traits = next(one for one in CATALOG if one.name == group).traits
    row = (await connection.execute(select(*(one(scope) for one in traits)))).one()
    return dict(zip((one.name for one in traits), row, strict=True))


def _events(*events: tuple[str, str], at: str = AT) -> list[Row]:
    """Messages as (message, kind), to one address."""
    return [
        {"id": f"{message}-{kind}", "message_id": message, "kind": kind, "channel": "email",
         "email": "a@example.com", "occurred_at": at}
        for message, kind in events
    ]  # fmt: skip


async def test_a_message_opened_twice_counts_once_and_rates_are_per_message_delivered(
    connection: AsyncConnection,
) -> None:
    sent = _events(("1", "sent"), ("2", "sent"), ("3", "sent"), ("4", "sent"))
    arrived = _events(("1", "delivered"), ("2", "delivered"), ("3", "bounced"))
    opened = [*_events(("1", "opened")), {**_events(("1", "opened"))[0], "id": "again"}]
    await take(connection, "messages", [*sent, *arrived, *opened])
    found = await _traits(connection, "engagement")
    assert (found["messages_sent"], found["messages_delivered"]) == (4, 2)
    assert (found["open_rate"], found["click_rate"]) == (Decimal("0.5"), 0)


async def test_where_a_source_tells_no_delivery_what_did_not_bounce_was_delivered(
    connection: AsyncConnection,
) -> None:
    await take(connection, "messages", _events(*((str(n), "sent") for n in range(5))))
    await take(connection, "messages", _events(("0", "bounced"), ("1", "clicked"), at=LATER))
    found = await _traits(connection, "engagement")
    assert (found["messages_delivered"], found["click_rate"]) == (4, Decimal("0.25"))
    assert found["last_engaged_at"] == datetime.fromisoformat(LATER)


async def test_a_message_that_was_opened_has_arrived_whatever_else_is_told_of_it(
    connection: AsyncConnection,
) -> None:
    opened = _events(("1", "bounced"), ("1", "opened"), ("2", "opened"))
    await take(connection, "messages", opened)
    found = await _traits(connection, "engagement")
    assert (found["messages_delivered"], found["open_rate"], found["open_points"]) == (2, 1, 25)


async def test_whether_a_source_tells_of_deliveries_is_asked_of_the_source_not_of_the_customer(
    connection: AsyncConnection,
) -> None:
    silent, told = _events(("1", "sent"), ("2", "sent")), _events(("3", "delivered"))
    await take(connection, "messages", silent)
    elsewhere = _events(("4", "sent"))
    await take(connection, "messages", elsewhere, source="post")
    assert {row["messages_delivered"] for row in await customers(connection)} == {2 + 1}
    other = [{**row, "email": "b@example.com"} for row in told]
    await take(connection, "messages", other)
    counts = [row["messages_delivered"] for row in await customers(connection)]
    assert counts == [1, 1]
    await rebuild(connection, WORKSPACE)
    assert [row["messages_delivered"] for row in await customers(connection)] == counts
    await drop(connection, Deleted("messages", "3-delivered", datetime.fromisoformat(LATER)))
    assert [row["messages_delivered"] for row in await customers(connection)] == [1, 0]


async def test_the_score_is_the_sum_of_its_parts_and_decays_with_silence(
    connection: AsyncConnection,
) -> None:
    now = await connection.scalar(select(func.now()))
    assert isinstance(now, datetime)
    ago = (now - timedelta(days=60)).isoformat()
    await take(connection, "messages", _events(("1", "delivered"), ("1", "opened"), at=ago))
    found = await _traits(connection, "engagement")
    assert (found["recency_points"], found["open_points"]) == (20, 25)
    assert (found["score"], getattr(found["level"], "value", None)) == (45, "MEDIUM")


async def test_a_sign_of_life_of_centuries_ago_leaves_a_score(connection: AsyncConnection) -> None:
    await take(
        connection,
        "messages",
        _events(("1", "delivered"), ("1", "opened"), at="1850-01-02T10:00:00Z"),
    )
    found = await _traits(connection, "engagement")
    assert (found["recency_points"], found["open_points"], found["score"]) == (0, 25, 25)


async def test_who_was_only_written_to_has_never_engaged(connection: AsyncConnection) -> None:
    await take(connection, "messages", _events(("1", "delivered")))
    found = await _traits(connection, "engagement")
    assert (found["score"], getattr(found["level"], "value", None)) == (0, "NONE")


async def test_who_was_never_written_to_has_no_points_for_opening_or_clicking(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{"id": "1", "first_name": "Ann"}])
    found = await _traits(connection, "engagement")
    assert (found["click_rate"], found["open_rate"]) == (None, None)
    assert (found["click_points"], found["open_points"], found["score"]) == (0, 0, 0)


async def test_tickets_count_open_ones_and_medians_of_hours(connection: AsyncConnection) -> None:
    def ticket(number: int, **more: str) -> Row:
        return {"id": str(number), "email": "a@example.com", "opened_at": AT, **more}

    await take(
        connection,
        "tickets",
        [
            ticket(1, first_response_at="2024-03-01T11:00:00Z", resolved_at="2024-03-02T10:00:00Z"),
            ticket(2, first_response_at="2024-03-01T13:00:00Z"),
            ticket(3, status="Closed"),
        ],
    )
    assert await _traits(connection, "service") == {
        "ticket_count": 3,
        "open_tickets": 1,
        "median_first_response_hours": 2,
        "median_resolution_hours": 24,
    }


async def test_a_case_that_was_opened_again_is_open_and_not_resolved(
    connection: AsyncConnection,
) -> None:
    """Its status has the last word; one that says neither leaves it to the resolution."""

    def ticket(status: str | None, hours: int) -> Row:
        case = {"id": str(status), "email": "a@example.com", "status": status, "opened_at": AT}
        return {**case, "resolved_at": f"2024-03-01T{10 + hours}:00:00Z"}

    rows = [ticket("Open", 1), ticket("pending", 2), ticket("billing", 5), ticket(None, 7)]
    await take(connection, "tickets", [*rows, ticket("SOLVED", 9)])
    found = await _traits(connection, "service")
    assert (found["ticket_count"], found["open_tickets"]) == (5, 2)
    assert found["median_resolution_hours"] == 7
    before = {row["open_tickets"] for row in await customers(connection)}
    await rebuild(connection, WORKSPACE)
    assert {row["open_tickets"] for row in await customers(connection)} == before


async def test_an_answer_or_a_resolution_before_the_opening_is_in_no_median(
    connection: AsyncConnection,
) -> None:
    def ticket(number: int, hour: int) -> Row:
        at = f"2024-03-01T{hour:02}:00:00Z"
        case = {"id": str(number), "email": "a@example.com", "opened_at": AT, "status": "closed"}
        return {**case, "first_response_at": at, "resolved_at": at}

    await take(connection, "tickets", [ticket(1, 4)])
    found = await _traits(connection, "service")
    assert (found["median_first_response_hours"], found["median_resolution_hours"]) == (None, None)
    await take(connection, "tickets", [ticket(2, 13), ticket(3, 10)])
    found = await _traits(connection, "service")
    assert (found["median_first_response_hours"], found["median_resolution_hours"]) == (1.5, 1.5)


async def test_feedback_takes_the_latest_nps_and_means_on_one_scale(
    connection: AsyncConnection,
) -> None:
    def said(number: int, kind: str, score: int, at: str = AT, **more: int) -> Row:
        who = {"id": str(number), "email": "a@example.com", "given_at": at}
        return {**who, "kind": kind, "score": score, **more}

    await take(
        connection,
        "feedback",
        [
            said(1, "nps", 10),
            said(2, "nps", 7, LATER),
            said(3, "csat", 5),
            said(4, "csat", 6, scale=10),
            said(5, "review", 4),
            said(6, "ces", 6),
        ],
    )
    found = await _traits(connection, "feedback")
    assert getattr(found.pop("nps_category"), "value", None) == "PASSIVE"
    assert found == {"nps": 7, "csat": 4, "ces": 6, "review_count": 1, "average_rating": 4}


async def test_an_answer_on_a_longer_scale_is_rounded_once_before_it_has_a_category(
    connection: AsyncConnection,
) -> None:
    for number, (score, told) in enumerate({"86": 9, "85": 9, "84": 8, "64": 6}.items()):
        row = {"id": str(number), "email": "a@example.com", "kind": "nps", "scale": "100"}
        at = f"2024-03-01T10:00:0{number}Z"
        await take(connection, "feedback", [{**row, "score": score, "given_at": at}])
        found = await _traits(connection, "feedback")
        category = "PROMOTER" if told == 9 else "PASSIVE" if told == 8 else "DETRACTOR"
        assert (found["nps"], getattr(found["nps_category"], "value", None)) == (told, category)


def _plan(number: int, **more: object) -> Row:
    usual = {"customer_id": "1", "status": "active", "started_at": AT, "currency": "EUR"}
    return {"id": str(number), **usual, "amount": "12", "interval": "month", **more}


async def test_subscriptions_bring_their_value_a_month_while_they_are_paid_for(
    connection: AsyncConnection,
) -> None:
    await take(connection, "customers", [{"id": "1"}])
    await take(
        connection,
        "subscriptions",
        [
            _plan(1, renews_at="2050-01-01T00:00:00Z"),
            _plan(2, amount="60", interval="year"),
            _plan(3, status="trialing"),
            _plan(4, status="cancelled", cancelled_at=LATER),
        ],
    )
    found = await _traits(connection, "subscription")
    assert (found["active"], found["monthly_value"]) == (3, 17)
    assert found["started_at"] == datetime.fromisoformat(AT)
    assert found["cancelled_at"] == datetime.fromisoformat(LATER)
    assert getattr(found["renews_at"], "year", None) == 2050


async def test_a_rate_that_comes_later_prices_a_subscription(connection: AsyncConnection) -> None:
    await take(connection, "customers", [{"id": "1"}])
    await take(connection, "subscriptions", [_plan(1, currency="USD", amount="10")])
    assert (await _traits(connection, "subscription"))["monthly_value"] == 0
    rate = {"on": "2024-03-01", "currency": "USD", "base": "EUR", "rate": "0.9"}
    await take(connection, "exchange_rates", [rate])
    assert (await _traits(connection, "subscription"))["monthly_value"] == 9


async def test_what_is_deleted_or_changed_is_folded_anew(connection: AsyncConnection) -> None:
    await take(connection, "messages", _events(("1", "delivered"), ("1", "opened")))
    gone = datetime.fromisoformat("2025-01-01T00:00:00Z")
    await drop(connection, Deleted("messages", "1-opened", gone))
    assert (await _traits(connection, "engagement"))["open_rate"] == 0


async def test_a_merge_folds_what_both_did_and_a_rebuild_changes_nothing(
    connection: AsyncConnection,
) -> None:
    people = [{"id": "1", "email": "a@example.com"}, {"id": "2", "email": "b@example.com"}]
    await take(connection, "customers", people)
    await take(connection, "messages", _events(("1", "delivered")))
    other = [{**row, "id": f"b{row['id']}", "message_id": "b", "email": "b@example.com"}
             for row in _events(("1", "delivered"), ("1", "opened"))]  # fmt: skip
    await take(connection, "messages", other)
    ids = [row["id"] for row in await customers(connection)]
    await merge_customers(connection, ids, Author("ann", "One person."), WORKSPACE)
    found = await _traits(connection, "engagement")
    assert (found["messages_delivered"], found["open_rate"]) == (2, Decimal("0.5"))
    names = [column.name for column in ACTIVITY_COLUMNS]
    before = [[row[name] for name in names] for row in await customers(connection)]
    await rebuild(connection, WORKSPACE)
    assert [[row[name] for name in names] for row in await customers(connection)] == before


async def test_what_happens_tomorrow_counts_from_tomorrow(database: Database) -> None:
    async with database.transaction() as connection:
        soon = await connection.scalar(select(func.now() + timedelta(seconds=0.2)))
        assert isinstance(soon, datetime)
        await take(connection, "messages", _events(("1", "sent"), at=soon.isoformat()))
        assert (await _traits(connection, "engagement"))["messages_sent"] == 0
        due = await connection.scalar(select(tables.customer.c.activity_change_at))
        assert due == soon
    async with database.transaction() as connection:
        await connection.execute(select(func.pg_sleep(0.3)))
    assert await refresh_due(database, WORKSPACE) == 1
    async with database.transaction() as connection:
        assert (await _traits(connection, "engagement"))["messages_sent"] == 1
