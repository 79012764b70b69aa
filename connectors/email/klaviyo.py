"""Klaviyo: profiles, consent, campaigns and the events of messages, by the JSON:API.

Revision 2026-07-15. Profiles can be asked for only with `greater-than`, so that a change in the
very instant of the watermark would be missed without the overlap.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from cdp.delivery import Delivery
from cdp.values import Json
from connectors.asked import require_lists
from connectors.base import Connector, Page, Setting, Values
from connectors.http import Http
from connectors.limits import Limiter, Windows
from connectors.reading import Item, Row, consent_key, delivered, names_of
from connectors.scans import Scan, Step, latest_of, scan, utc_now, written

REVISION: Final = "2026-07-15"
PROFILES_PAGE: Final = 100
EVENTS_PAGE: Final = 1_000
CAMPAIGNS_PAGE: Final = 100
SAME_INSTANT: Final = timedelta(seconds=1)  # `greater-than` leaves out its own bound

MESSAGE_METRICS: Final[Mapping[str, tuple[str, str]]] = {
    "Received Email": ("email", "delivered"),
    "Opened Email": ("email", "opened"),
    "Clicked Email": ("email", "clicked"),
    "Bounced Email": ("email", "bounced"),
    "Marked Email as Spam": ("email", "complained"),
    "Unsubscribed": ("email", "unsubscribed"),
    "Unsubscribed from Email Marketing": ("email", "unsubscribed"),
    "Received SMS": ("sms", "delivered"),
    "Clicked SMS": ("sms", "clicked"),
    "Failed to Deliver SMS": ("sms", "bounced"),
    "Sent SMS": ("sms", "replied"),  # by the person, to the shop
    "Unsubscribed from SMS Marketing": ("sms", "unsubscribed"),
    "Received Push": ("push", "delivered"),
    "Opened Push": ("push", "opened"),
    "Bounced Push": ("push", "bounced"),
}
"""Klaviyo's own metrics: the channel of the message and what became of it."""

INTERACTION_METRICS: Final[Mapping[str, str]] = {
    "Active on Site": "page_view",
    "Viewed Product": "product_view",
    "Added to Cart": "add_to_cart",
}
"""Metrics with a name of their own here; any other becomes an interaction of its own name."""

CAMPAIGN_CHANNELS: Final = ("email", "sms", "mobile_push")
CONSENT_CHANNELS: Final = ("email", "sms", "whatsapp", "mobile_push")
CHANNELS: Final[Mapping[str, str]] = {"mobile_push": "push"}
"""Klaviyo's channels that have another name here."""

REFUSALS: Final = frozenset({"UNSUBSCRIBE", "SPAM_COMPLAINT", "USER_SUPPRESSED"})
"""Reasons of suppression that are somebody's will; a bounced address is no refusal."""


def _limits() -> Mapping[str, Limiter]:
    """As the specification's `x-klaviyo-ratelimit` has them, burst and steady."""
    return {
        "profiles": Windows((75, 1), (750, 60)),
        "campaigns": Windows((10, 1), (150, 60)),
        "events": Windows((350, 1), (3_500, 60)),
    }


@dataclass(slots=True)
class KlaviyoSource:
    """One Klaviyo account."""

    http: Http
    now: Callable[[], datetime] = utc_now
    limits: Mapping[str, Limiter] = field(default_factory=_limits)
    connector: str = "klaviyo"
    streams: tuple[str, ...] = ("profiles", "campaigns", "events")

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read one list."""
        fetch: Mapping[str, Callable[[Scan], Awaitable[Step]]] = {
            "profiles": self._profiles,
            "campaigns": self._campaigns,
            "events": self._events,
        }
        return scan(cursor, fetch[stream], now=self.now())

    async def check(self) -> str:
        """Ask for each list."""
        await require_lists("Klaviyo", self)
        return f"Klaviyo answers, and the key may read {', '.join(self.streams)}."

    async def close(self) -> None:
        """Close the connections."""
        await self.http.close()

    async def _profiles(self, at: Scan) -> Step:
        until = f"less-than(updated,{written(at.end)})"
        # A page of its own cursor keeps the filter that it began with.
        start = at.start if at.page or not at.since else at.since - SAME_INSTANT
        since = f"greater-than(updated,{written(start)})," if start else ""
        parameters: dict[str, str | int] = {
            "filter": since + until,
            "sort": "updated",
            "page[size]": PROFILES_PAGE,
            "additional-fields[profile]": "subscriptions",
        }
        answer = await self._ask("profiles", parameters, at.page)
        people = answer.items("data")
        return Step(
            delivered("customers", people, profile),
            _next_page(answer),
            latest_of(people, "attributes", "updated", until=at.end),
        )

    async def _campaigns(self, at: Scan) -> Step:
        """All of them every time: there are few. The page is a channel and Klaviyo's cursor."""
        channel, _, page = (at.page or "email:").partition(":")
        parameters: dict[str, str | int] = {
            "filter": f"equals(messages.channel,'{channel}')",
            "page[size]": CAMPAIGNS_PAGE,
        }
        answer = await self._ask("campaigns", parameters, page)
        following = _next_page(answer)
        next_page = f"{channel}:{following}" if following else None
        if next_page is None and channel != CAMPAIGN_CHANNELS[-1]:
            next_page = f"{CAMPAIGN_CHANNELS[CAMPAIGN_CHANNELS.index(channel) + 1]}:"
        known = CHANNELS.get(channel, channel)
        rows = delivered("campaigns", answer.items("data"), lambda item: campaign(item, known))
        return Step(rows, next_page)

    async def _events(self, at: Scan) -> Step:
        until = f"less-or-equal(datetime,{written(at.end)})"
        start = at.start if at.page else at.since
        since = f"greater-or-equal(datetime,{written(start)})," if start else ""
        parameters: dict[str, str | int] = {
            "filter": since + until,
            "sort": "datetime",
            "include": "metric",
            "page[size]": EVENTS_PAGE,
        }
        answer = await self._ask("events", parameters, at.page)
        events = answer.items("data")
        metrics = names_of(answer.items("included"), "metric", "attributes")
        deliveries: list[Delivery] = []
        for event in events:
            stream = "messages" if _metric(event, metrics) in MESSAGE_METRICS else "interactions"
            deliveries += delivered(stream, [event], lambda each: event_of(each, metrics))
        return Step(
            deliveries,
            _next_page(answer),
            latest_of(events, "attributes", "datetime", until=at.end),
        )

    async def _ask(
        self, what: str, parameters: Mapping[str, str | int], page: str | None = None
    ) -> Item:
        asked = {**parameters, "page[cursor]": page} if page else parameters
        return await self.http.get_json(f"/api/{what}", asked, limiter=self.limits[what])


def profile(item: Item) -> Iterator[tuple[str, Row]]:
    """A profile and what it consents to."""
    key, said = item.need("id"), item.item("attributes")
    place = said.item("location")
    country = place.text("country")
    is_code = country is not None and re.fullmatch("[A-Za-z]{2}", country) is not None
    street = [place.text("address1"), place.text("address2")]
    external_id = said.text("external_id")
    yield (
        "customers",
        {
            "id": key,
            "email": said.get("email"),
            "phone": said.get("phone_number"),
            # By a double opt-in the person has answered at the address.
            "email_verified": said.flag("subscriptions", "email", "marketing", "double_optin")
            or None,
            "first_name": said.get("first_name"),
            "last_name": said.get("last_name"),
            "street": ", ".join(line for line in street if line),
            "city": place.get("city"),
            "region": place.get("region"),
            "postal_code": place.get("zip"),
            "country": country if is_code else None,
            "country_name": None if is_code else country,
            "language": said.get("locale"),
            "external_ids": {"klaviyo_external": external_id} if external_id else None,
            "created_at": said.get("created"),
            "updated_at": said.get("updated"),
            "organization": said.get("organization"),
            "title": said.get("title"),
            "properties": said.get("properties") or None,
        },
    )
    reached: dict[str, Mapping[str, str | None]] = {
        "email": {"email": said.text("email")},
        "sms": {"phone": said.text("phone_number")},
        "whatsapp": {
            "phone": said.text("subscriptions", "whatsapp", "marketing", "phone_number")
            or said.text("phone_number")
        },
    }
    for channel in CONSENT_CHANNELS:
        marketing = said.item("subscriptions", channel, "marketing")
        yield from _consent(key, channel, marketing, reached.get(channel, {}))


def _consent(
    key: str, channel: str, said: Item, at: Mapping[str, str | None]
) -> Iterator[tuple[str, Row]]:
    """A consent that was given or taken back; NEVER_SUBSCRIBED is silence, and gives no row."""
    refusals = [
        refusal
        for refusal in said.items("suppression")
        if refusal.text("reason") in REFUSALS and refusal.text("timestamp")
    ]
    status = {"SUBSCRIBED": "granted", "UNSUBSCRIBED": "withdrawn"}.get(said.text("consent") or "")
    recorded_at = said.get("last_updated") or said.get("consent_timestamp")
    if refusals:
        status, recorded_at = "withdrawn", max(each.need("timestamp") for each in refusals)
    # A permission that ends by itself is not kept: nobody tells when it has ended.
    is_passing = status == "granted" and said.get("valid_until") is not None
    if status is None or recorded_at is None or is_passing:
        return
    evidence = [said.text("method"), said.text("method_detail")]
    evidence += [refusal.text("reason") for refusal in refusals]
    yield (
        "consents",
        {
            "id": consent_key(key, channel, at),
            "customer_id": key,
            **at,
            "channel": CHANNELS.get(channel, channel),
            "purpose": "marketing",
            "status": status,
            "recorded_at": _with_offset(recorded_at),
            "evidence": "Klaviyo: " + ", ".join(part for part in evidence if part),
        },
    )


def campaign(item: Item, channel: str) -> Iterator[tuple[str, Row]]:
    """A campaign; one that was never sent has no start."""
    said = item.item("attributes")
    yield (
        "campaigns",
        {
            "id": item.need("id"),
            "name": said.get("name"),
            "channel": channel,
            "started_at": said.get("send_time"),
            "status": said.get("status"),
        },
    )


def event_of(item: Item, metrics: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """An event: of a message where Klaviyo's own metric says so, else something a person did."""
    said = item.item("attributes")
    properties = said.item("event_properties")
    person = item.text("relationships", "profile", "data", "id")
    metric_id = item.need("relationships", "metric", "data", "id")
    metric = metrics.get(metric_id, metric_id)
    shared: Row = {
        "id": item.need("id"),
        "customer_id": person,
        "occurred_at": said.get("datetime"),
    }
    if metric not in MESSAGE_METRICS:
        kind = INTERACTION_METRICS.get(metric) or re.sub(r"\W+", "_", metric.lower()).strip("_")
        yield "interactions", {**shared, "kind": kind, "properties": properties.raw or None}
        return
    channel, kind = MESSAGE_METRICS[metric]
    message = properties.text("$message")
    yield (
        "messages",
        {
            **shared,
            "channel": channel,
            "kind": kind,
            # $message is one mailing to many; with the person it is one message.
            "message_id": f"{message}:{person}" if message else None,
            "campaign_id": message,
            "url": properties.get("URL"),
            "subject": properties.get("Subject"),
        },
    )


def _metric(event: Item, metrics: Mapping[str, str]) -> str:
    """What an event is of: the metric's name, else its id; empty where it does not say."""
    key = event.get("relationships", "metric", "data", "id")
    return metrics.get(key, key) if isinstance(key, str) else ""


def _next_page(answer: Item) -> str | None:
    """Klaviyo gives the whole next address; its cursor alone is kept, for any base address."""
    following = answer.text("links", "next")
    if following is None:
        return None
    return next(iter(parse_qs(urlsplit(following).query).get("page[cursor]", [])), None)


def _with_offset(moment: object) -> object:
    """The specification writes some moments without an offset; all of them are UTC."""
    if isinstance(moment, str) and not re.search(r"(Z|[+-]\d\d:?\d\d)$", moment):
        return f"{moment}Z"
    return moment


def build(values: Values) -> KlaviyoSource:
    """A source with these settings."""
    key = values["api_key"]
    headers = {
        "Authorization": f"Klaviyo-API-Key {key}",
        "revision": REVISION,
        "Accept": "application/vnd.api+json",
    }
    url = values.get("url", "https://a.klaviyo.com")
    return KlaviyoSource(Http("Klaviyo", url, headers=headers, secrets=(key,)))


KLAVIYO: Final = Connector(
    "klaviyo",
    "email",
    "Klaviyo: profiles, consent, campaigns, and what became of each message",
    (
        Setting("api_key", "a private API key (pk_...)", is_required=True, is_secret=True),
        Setting("webhook_secret", "the secret of its webhooks", is_secret=True),
        Setting("url", "Klaviyo's base address, without /api"),
    ),
    build,
)
