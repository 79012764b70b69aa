"""The Bluesky emulator behaves as the AT Protocol's lexicons and its PDS do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors.sandbox.bluesky import BRAND_DID, BlueskySandbox
from connectors.sandbox.state import NO_FAULTS, Faults

pytestmark = pytest.mark.anyio

# A vendor's answer; the tests look into it.
Json = Any
Query = str | int | list[str]

PASSWORD = "app-password"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
BRAND_POST = f"at://{BRAND_DID}/app.bsky.feed.post/3k0000000001"
NOTIFICATIONS = "app.bsky.notification.listNotifications"
FOLLOWERS = "app.bsky.graph.getFollowers"
RECORDS = "com.atproto.repo.listRecords"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Return the time set."""
        return self.now


def did(number: int) -> str:
    return f"did:plc:person{number:04d}"


def ago(minutes: float) -> str:
    moment = NOW - timedelta(minutes=minutes)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def a_record(
    author: str, collection: str, key: str, value: dict[str, object], minutes: float
) -> dict[str, object]:
    return {
        "uri": f"at://{author}/{collection}/{key}",
        "value": {"createdAt": ago(minutes)} | value,
        "indexedAt": ago(minutes),
    }


def a_follow(number: int, minutes: float, **value: object) -> dict[str, object]:
    follow = {"subject": BRAND_DID} | value
    return a_record(did(number), "app.bsky.graph.follow", "3kfollow", follow, minutes)


def a_network(
    people: int = 0, faults: Faults = NO_FAULTS, clock: Clock | None = None
) -> BlueskySandbox:
    network = BlueskySandbox(password=PASSWORD, faults=faults, clock=clock or Clock())
    for number in range(1, people + 1):
        profile = {"did": did(number), "handle": f"p{number}.example.com", "followersCount": 3}
        network.put("profiles", profile)
        network.put("follows", a_follow(number, minutes=1000 - number))
    return network


class Session:
    """A signed-in client."""

    def __init__(self, network: BlueskySandbox) -> None:
        self.network = network
        self.token = ""

    async def post(self, name: str, token: str = "", **body: str) -> httpx.Response:
        """Call a procedure."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(self.network.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://pds.example.com"
        ) as client:
            return await client.post(f"/xrpc/{name}", json=body or None, headers=headers)

    async def get(self, name: str, **params: Query) -> httpx.Response:
        """Call a query, signed in."""
        if not self.token:
            tokens = await self.sign_in()
            self.token = tokens["accessJwt"]
        headers = {"Authorization": f"Bearer {self.token}"}
        transport = httpx.ASGITransport(self.network.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://pds.example.com"
        ) as client:
            return await client.get(f"/xrpc/{name}", params=params, headers=headers)

    async def sign_in(self) -> Json:
        """Return new tokens."""
        name = "com.atproto.server.createSession"
        response = await self.post(name, identifier="brand.example.com", password=PASSWORD)
        assert response.status_code == 200
        return response.json()

    async def ask(self, name: str, **params: Query) -> Json:
        """Return a query's answer, which must be a good one."""
        response = await self.get(name, **params)
        assert response.status_code == 200, response.text
        return response.json()

    async def pages(self, name: str, part: str, **params: Query) -> list[list[Json]]:
        """Return all pages until there is no cursor."""
        found: list[list[Json]] = []
        for _ in range(100):
            body = await self.ask(name, **params)
            found.append(body[part])
            if "cursor" not in body:
                return found
            params["cursor"] = body["cursor"]
        raise AssertionError("the listing does not end")


async def test_wrong_password_is_401_authentication_required() -> None:
    session = Session(a_network())
    name = "com.atproto.server.createSession"
    response = await session.post(name, identifier="brand.example.com", password="other")
    assert response.status_code == 401
    assert response.json()["error"] == "AuthenticationRequired"


async def test_request_without_token_is_refused_and_records_are_public() -> None:
    network = a_network(1)
    transport = httpx.ASGITransport(network.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://pds.example.com") as client:
        refused = await client.get(f"/xrpc/{NOTIFICATIONS}")
        assert (refused.status_code, refused.json()["error"]) == (401, "AuthMissing")
        params = {"repo": did(1), "collection": "app.bsky.graph.follow"}
        assert (await client.get(f"/xrpc/{RECORDS}", params=params)).status_code == 200


async def test_expired_access_token_is_400_and_the_refresh_token_works_once() -> None:
    clock = Clock()
    session = Session(a_network(clock=clock))
    tokens = await session.sign_in()
    session.token = tokens["accessJwt"]
    clock.now += timedelta(hours=2)
    expired = await session.get(NOTIFICATIONS)
    assert (expired.status_code, expired.json()["error"]) == (400, "ExpiredToken")
    name = "com.atproto.server.refreshSession"
    fresh = (await session.post(name, token=tokens["refreshJwt"])).json()
    session.token = fresh["accessJwt"]
    assert (await session.get(NOTIFICATIONS)).status_code == 200
    again = await session.post(name, token=tokens["refreshJwt"])
    assert again.json()["error"] == "ExpiredToken"
    misused = await session.post(name, token=fresh["accessJwt"])
    assert misused.json()["error"] == "InvalidToken"


async def test_followers_are_listed_newest_first_with_their_profiles() -> None:
    session = Session(a_network(5))
    pages = await session.pages(FOLLOWERS, "followers", actor=BRAND_DID, limit=2)
    assert [f["did"] for page in pages for f in page] == [did(n) for n in (5, 4, 3, 2, 1)]
    assert pages[-1] == []
    assert "followersCount" not in pages[0][0]


async def test_a_clients_future_clock_does_not_move_a_follower() -> None:
    network = a_network(2)
    network.put("follows", a_follow(1, minutes=999, createdAt="2099-01-01T00:00:00Z"))
    body = await Session(network).ask(FOLLOWERS, actor="brand.example.com")
    assert [f["did"] for f in body["followers"]] == [did(2), did(1)]


async def test_everything_that_points_at_the_brand_notifies_it() -> None:
    network = a_network(1)
    strong = {"uri": BRAND_POST, "cid": "bafy"}
    post = "app.bsky.feed.post"
    network.put("likes", a_record(did(1), "app.bsky.feed.like", "3k1", {"subject": strong}, 50))
    network.put("reposts", a_record(did(1), "app.bsky.feed.repost", "3k2", {"subject": strong}, 40))
    mention = {
        "facets": [{"features": [{"$type": "app.bsky.richtext.facet#mention", "did": BRAND_DID}]}]
    }
    for key, minutes, more in (
        ("3k3", 30, {"reply": {"root": strong, "parent": strong}}),
        ("3k4", 20, {"embed": {"$type": "app.bsky.embed.record", "record": strong}}),
        ("3k5", 10, mention),
        ("3k6", 5, {}),
    ):
        network.put("posts", a_record(did(1), post, key, {"text": "hello", **more}, minutes))
    body = await Session(network).ask(NOTIFICATIONS)
    found = [(n["reason"], n.get("reasonSubject")) for n in body["notifications"]]
    assert found == [
        ("mention", None),
        ("quote", BRAND_POST),
        ("reply", BRAND_POST),
        ("repost", BRAND_POST),
        ("like", BRAND_POST),
        ("follow", None),
    ]
    only = await Session(network).ask(NOTIFICATIONS, reasons=["like", "follow"])
    assert [n["reason"] for n in only["notifications"]] == ["like", "follow"]


async def test_notification_order_follows_indexed_at_not_created_at() -> None:
    network = a_network(2)
    network.put("follows", a_follow(1, minutes=1, createdAt="2001-01-01T00:00:00Z"))
    (first, _) = (await Session(network).ask(NOTIFICATIONS))["notifications"]
    assert first["author"]["did"] == did(1)
    assert first["record"]["createdAt"] == "2001-01-01T00:00:00Z"


async def test_record_pages_give_a_cursor_on_the_last_full_page_too() -> None:
    network = a_network()
    for number in range(249):
        key = f"3k{number:04d}"
        post = a_record(BRAND_DID, "app.bsky.feed.post", key, {"text": "news"}, 300 - number)
        network.put("posts", post)
    session = Session(network)
    asked: dict[str, Query] = {
        "repo": "brand.example.com",
        "collection": "app.bsky.feed.post",
        "limit": 100,
    }
    pages = await session.pages(RECORDS, "records", **asked)
    assert [len(page) for page in pages] == [100, 100, 49, 0]
    assert pages[0][0]["uri"].endswith("3k0248")
    oldest = await session.ask(RECORDS, reverse="true", **asked)
    assert oldest["records"][0]["uri"].endswith("3k0000")
    assert oldest["records"][0]["value"]["$type"] == "app.bsky.feed.post"


async def test_at_most_25_profiles_are_shown_at_once() -> None:
    session = Session(a_network(26))
    name = "app.bsky.actor.getProfiles"
    asked = [did(n) for n in range(1, 26)]
    shown = await session.ask(name, actors=[*asked[:24], "nobody.example.com"])
    assert len(shown["profiles"]) == 24
    assert shown["profiles"][0]["followersCount"] == 3
    refused = await session.get(name, actors=[*asked, did(26)])
    assert (refused.status_code, refused.json()["error"]) == (400, "InvalidRequest")


async def test_limit_above_100_is_refused() -> None:
    refused = await Session(a_network()).get(NOTIFICATIONS, limit=101)
    assert (refused.status_code, refused.json()["error"]) == (400, "InvalidRequest")


async def test_deleted_follow_and_deleted_account_leave_no_trace() -> None:
    network = a_network(3)
    network.delete("follows", f"at://{did(1)}/app.bsky.graph.follow/3kfollow", NOW)
    network.delete("profiles", did(2), NOW)
    session = Session(network)
    followers = (await session.ask(FOLLOWERS, actor=BRAND_DID))["followers"]
    notifications = (await session.ask(NOTIFICATIONS))["notifications"]
    assert [f["did"] for f in followers] == [did(3)]
    assert [n["author"]["did"] for n in notifications] == [did(3)]


async def test_spent_budget_is_429_until_the_window_ends() -> None:
    clock = Clock()
    session = Session(a_network(faults=Faults(rate_multiplier=0.001), clock=clock))
    served = [(await session.get(NOTIFICATIONS)) for _ in range(3)]
    assert [response.status_code for response in served] == [200, 200, 429]
    headers = served[0].headers
    assert headers["ratelimit-limit"] == "3"
    assert headers["ratelimit-policy"] == "3;w=300"
    assert served[2].json()["error"] == "RateLimitExceeded"
    clock.now = datetime.fromtimestamp(int(headers["ratelimit-reset"]), UTC)
    assert (await session.get(NOTIFICATIONS)).status_code == 200


async def test_duplicate_fault_repeats_a_follower_across_the_page_boundary() -> None:
    session = Session(a_network(3, Faults(duplicate_rate=1.0)))
    pages = await session.pages(FOLLOWERS, "followers", actor=BRAND_DID, limit=2)
    found = [follower["did"] for page in pages for follower in page]
    assert found[:4] == [did(3), did(2), did(2), did(1)]
