"""Bluesky: followers and what people did with an account's posts, by the AT Protocol.

Lists come newest first and know no filter by time: notifications are read until the watermark is
met, followers whole. A cursor is given on the last full page too, so that an empty page may follow.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cdp.delivery import Delivery
from cdp.values import Json
from connectors.asked import require_lists
from connectors.base import Abort, Connector, Page, Setting, Values
from connectors.http import Http
from connectors.limits import Windows
from connectors.reading import Item, Row, delivered
from connectors.scans import Scan, Step, latest_of, scan, utc_now

PAGE: Final = 100
NETWORK: Final = "bluesky"
NO_HANDLE: Final = "handle.invalid"  # what the network shows where a handle does not resolve
TOKEN_ERRORS: Final = frozenset({"ExpiredToken", "InvalidToken"})
TID: Final = re.compile(r"[234567a-j][234567a-z]{12}")
TID_LETTERS: Final = "234567abcdefghijklmnopqrstuvwxyz"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

INTERACTIONS: Final[Mapping[str, str]] = {
    "follow": "follow",
    "like": "like",
    "like-via-repost": "like",
    "mention": "mention",
    "reply": "comment",
    "repost": "share",
    "repost-via-repost": "share",
    "quote": "share",
}
"""What a notification's reason is called here; other reasons tell of nothing that a person did."""


class Session:
    """Logs in when asked for a token, and renews it when the server says that it has expired."""

    def __init__(self, http: Http, identifier: str, password: str) -> None:
        self._http = http
        self._login = {"identifier": identifier, "password": password}
        self._access = ""
        self._refresh = ""
        self.did = ""

    async def ask(self, method: str, parameters: Mapping[str, str | int]) -> Item:
        """Ask with the token; once more with a new one if that has expired."""
        if not self._access:
            await self._take("createSession", self._login, None)
        try:
            return await self._asked(method, parameters)
        except Abort as refusal:
            if _error_name(refusal) not in TOKEN_ERRORS:
                raise
        await self._renew()
        return await self._asked(method, parameters)

    async def me(self) -> str:
        """The account's own DID."""
        if not self.did:
            await self._take("createSession", self._login, None)
        return self.did

    async def _asked(self, method: str, parameters: Mapping[str, str | int]) -> Item:
        headers = {"Authorization": f"Bearer {self._access}"}
        return await self._http.get_json(f"/xrpc/{method}", parameters, headers=headers)

    async def _renew(self) -> None:
        try:
            await self._take("refreshSession", None, self._refresh)
        except Abort as refusal:
            if refusal.status not in (400, 401):
                raise
            # The refresh token has had its day too.
            await self._take("createSession", self._login, None)

    async def _take(self, procedure: str, body: object, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = await self._http.post_json(
            f"/xrpc/com.atproto.server.{procedure}", body, headers=headers
        )
        self._access, self._refresh = answer.need("accessJwt"), answer.need("refreshJwt")
        self.did = answer.need("did")
        self._http.learn_secret(self._access)
        self._http.learn_secret(self._refresh)


@dataclass(slots=True)
class BlueskySource:
    """One account on a PDS."""

    http: Http
    session: Session
    now: Callable[[], datetime] = utc_now
    connector: str = "bluesky"
    streams: tuple[str, ...] = ("followers", "notifications")

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read one list."""
        fetch: Mapping[str, Callable[[Scan], Awaitable[Step]]] = {
            "followers": self._followers,
            "notifications": self._notifications,
        }
        return scan(cursor, fetch[stream], now=self.now())

    async def check(self) -> str:
        """Log in, and ask for each list."""
        await require_lists("Bluesky", self)
        return f"Bluesky answers; logged in as {await self.session.me()}."

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _followers(self, at: Scan) -> Step:
        parameters: dict[str, str | int] = {"actor": await self.session.me(), "limit": PAGE}
        if at.page:
            parameters["cursor"] = at.page
        answer = await self.session.ask("app.bsky.graph.getFollowers", parameters)
        people = answer.items("followers")
        deliveries = delivered("customers", people, follower, key=lambda person: person.need("did"))
        return Step(deliveries, answer.text("cursor"))

    async def _notifications(self, at: Scan) -> Step:
        parameters: dict[str, str | int] = {"limit": PAGE}
        if at.page:
            parameters["cursor"] = at.page
        answer = await self.session.ask("app.bsky.notification.listNotifications", parameters)
        told = answer.items("notifications")
        moments = [latest_of([each], "indexedAt", until=at.end) for each in told]
        is_met = at.start is not None and any(
            moment is not None and moment < at.start for moment in moments
        )
        deliveries: list[Delivery] = delivered(
            "interactions", told, notification, key=lambda each: each.need("uri")
        )
        return Step(
            deliveries,
            None if is_met or not told else answer.text("cursor"),
            max((moment for moment in moments if moment is not None), default=None),
        )


def actor(item: Item) -> Row:
    """A person of the network. The key is their DID: a handle may change hands."""
    handle = item.text("handle")
    return {
        "id": item.need("did"),
        "full_name": item.get("displayName"),
        "handles": {NETWORK: handle} if handle and handle != NO_HANDLE else None,
        "created_at": item.get("createdAt"),
        "description": item.get("description"),
    }


def follower(item: Item) -> Iterator[tuple[str, Row]]:
    """A follower, and the follow itself where the server tells its record."""
    yield "customers", actor(item)
    uri = item.text("viewer", "followedBy")
    moment = tid_time(uri) if uri else None
    if uri and moment:
        yield "interactions", _interaction(item, uri, "follow", moment, None)


def notification(item: Item) -> Iterator[tuple[str, Row]]:
    """Who did it, and what they did; a follow bears the same key as in the list of followers."""
    author = item.item("author")
    yield "customers", actor(author)
    kind = INTERACTIONS.get(item.need("reason"))
    if kind is None:
        return
    uri = item.need("uri")
    moment = (tid_time(uri) if kind == "follow" else None) or item.text("indexedAt")
    yield "interactions", _interaction(author, uri, kind, moment, item.text("reasonSubject"))


def _interaction(
    author: Item, uri: str, kind: str, occurred_at: object, subject: str | None
) -> Row:
    return {
        "id": uri,
        "customer_id": author.need("did"),
        "network": NETWORK,
        "kind": kind,
        "occurred_at": occurred_at,
        "properties": {"subject": subject} if subject else None,
    }


def tid_time(uri: str) -> datetime | None:
    """When a record was made, from its key where that is a TID: microseconds in its upper 53 bits.

    https://atproto.com/specs/tid. None for any other key.
    """
    key = uri.rsplit("/", 1)[-1]
    if not TID.fullmatch(key):
        return None
    number = 0
    for letter in key:
        number = number * 32 + TID_LETTERS.index(letter)
    return EPOCH + timedelta(microseconds=number >> 10)


def _error_name(refusal: Abort) -> str:
    """The lexicon's name of an error."""
    answer = refusal.answer
    name = answer.get("error") if isinstance(answer, Mapping) else None
    return name if isinstance(name, str) else ""


def build(values: Values) -> BlueskySource:
    """A source with these settings."""
    password = values["password"]
    http = Http(
        "Bluesky",
        values.get("url", "https://bsky.social"),
        limiter=Windows((3_000, 300)),
        secrets=(password,),
    )
    return BlueskySource(http, Session(http, values["identifier"], password))


BLUESKY: Final = Connector(
    "bluesky",
    "social",
    "Bluesky: followers, likes, replies, mentions and reposts of an account",
    (
        Setting("identifier", "the account's handle or DID", is_required=True),
        Setting("password", "an app password of the account", is_required=True, is_secret=True),
        Setting("url", "the base address of its PDS"),
    ),
    build,
)
