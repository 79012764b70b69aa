"""Emulates a Bluesky PDS with its AppView (XRPC): sessions, followers, notifications, records."""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.sandbox.bluesky_records import (
    COLLECTIONS,
    KINDS,
    author,
    content_id,
    indexed,
    reason_of,
    record_key,
    sorted_at,
    view,
)
from connectors.sandbox.bluesky_sessions import BRAND_DID, Sessions, XrpcError
from connectors.sandbox.front import Front, Handler, answer, body_of
from connectors.sandbox.limiter import Windows
from connectors.sandbox.state import (
    NO_FAULTS,
    Clock,
    Collection,
    Draw,
    Entry,
    Faults,
    Item,
    Page,
    Requests,
    Turn,
    as_item,
    as_text,
    iso_millis,
    micros,
    utc_now,
)

__all__ = ["BRAND_DID", "BlueskySandbox"]

# docs.bsky.app, rate limits: all calls of one address; sessions of one account.
REQUEST_WINDOW = (3000, 300)
SESSION_WINDOW = (30, 300)

# Lexicons: every limit is 1..100 with 50 by default, getProfiles takes 25 actors.
DEFAULT_LIMIT, MAX_LIMIT = 50, 100
MAX_ACTORS = 25


class BlueskySandbox:
    """One account's home server and the network's view of what others do to that account."""

    def __init__(
        self,
        *,
        password: str,
        identifier: str = "brand.example.com",
        faults: Faults = NO_FAULTS,
        clock: Clock | None = None,
    ) -> None:
        self.requests = Requests()
        self._faults = faults
        self._clock = clock or utc_now
        self._sessions = Sessions(password, {identifier, BRAND_DID}, self._clock)
        self._windows = Windows((REQUEST_WINDOW,), self._faults.rate_multiplier)
        self._session_windows = Windows((SESSION_WINDOW,), self._faults.rate_multiplier)
        self._profiles = Collection(lambda item: as_text(item["did"]), {})
        self._handles: dict[str, str] = {}
        self._records: dict[tuple[str, str], Collection] = {}
        self._followers = Collection(lambda item: as_text(item["uri"]), {"SORT": sorted_at})
        self._notifications = Collection(lambda item: as_text(item["uri"]), {"INDEXED": indexed})
        self._identifier = identifier
        self.put("profiles", {"did": BRAND_DID, "handle": identifier, "displayName": "Brand"})
        self.app = Starlette(routes=self._routes())

    def put(self, kind: str, item: dict[str, object]) -> None:
        """Insert or replace a profile or a record.

        `profiles` take an app.bsky.actor.defs#profileViewDetailed (`did`, `handle`, ...). The rest
        (`follows`, `likes`, `reposts`, `posts`) take `{uri, value, indexedAt}`: the author's at://
        address, the record as its client wrote it, and when the network saw it; a missing `cid` is
        made up. What points at the brand becomes a follower or a notification by itself.
        """
        if kind == "profiles":
            self._handles[as_text(item["handle"])] = as_text(item["did"])
            self._profiles.put(item)
            return
        collection = COLLECTIONS[kind]
        record = {"cid": content_id(item), **item}
        record["value"] = {"$type": collection, **as_item(item["value"])}
        micros(record["indexedAt"])
        place = (author(record), collection)
        if place not in self._records:
            self._records[place] = Collection(record_key, {"KEY": record_key})
        self._records[place].put(record)
        self._observe(kind, record)

    def delete(self, kind: str, key: str, at: datetime) -> None:
        """Delete a profile by DID (the whole account) or a record by its at:// address.

        It is simply gone: the AppView drops the notification with the record. The firehose, which
        tells deletes, is not emulated.
        """
        if kind == "profiles":
            profile = self._profiles.remove(key)
            if profile is not None:
                self._handles.pop(as_text(profile["handle"]), None)
            return
        collection = self._records.get((key.split("/")[2], COLLECTIONS[kind]))
        if collection is not None:
            collection.remove(key.rsplit("/", 1)[-1])
        self._followers.remove(key)
        self._notifications.remove(key)

    def _observe(self, kind: str, record: Item) -> None:
        """Note what a record of somebody else means for the brand."""
        self._notifications.remove(as_text(record["uri"]))
        if author(record) == BRAND_DID:
            return
        reason, subject = reason_of(kind, as_item(record["value"]))
        if reason is None:
            return
        if reason == "follow":
            self._followers.put(record)
        self._notifications.put({**record, "reason": reason, "reasonSubject": subject})

    def _routes(self) -> list[Route]:
        refusal = {"error": "InternalServerError", "message": "Internal Server Error"}
        front = Front(self._faults, self.requests, refusal)
        procedures: dict[str, _Procedure] = {
            "com.atproto.server.createSession": self._create_session,
            "com.atproto.server.refreshSession": self._refresh_session,
        }
        queries: dict[str, _Query] = {
            "app.bsky.graph.getFollowers": self._get_followers,
            "app.bsky.notification.listNotifications": self._list_notifications,
            "app.bsky.actor.getProfiles": self._get_profiles,
            "app.bsky.actor.getProfile": self._get_profile,
            "com.atproto.repo.listRecords": self._list_records,
        }
        routes = []
        for name, procedure in procedures.items():
            endpoint = front.endpoint(name, self._limited(self._called(procedure)))
            routes.append(Route(f"/xrpc/{name}", endpoint, methods=["POST"]))
        for name, query in queries.items():
            public = name.startswith("com.atproto.repo.")
            endpoint = front.endpoint(name, self._limited(self._asked(query, public=public)))
            routes.append(Route(f"/xrpc/{name}", endpoint, methods=["GET"]))
        return routes

    def _limited(self, handler: Handler) -> Handler:
        """Wrap an operation in the rate limit and in the error body of XRPC."""

        async def serve(request: Request, draw: Draw) -> Response:
            now = self._clock()
            spent = self._windows.take(now) if self._faults.throttle else None
            headers = _budget(self._windows)
            if spent is not None:
                self.requests.faults["throttled"] += 1
                return _failed("RateLimitExceeded", "Rate Limit Exceeded", 429, headers)
            try:
                response = await handler(request, draw)
            except XrpcError as error:
                return _failed(error.error, str(error), error.status, headers)
            except ValueError as error:
                return _failed("InvalidRequest", str(error), 400, headers)
            for name, value in headers.items():
                response.headers.setdefault(name, value)
            return response

        return serve

    def _called(self, procedure: "_Procedure") -> Handler:
        async def serve(request: Request, _draw: Draw) -> Response:
            return procedure(request, await body_of(request))

        return serve

    def _asked(self, query: "_Query", *, public: bool) -> Handler:
        async def serve(request: Request, draw: Draw) -> Response:
            if not public:
                self._sessions.check_access(request)
            return answer(query(_Parameters(request, draw)))

        return serve

    def _create_session(self, _request: Request, body: Item) -> Response:
        spent = self._session_windows.take(self._clock()) if self._faults.throttle else None
        if spent is not None:
            self.requests.faults["throttled"] += 1
            headers = _budget(self._session_windows)
            return _failed("RateLimitExceeded", "Rate Limit Exceeded", 429, headers)
        for name in ("identifier", "password"):
            if not isinstance(body.get(name), str):
                raise XrpcError("InvalidRequest", f'Input must have the property "{name}"')
        return answer(self._session(self._sessions.create(body)))

    def _refresh_session(self, request: Request, _body: Item) -> Response:
        return answer(self._session(self._sessions.refresh(request)))

    def _session(self, tokens: Item) -> Item:
        return {**tokens, "did": BRAND_DID, "handle": self._identifier, "active": True}

    def _get_followers(self, parameters: "_Parameters") -> Item:
        actor = parameters.text("actor")
        subject = self._profile(actor)
        if subject is None:
            raise XrpcError("InvalidRequest", f"Actor not found: {actor}")
        body: Item = {"subject": view(subject), "followers": []}
        if subject["did"] != BRAND_DID:
            # Only who follows the brand is known here.
            return body
        page = self._followers.page("SORT", parameters.turn(), where=self._is_active)
        followers = [self._profile(author(follow)) for follow in page.items]
        body["followers"] = [view(profile) for profile in followers if profile is not None]
        return self._paged(body, page)

    def _list_notifications(self, parameters: "_Parameters") -> Item:
        reasons = parameters.many("reasons")

        def where(item: Item) -> bool:
            return self._is_active(item) and (not reasons or item["reason"] in reasons)

        page = self._notifications.page("INDEXED", parameters.turn(), where=where)
        body: Item = {"notifications": [self._notification(item) for item in page.items]}
        body["priority"] = False
        body["seenAt"] = iso_millis(self._clock())
        return self._paged(body, page)

    def _notification(self, item: Item) -> Item:
        profile = self._profile(author(item))
        assert profile is not None  # _is_active looked
        shown: Item = {
            "uri": item["uri"],
            "cid": item["cid"],
            "author": view(profile),
            "reason": item["reason"],
            "record": item["value"],
            "isRead": False,
            "indexedAt": item["indexedAt"],
            "labels": [],
        }
        if item["reasonSubject"] is not None:
            shown["reasonSubject"] = item["reasonSubject"]
        return shown

    def _get_profiles(self, parameters: "_Parameters") -> Item:
        actors = parameters.many("actors")
        if not actors:
            raise XrpcError("InvalidRequest", 'Params must have the property "actors"')
        if len(actors) > MAX_ACTORS:
            message = f"actors must not have more than {MAX_ACTORS} elements"
            raise XrpcError("InvalidRequest", message)
        profiles = [self._profile(actor) for actor in actors]
        return {"profiles": [profile for profile in profiles if profile is not None]}

    def _get_profile(self, parameters: "_Parameters") -> Item:
        profile = self._profile(parameters.text("actor"))
        if profile is None:
            raise XrpcError("InvalidRequest", "Profile not found")
        return profile

    def _list_records(self, parameters: "_Parameters") -> Item:
        repo, collection = parameters.text("repo"), parameters.text("collection")
        profile = self._profile(repo)
        if profile is None:
            raise XrpcError("InvalidRequest", f"Could not find repo: {repo}")
        if collection not in KINDS:
            return {"records": []}
        turn = parameters.record_turn()
        records = self._records.get((as_text(profile["did"]), collection))
        if records is None:
            return {"records": []}
        page = records.page("KEY", turn)
        self._count(page)
        body: Item = {
            "records": [
                {"uri": item["uri"], "cid": item["cid"], "value": item["value"]}
                for item in page.items
            ]
        }
        # The cursor is there on the last page too: only an empty page has none.
        if page.last is not None:
            body["cursor"] = page.last[1]
        return body

    def _paged(self, body: Item, page: Page) -> Item:
        self._count(page)
        if page.last is not None:
            raw = msgspec.json.encode(page.last)
            body["cursor"] = base64.urlsafe_b64encode(raw).decode()
        return body

    def _count(self, page: Page) -> None:
        if page.repeated:
            self.requests.faults["duplicate"] += 1

    def _profile(self, actor: str) -> Item | None:
        return self._profiles.get(self._handles.get(actor, actor))

    def _is_active(self, item: Item) -> bool:
        return self._profiles.get(author(item)) is not None


class _Parameters:
    """One query's parameters, checked as they are read."""

    def __init__(self, request: Request, draw: Draw) -> None:
        self._parameters = request.query_params
        self._draw = draw

    def text(self, name: str) -> str:
        """Return an obligatory parameter."""
        value = self._parameters.get(name)
        if not value:
            raise XrpcError("InvalidRequest", f'Params must have the property "{name}"')
        return value

    def many(self, name: str) -> list[str]:
        """Return all values of a repeated parameter."""
        return [*self._parameters.getlist(name), *self._parameters.getlist(f"{name}[]")]

    def turn(self) -> Turn:
        """Return the page asked for, newest first."""
        cursor = self._parameters.get("cursor")
        after: Entry | None = None
        if cursor:
            try:
                after = msgspec.json.decode(
                    base64.urlsafe_b64decode(cursor), type=tuple[int | str, str]
                )
            except (binascii.Error, msgspec.DecodeError, ValueError) as error:
                raise XrpcError("InvalidRequest", "Malformed cursor") from error
        return self._turn(after, descending=True)

    def record_turn(self) -> Turn:
        """Return the page of records: newest key first unless reversed; the cursor is a key."""
        cursor = self._parameters.get("cursor")
        after = (cursor, cursor) if cursor else None
        return self._turn(after, descending=self._parameters.get("reverse") != "true")

    def _turn(self, after: Entry | None, *, descending: bool) -> Turn:
        text = self._parameters.get("limit", str(DEFAULT_LIMIT))
        if not text.isdigit() or not 1 <= int(text) <= MAX_LIMIT:
            raise XrpcError("InvalidRequest", f"limit must be between 1 and {MAX_LIMIT}")
        return Turn(int(text), after, descending, self._draw.duplicate)


_Procedure = Callable[[Request, Item], Response]
_Query = Callable[[_Parameters], Item]


def _budget(windows: Windows) -> dict[str, str]:
    window = windows.windows[0]
    return {
        "ratelimit-limit": str(window.limit),
        "ratelimit-remaining": str(window.remaining),
        "ratelimit-reset": str(window.ends_at),
        "ratelimit-policy": f"{window.limit};w={window.seconds}",
    }


def _failed(error: str, message: str, status: int, headers: Mapping[str, str]) -> Response:
    return answer({"error": error, "message": message}, status, headers)
