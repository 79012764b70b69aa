"""The Klaviyo emulator behaves as Klaviyo's OpenAPI description says."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.state import NO_FAULTS, Faults

pytestmark = pytest.mark.anyio

# A vendor's answer; the tests look into it.
Json = Any

KEY = "pk_test"
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time set."""
        return self.now


def at(minute: int) -> str:
    return (START + timedelta(minutes=minute)).isoformat()


def a_profile(number: int, minute: int | None = None) -> dict[str, object]:
    return {
        "type": "profile",
        "id": f"01P{number:04d}",
        "attributes": {
            "email": f"cleo{number}@example.com",
            "first_name": "Cleo",
            "created": at(0),
            "updated": at(number if minute is None else minute),
            "subscriptions": {"email": {"marketing": {"consent": "SUBSCRIBED"}}},
        },
    }


def an_event(number: int) -> dict[str, object]:
    return {
        "type": "event",
        "id": f"E{number:04d}",
        "attributes": {
            "timestamp": int((START + timedelta(minutes=number)).timestamp()),
            "datetime": at(number),
            "event_properties": {"Campaign Name": "Spring"},
            "uuid": f"u{number}",
        },
        "relationships": {
            "profile": {"data": {"type": "profile", "id": "01P0001"}},
            "metric": {"data": {"type": "metric", "id": "OPENED"}},
        },
    }


def an_account(
    profiles: int = 0, events: int = 0, faults: Faults = NO_FAULTS, clock: Clock | None = None
) -> KlaviyoSandbox:
    account = KlaviyoSandbox(api_key=KEY, faults=faults, clock=clock or Clock())
    metric = {"name": "Opened Email", "created": at(0), "updated": at(0)}
    account.put("metrics", {"type": "metric", "id": "OPENED", "attributes": metric})
    for number in range(1, profiles + 1):
        account.put("profiles", a_profile(number))
    for number in range(1, events + 1):
        account.put("events", an_event(number))
    return account


HEADERS = {"Authorization": f"Klaviyo-API-Key {KEY}", "revision": "2026-07-15"}


async def fetch(
    account: KlaviyoSandbox,
    url: str,
    headers: dict[str, str],
    params: dict[str, str] | None = None,
) -> httpx.Response:
    transport = httpx.ASGITransport(account.app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://klaviyo.example.com"
    ) as client:
        return await client.get(url, params=params or None, headers=headers)


async def get(account: KlaviyoSandbox, url: str, **params: str) -> httpx.Response:
    return await fetch(account, url, HEADERS, params)


async def ask(account: KlaviyoSandbox, url: str, **params: str) -> Json:
    response = await get(account, url, **params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/vnd.api+json"
    return response.json()


async def listed(account: KlaviyoSandbox, url: str, **params: str) -> list[str]:
    body = await ask(account, url, **params)
    found = [item["id"] for item in body["data"]]
    while body["links"]["next"] is not None:
        body = await ask(account, body["links"]["next"])
        found += [item["id"] for item in body["data"]]
        assert len(found) < 5000
    return found


async def error_of(account: KlaviyoSandbox, url: str, **params: str) -> Json:
    response = await get(account, url, **params)
    assert response.status_code in {400, 404}, response.text
    (error,) = response.json()["errors"]
    assert set(error) >= {"id", "status", "code", "title", "detail"}
    return error


@pytest.mark.parametrize(
    ("header", "code"),
    [("Bearer x", "not_authenticated"), ("Klaviyo-API-Key x", "authentication_failed")],
)
async def test_wrong_key_is_401(header: str, code: str) -> None:
    headers = {"Authorization": header, "revision": "2026-07-15"}
    response = await fetch(an_account(), "/api/profiles", headers)
    assert response.status_code == 401
    assert response.json()["errors"][0]["code"] == code


async def test_revision_header_is_obligatory() -> None:
    headers = {"Authorization": f"Klaviyo-API-Key {KEY}"}
    assert (await fetch(an_account(), "/api/profiles", headers)).status_code == 400


async def test_updated_is_compared_by_greater_than_alone() -> None:
    account = an_account(5)
    found = await listed(
        account, "/api/profiles", filter=f"greater-than(updated,{at(3)})", sort="updated"
    )
    assert found == ["01P0004", "01P0005"]
    error = await error_of(account, "/api/profiles", filter=f"greater-or-equal(updated,{at(3)})")
    assert error["source"] == {"parameter": "filter"}


async def test_next_link_keeps_every_parameter() -> None:
    account = an_account(7)
    found = await listed(
        account,
        "/api/profiles",
        **{
            "filter": f"greater-than(updated,{at(1)}),less-than(updated,{at(7)})",
            "sort": "-updated",
            "page[size]": "2",
        },
    )
    assert found == [f"01P000{n}" for n in (6, 5, 4, 3, 2)]


async def test_subscriptions_are_shown_only_when_asked_for() -> None:
    account = an_account(1)
    (plain,) = (await ask(account, "/api/profiles"))["data"]
    assert "subscriptions" not in plain["attributes"]
    params = {"additional-fields[profile]": "subscriptions"}
    (full,) = (await ask(account, "/api/profiles", **params))["data"]
    assert full["attributes"]["subscriptions"]["email"]["marketing"]["consent"] == "SUBSCRIBED"
    assert full["links"]["self"].endswith("/api/profiles/01P0001/")


async def test_sparse_fieldset_shows_only_its_fields() -> None:
    (profile,) = (await ask(an_account(1), "/api/profiles", **{"fields[profile]": "email"}))["data"]
    assert profile["attributes"] == {"email": "cleo1@example.com"}


@pytest.mark.parametrize(("url", "size"), [("/api/profiles", "101"), ("/api/events", "1001")])
async def test_page_size_above_the_operations_maximum_is_refused(url: str, size: str) -> None:
    await error_of(an_account(), url, **{"page[size]": size})


async def test_events_include_their_metric_and_profile_once() -> None:
    account = an_account(2, events=3)
    body = await ask(
        account,
        "/api/events",
        filter=f"greater-or-equal(datetime,{at(2)})",
        sort="datetime",
        include="metric,profile",
    )
    assert [event["id"] for event in body["data"]] == ["E0002", "E0003"]
    assert [(item["type"], item["id"]) for item in body["included"]] == [
        ("metric", "OPENED"),
        ("profile", "01P0001"),
    ]


async def test_events_come_newest_first_by_default_and_filter_by_metric() -> None:
    account = an_account(1, events=3)
    assert await listed(account, "/api/events") == ["E0003", "E0002", "E0001"]
    assert await listed(account, "/api/events", filter='equals(metric_id,"OTHER")') == []


async def test_campaigns_need_a_channel() -> None:
    account = an_account()
    for number, channel in enumerate(("email", "sms")):
        attributes: dict[str, object] = {
            "name": "Spring",
            "status": "Sent",
            "channel": channel,
            "created_at": at(number),
            "updated_at": at(number),
        }
        campaign: dict[str, object] = {
            "type": "campaign",
            "id": f"C{number}",
            "attributes": attributes,
        }
        account.put("campaigns", campaign)
    await error_of(account, "/api/campaigns")
    (found,) = (await ask(account, "/api/campaigns", filter="equals(messages.channel,'email')"))[
        "data"
    ]
    assert found["id"] == "C0"
    assert "channel" not in found["attributes"]


async def test_metrics_take_no_page_size() -> None:
    account = an_account()
    assert await listed(account, "/api/metrics") == ["OPENED"]
    await error_of(account, "/api/metrics", **{"page[size]": "10"})


async def test_deleted_profile_is_gone_and_404() -> None:
    account = an_account(2)
    account.delete("profiles", "01P0001", START)
    assert await listed(account, "/api/profiles") == ["01P0002"]
    error = await error_of(account, "/api/profiles/01P0001")
    assert (error["status"], error["code"]) == (404, "not_found")


async def test_burst_and_steady_windows_both_refuse() -> None:
    clock = Clock()
    account = an_account(clock=clock)
    statuses = [(await get(account, "/api/metrics")).status_code for _ in range(11)]
    assert statuses == [200] * 10 + [429]
    refused = await get(account, "/api/metrics")
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["errors"][0]["code"] == "throttled"
    assert "RateLimit-Remaining" not in refused.headers
    for _ in range(14):
        clock.now += timedelta(seconds=1)
        for _ in range(10):
            served = await get(account, "/api/metrics")
            assert served.status_code == 200
    assert served.headers["RateLimit-Limit"] == "150"
    assert served.headers["RateLimit-Remaining"] == "0"
    clock.now += timedelta(seconds=1)
    refused = await get(account, "/api/metrics")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) == 45


async def test_each_operation_has_its_own_budget() -> None:
    account = an_account(1)
    for _ in range(11):
        await get(account, "/api/metrics")
    assert (await get(account, "/api/profiles")).status_code == 200
    predictive = {"additional-fields[profile]": "predictive_analytics"}
    served = await get(account, "/api/profiles", **predictive)
    assert served.headers["RateLimit-Limit"] == "150"


async def test_profile_updated_during_the_scan_is_seen_again_at_its_end() -> None:
    account = an_account(4)
    first = await ask(account, "/api/profiles", **{"sort": "updated", "page[size]": "2"})
    account.put("profiles", a_profile(1, minute=99))
    rest = await ask(account, first["links"]["next"])
    assert [p["id"] for p in rest["data"]] == ["01P0003", "01P0004"]
    assert await listed(account, rest["links"]["next"]) == ["01P0001"]


async def test_duplicate_fault_repeats_a_profile_across_the_page_boundary() -> None:
    account = an_account(4, faults=Faults(duplicate_rate=1.0))
    found = await listed(account, "/api/profiles", **{"page[size]": "3"})
    assert found == ["01P0001", "01P0002", "01P0003", "01P0003", "01P0004"]
