"""The followers of the sample business, as a Bluesky server tells them."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Final

from connectors.sandbox.bluesky_sessions import BRAND_DID
from connectors.sandbox.business.hearing import Ear
from connectors.sandbox.business.population import Person
from connectors.sandbox.business.story import Act, Story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

SOURCE: Final = "social"
ONESELF: Final = Ear(nickname=0.3)
WITH_FULL_NAME: Final = 0.65
WITH_GIVEN_NAME: Final = 0.27  # the others show a fancy name
FANCY_NAMES: Final = ("Moonlit Reader", "Coffee & Kites", "slow mornings", "The Potting Shed")

_TID_LETTERS: Final = "234567abcdefghijklmnopqrstuvwxyz"
_TID_LENGTH: Final = 13
_COLLECTIONS: Final = {
    "follow": ("follows", "app.bsky.graph.follow"),
    "like": ("likes", "app.bsky.feed.like"),
    "repost": ("reposts", "app.bsky.feed.repost"),
    "reply": ("posts", "app.bsky.feed.post"),
    "mention": ("posts", "app.bsky.feed.post"),
}


def tell_network(story: Story, truth: Truth) -> Iterator[tuple[str, Item]]:
    """Profiles and what they did, as (kind, object) for the emulator."""
    for life in story.lives:
        handle = life.person.handle
        if handle is None or not life.social:
            continue
        did = did_of(handle)
        truth.about(SOURCE, did, life.person)
        random = story.random(life.person, "network")
        yield "profiles", _profile(story, random, life.person, did, life.social[0])
        for act in life.social:
            yield _COLLECTIONS[act.kind][0], _record(story, did, act)


def did_of(handle: str) -> str:
    """The made-up permanent id of an account: 24 letters of base32, as did:plc has."""
    digest = hashlib.blake2b(handle.encode(), digest_size=15).digest()
    return f"did:plc:{base64.b32encode(digest).decode().lower()}"


def _profile(story: Story, random: Random, person: Person, did: str, first: Act) -> Item:
    given = ONESELF.given(random, person)
    kind = random.random()
    name = given if kind < WITH_FULL_NAME + WITH_GIVEN_NAME else random.choice(FANCY_NAMES)
    if kind < WITH_FULL_NAME:
        name = f"{given} {person.family_on(first.second // 86_400)}"
    moment = _iso(story.at(first.second))
    return {
        "did": did,
        "handle": person.handle,
        "displayName": name,
        "createdAt": moment,
        "indexedAt": moment,
        "followersCount": random.randrange(0, 900),
        "followsCount": random.randrange(1, 600),
        "postsCount": random.randrange(0, 2000),
    }


def _record(story: Story, did: str, act: Act) -> Item:
    moment = story.at(act.second)
    uri = f"at://{did}/{_COLLECTIONS[act.kind][1]}/{_tid(moment, act.number)}"
    value = {"createdAt": _iso(moment), **_value(act)}
    return {"uri": uri, "value": value, "indexedAt": _iso(moment)}


def _value(act: Act) -> Item:
    post = {
        "uri": f"at://{BRAND_DID}/app.bsky.feed.post/week{act.value:04d}",
        "cid": f"bafyreiweek{act.value:04d}",
    }
    match act.kind:
        case "follow":
            return {"subject": BRAND_DID}
        case "like" | "repost":
            return {"subject": post}
        case "reply":
            return {"text": "Lovely, is it in stock?", "reply": {"root": post, "parent": post}}
        case _:
            feature = {"$type": "app.bsky.richtext.facet#mention", "did": BRAND_DID}
            facet = {"index": {"byteStart": 0, "byteEnd": 6}, "features": [feature]}
            return {"text": "@brand made my day", "facets": [facet]}


def _tid(moment: datetime, number: int) -> str:
    """A record key: microseconds and ten bits to tell clocks apart, in sortable base32."""
    value = int(moment.timestamp()) * 1_000_000 << 10 | number & 1023
    letters = []
    for _ in range(_TID_LENGTH):
        value, digit = divmod(value, 32)
        letters.append(_TID_LETTERS[digit])
    return "".join(reversed(letters))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
