"""The newsletter of the sample business, as Klaviyo's JSON:API tells it."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Final

from connectors.sandbox.business.hearing import Ear
from connectors.sandbox.business.population import Person
from connectors.sandbox.business.story import (
    CAMPAIGN_EVERY_DAYS,
    DAYS,
    LONGEST_QUARTER_DAYS,
    Act,
    Life,
    Story,
)
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

SOURCE: Final = "newsletter"
FORM: Final = Ear(nickname=0.12, slip=0.015, other_email=0.15)
WITH_GIVEN_NAME: Final = 0.75
WITH_FAMILY_NAME: Final = 0.5
WITH_PHONE: Final = 0.25

METRICS: Final = {
    "sent": "Received Email",
    "opened": "Opened Email",
    "clicked": "Clicked Email",
    "bounced": "Bounced Email",
    "unsubscribed": "Unsubscribed from Email Marketing",
    "subscribed": "Subscribed to Email Marketing",
}
SEASONS: Final = ("Winter", "Spring", "Summer", "Autumn")  # each of three months, from December


def tell_newsletter(story: Story, truth: Truth) -> Iterator[tuple[str, Item]]:
    """Metrics, campaigns, profiles and events, as (kind, object) for the emulator."""
    for kind, name in METRICS.items():
        times = {"created": _iso(story.start), "updated": _iso(story.start)}
        integration = {"object": "integration", "id": "0", "name": "Klaviyo"}
        attributes = {"name": name, **times, "integration": integration}
        yield "metrics", {"type": "metric", "id": _metric(kind), "attributes": attributes}
    for number in range(1, (DAYS + LONGEST_QUARTER_DAYS) // CAMPAIGN_EVERY_DAYS + 1):
        sent = _sent(story, number)
        if sent < story.until:
            yield "campaigns", _campaign(number, sent)
    for life in story.lives:
        if life.subscribed_day is not None:
            yield from _subscriber(story, truth, life, life.subscribed_day)


def _subscriber(
    story: Story, truth: Truth, life: Life, subscribed_day: int
) -> Iterator[tuple[str, Item]]:
    random = story.random(life.person, "newsletter")
    key = f"01NEWS{life.person.number:020d}"
    truth.about(SOURCE, key, life.person)
    email = FORM.email(random, life.person)
    subscribed = subscribed_day * 86_400 + 36_000
    yield "profiles", _profile(story, random, life, key, email, subscribed)
    yield _event(story, key, Act(0, "subscribed", subscribed))
    for act in life.readings:
        yield _event(story, key, act)
    if life.unsubscribed_second is not None:
        yield _event(story, key, Act(1, "unsubscribed", life.unsubscribed_second))


def _profile(
    story: Story, random: Random, life: Life, key: str, email: str, subscribed: int
) -> Item:
    person: Person = life.person
    day = subscribed // 86_400
    left = life.unsubscribed_second
    changed = _iso(story.at(left or subscribed))
    given = FORM.given(random, person) if random.random() < WITH_GIVEN_NAME else None
    family = FORM.family(random, person, day) if random.random() < WITH_FAMILY_NAME else None
    home = person.home_on(day)
    return {
        "type": "profile",
        "id": key,
        "attributes": {
            "email": email,
            "phone_number": person.phone_on(day) if random.random() < WITH_PHONE else None,
            "external_id": None,
            "first_name": given,
            "last_name": family if given else None,
            "locale": "fr-FR" if person.country == "FR" else "en-GB",
            "created": _iso(story.at(subscribed)),
            "updated": changed,
            "location": {"city": home.city, "country": home.country},
            "properties": {},
            "subscriptions": {
                "email": {
                    "marketing": {
                        "can_receive_email_marketing": left is None,
                        "consent": "SUBSCRIBED" if left is None else "UNSUBSCRIBED",
                        "consent_timestamp": changed,
                        "last_updated": changed,
                        "method": "FORM" if left is None else "PREFERENCE_PAGE",
                    }
                }
            },
        },
    }


def _event(story: Story, profile: str, act: Act) -> tuple[str, Item]:
    moment = story.at(act.second)
    properties: Item = {}
    if act.value:
        name = _name(act.value, _sent(story, act.value))
        message = {"$message": f"CAMPAIGN{act.value:04d}", "Campaign Name": name}
        properties = {**message, "Subject": name}
    if act.kind == "clicked":
        properties["URL"] = f"https://shop.example.com/season/{act.value}"
    key = f"{act.kind}-{profile}-{act.value}"
    return (
        "events",
        {
            "type": "event",
            "id": key,
            "attributes": {
                "timestamp": int(moment.timestamp()),
                "datetime": _iso(moment),
                "event_properties": properties,
                "uuid": key,
            },
            "relationships": {
                "profile": {"data": {"type": "profile", "id": profile}},
                "metric": {"data": {"type": "metric", "id": _metric(act.kind)}},
            },
        },
    )


def _campaign(number: int, sent: datetime) -> Item:
    moment = _iso(sent)
    return {
        "type": "campaign",
        "id": f"CAMPAIGN{number:04d}",
        "attributes": {
            "name": _name(number, sent),
            "status": "Sent",
            "archived": False,
            "channel": "email",
            "send_time": moment,
            "scheduled_at": moment,
            "created_at": _iso(sent - timedelta(days=3)),
            "updated_at": moment,
        },
    }


def _sent(story: Story, campaign: int) -> datetime:
    return story.start + timedelta(days=campaign * CAMPAIGN_EVERY_DAYS, hours=9)


def _name(number: int, sent: datetime) -> str:
    return f"{SEASONS[sent.month % 12 // 3]} letter {number}"


def _metric(kind: str) -> str:
    return f"METRIC-{kind}"


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+00:00")
