"""Faults come at their rates, the same ones each time, and over a real socket."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.server import serving
from connectors.sandbox.state import Bounds, Faults, SortedIndex, Turn

pytestmark = pytest.mark.anyio

HEADERS = {"Authorization": "Klaviyo-API-Key pk_test", "revision": "2026-07-15"}
START = datetime(2026, 1, 1, tzinfo=UTC)


def an_account(faults: Faults, profiles: int = 3) -> KlaviyoSandbox:
    account = KlaviyoSandbox(api_key="pk_test", faults=faults)
    for number in range(profiles):
        moment = (START + timedelta(minutes=number)).isoformat()
        attributes: dict[str, object] = {"created": moment, "updated": moment}
        profile: dict[str, object] = {
            "type": "profile",
            "id": f"P{number:05d}",
            "attributes": attributes,
        }
        account.put("profiles", profile)
    return account


async def outcomes(faults: Faults, requests: int = 60) -> list[str]:
    account = an_account(faults)
    transport = httpx.ASGITransport(account.app)
    found = []
    async with httpx.AsyncClient(transport=transport, base_url="http://k.example.com") as client:
        for _ in range(requests):
            response = await client.get("/api/profiles", headers=HEADERS)
            try:
                response.json()
                found.append(str(response.status_code))
            except json.JSONDecodeError:
                found.append("truncated")
    assert account.requests.total == requests
    assert account.requests.faults["server_error"] == found.count("500")
    assert account.requests.faults["truncated"] == found.count("truncated")
    return found


async def test_same_seed_gives_the_same_faults_and_another_seed_others() -> None:
    faults = Faults(seed=7, server_error_rate=0.2, truncated_rate=0.2, throttle=False)
    first = await outcomes(faults)
    assert set(first) == {"200", "500", "truncated"}
    assert await outcomes(faults) == first
    other = Faults(seed=8, server_error_rate=0.2, truncated_rate=0.2, throttle=False)
    assert await outcomes(other) != first


async def test_one_rate_does_not_shift_the_faults_of_another() -> None:
    few = await outcomes(Faults(seed=3, server_error_rate=0.3, throttle=False))
    more = await outcomes(Faults(seed=3, server_error_rate=0.3, truncated_rate=0.5, throttle=False))
    assert [o == "500" for o in few] == [o == "500" for o in more]


async def test_emulator_is_served_over_a_real_socket_and_stops() -> None:
    account = an_account(Faults(throttle=False), profiles=250)
    async with serving(account.app) as url:
        async with httpx.AsyncClient(headers=HEADERS) as client:
            body = (await client.get(f"{url}/api/profiles?page[size]=100")).json()
            pages = [body]
            while pages[-1]["links"]["next"]:
                pages.append((await client.get(pages[-1]["links"]["next"])).json())
        assert [len(page["data"]) for page in pages] == [100, 100, 50]
    async with httpx.AsyncClient(headers=HEADERS) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/api/profiles")


async def test_two_emulators_are_served_at_once() -> None:
    one, other = an_account(Faults(), profiles=1), an_account(Faults(), profiles=2)
    async with (
        serving(one.app) as first,
        serving(other.app) as second,
        httpx.AsyncClient(headers=HEADERS) as client,
    ):
        sizes = [
            len((await client.get(f"{url}/api/profiles")).json()["data"]) for url in (first, second)
        ]
    assert sizes == [1, 2]


def test_index_keeps_its_order_through_many_additions_and_removals() -> None:
    index = SortedIndex()
    for number in range(500):
        index.add((number * 7919 % 500, str(number)))
    walked = list(index.walk(Bounds(), Turn(limit=1000)))
    assert walked == sorted(walked)
    for entry in walked[::2]:
        index.discard(entry)
    index.add((100, "late"))
    rest = list(index.walk(Bounds(low=100, high=101), Turn(limit=1000)))
    assert rest == sorted([(100, "late"), *[e for e in walked[1::2] if e[0] in {100, 101}]])
    assert list(index.walk(Bounds(low=100, high=101), Turn(limit=9, descending=True))) == rest[::-1]
