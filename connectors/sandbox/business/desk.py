"""The support desk of the sample business: tickets, surveys and club members, as dropped files."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

import msgspec

from connectors.sandbox.business.hearing import Ear
from connectors.sandbox.business.story import Act, Life, Story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

SOURCE: Final = "support-desk"
WRITER: Final = Ear(household=0.15, other_email=0.12)
MEMBER: Final = Ear(nickname=0.15, slip=0.01, other_email=0.15)
JOINING: Final = 0.75  # of those who act on the social network


def tell_desk(story: Story, truth: Truth) -> dict[str, bytes]:
    """The files of the drop folder by name: canonical rows, as JSON lines."""
    streams = {
        "customers.jsonl": tell_members(story, truth),
        "tickets.jsonl": tell_tickets(story, truth),
        "feedback.jsonl": tell_answers(story, truth),
    }
    return {name: _lines(rows) for name, rows in streams.items()}


def _lines(rows: Iterator[Item]) -> bytes:
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def tell_tickets(story: Story, truth: Truth) -> Iterator[Item]:
    """Canonical tickets; who wrote is known by address alone."""
    for life in story.lives:
        random = story.random(life.person, "tickets")
        for act in life.tickets:
            email = WRITER.email(random, life.person)
            truth.contact(SOURCE, "email", email, life.person)
            yield _ticket(story, act, email)


def tell_answers(story: Story, truth: Truth) -> Iterator[Item]:
    """Canonical feedback; who answered is known by address alone."""
    for life in story.lives:
        random = story.random(life.person, "answers")
        for act in life.answers:
            email = WRITER.email(random, life.person)
            truth.contact(SOURCE, "email", email, life.person)
            yield {
                "id": f"{act.kind}-{act.number}",
                "kind": act.kind,
                "email": email,
                "score": act.value,
                "scale": 10 if act.kind == "nps" else 5,
                "given_at": _iso(story.at(act.second)),
            }


def tell_members(story: Story, truth: Truth) -> Iterator[Item]:
    """Canonical customers of the club: the one place where handle and address are told together."""
    for life in story.lives:
        if life.social and story.random(life.person, "club").random() < JOINING:
            truth.about(SOURCE, _club_key(life), life.person)
            yield _member(story, life)


def _member(story: Story, life: Life) -> Item:
    person, joined = life.person, life.social[0].second
    random = story.random(person, "member")
    family = MEMBER.family(random, person, joined // 86_400)
    return {
        "id": _club_key(life),
        "email": MEMBER.email(random, person),
        "full_name": f"{MEMBER.given(random, person)} {family}",
        "handles": {"bluesky": person.handle},
        "created_at": _iso(story.at(joined)),
        "updated_at": _iso(story.at(joined)),
    }


def _ticket(story: Story, act: Act, email: str) -> Item:
    answered = act.second + act.value * 3600
    solved = answered + act.value * 1800
    now = max(act.second, story.last_second)
    latest = max(moment for moment in (act.second, answered, solved) if moment <= now)
    return {
        "id": f"T{act.number}",
        "email": email,
        "channel": "email",
        "subject": act.detail,
        "status": "closed" if solved <= story.last_second else "open",
        "priority": "high" if act.value > 40 else "normal",
        "opened_at": _iso(story.at(act.second)),
        "first_response_at": _past(story, answered),
        "resolved_at": _past(story, solved),
        "updated_at": _iso(story.at(latest)),
    }


def _past(story: Story, second: int) -> str | None:
    return _iso(story.at(second)) if second <= story.last_second else None


def _club_key(life: Life) -> str:
    return f"club-{life.person.number}"


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
