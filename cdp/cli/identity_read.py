"""`cdp identity explain` and `cdp identity reviews`: what the graph tells of who is who."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import click

from cdp.cli.session import Session, runs
from cdp.errors import BadInput, NotFound
from schema.ids import decode_id, row_id

DEFAULT_FIRST: Final = 20
WHOLE_KINDS: Final = ("handle", "external")
"""Kinds of identifier that have a name of their own: `handle:bluesky`."""

Value: TypeAlias = Any
"""What the graph answers: the query beside it says its shape."""

Node: TypeAlias = dict[str, Value]
"""An object of the graph."""

_FRAGMENTS: Final = """
fragment Told on SourceProfile { id source stream key name email phone deletedAt }
fragment Side on MatchSide { customer { id name } sourceProfiles { ...Told } }
"""

EXPLAIN: Final = (
    """
query Explain($id: ID, $who: IdentifierInput) {
  customer(id: $id, identifier: $who) {
    id name
    sourceProfiles { ...Told }
    mergeHistory {
      id at kind customerId fromCustomerId actor reason isUndone
      profiles { id }
      evidence { kind value weight sourceProfiles { id } }
    }
    decisions {
      id kind action at actor reason retractedAt retractedBy isOverruled left { id } right { id }
    }
    matchReviews {
      id kind value reason priority probability weight against left { ...Side } right { ...Side }
    }
  }
}
"""
    + _FRAGMENTS
)

REVIEWS: Final = (
    """
query Reviews($first: Int, $after: String) {
  matchReviews(first: $first, after: $after) {
    nodes {
      id kind value reason priority probability weight openedAt against
      left { ...Side } right { ...Side }
      comparisons { name level weight }
    }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + _FRAGMENTS
)


@click.command("explain")
@click.argument("whom", metavar="ID|KIND:VALUE")
@runs
async def explain(session: Session, whom: str) -> None:
    """Why these source profiles are one: evidence, decisions, open questions, history.

    WHOM is a customer's id, or an identifier such as email:ann@example.com.
    """
    found = (await _ask(session, EXPLAIN, _wanted(whom)))["customer"]
    if found is None:
        raise NotFound(f"There is no customer {whom}.", todo="An identifier is KIND:VALUE.")
    session.show(found, "\n".join(_explained(found)))


@click.command("reviews")
@click.option("--first", default=DEFAULT_FIRST, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--after", metavar="CURSOR", help="Only those after this cursor.")
@runs
async def reviews(session: Session, first: int, after: str | None) -> None:
    """The review queue: whose answer teaches most comes first."""
    page = (await _ask(session, REVIEWS, {"first": first, "after": after}))["matchReviews"]
    lines = [line for review in page["nodes"] for line in _reviewed(review)]
    if page["pageInfo"]["hasNextPage"]:
        lines.append(f"More follow: --after {page['pageInfo']['endCursor']}")
    session.show(page, "\n".join(lines) or "Nothing waits for a decision.")


async def _ask(session: Session, query: str, variables: Node) -> Node:
    from schema.ask import ask  # the schema takes half a second: only who asks waits for it

    async with session.database() as database:
        workspace = await session.workspace(database)
        answer: Node = _plain(await ask(database, query, variables, workspace))
    return answer


def _wanted(whom: str) -> Node:
    """The variables that find a customer. Raises BadInput."""
    if whom.isdigit():
        return {"id": _global(whom)}
    if ":" not in whom:
        row_id(whom, "Customer")
        return {"id": whom}
    kind, _, value = whom.partition(":")
    if kind in WHOLE_KINDS:
        name, _, value = value.partition(":")
        kind = f"{kind}:{name}"
    if not value:
        raise BadInput(f"{whom!r} is no identifier.", todo="Write it as KIND:VALUE.")
    return {"who": {"kind": kind, "value": value}}


def _global(number: str) -> str:
    """A customer's number as GraphQL has it."""
    return b64encode(f"Customer:{number}".encode()).decode()


def _plain(value: Value) -> Value:
    """With plain numbers in the place of global ids."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: int(decode_id(each)[1])
        if isinstance(each, str) and (name == "id" or name.endswith("Id"))
        else _plain(each)
        for name, each in value.items()
    }


# As text --------------------------------------------------------------------------------------


def _explained(customer: Node) -> Iterator[str]:
    yield f"Customer {customer['id']}{_named(customer)}"
    yield from _part("Source profiles", map(_profile, customer["sourceProfiles"]))
    yield from _part("Joined by", _evidence(customer))
    yield from _part("Decisions", map(_decision, customer["decisions"]))
    yield from _part("Open questions", map(_question, customer["matchReviews"]))
    yield from _part("History", map(_event, customer["mergeHistory"]))


def _part(title: str, lines: Iterator[str]) -> Iterator[str]:
    """A heading and what stands below it; nothing where nothing does."""
    first = next(lines, None)
    if first is not None:
        yield f"{title}:"
        yield f"  {first}"
        yield from (f"  {line}" for line in lines)


def _profile(profile: Node) -> str:
    told = [profile[name] for name in ("name", "email", "phone") if profile[name]]
    gone = " (deleted there)" if profile["deletedAt"] else ""
    about = f": {', '.join(told)}" if told else ""
    return f"{profile['id']}  {profile['source']} {profile['stream']} {profile['key']}{about}{gone}"


def _evidence(customer: Node) -> Iterator[str]:
    """What the entries rest on that are not undone, each piece once.

    Only what ties source profiles that are the customer's now: another entry may have parted them.
    """
    own = {profile["id"] for profile in customer["sourceProfiles"]}
    seen: set[tuple[str, str]] = set()
    for event in customer["mergeHistory"]:
        if event["kind"] != "MERGED" or event["isUndone"]:
            continue
        for piece in event["evidence"]:
            name = (piece["kind"], piece["value"])
            tied = [profile for profile in piece["sourceProfiles"] if profile["id"] in own]
            if name not in seen and len(tied) > 1:
                seen.add(name)
                weight = "" if piece["weight"] is None else f", weight {piece['weight']:.1f}"
                yield f"{piece['kind']} {piece['value']}{weight}: {_ids(tied)}"


def _decision(decision: Node) -> str:
    state = ""
    if decision["retractedAt"]:
        state = f" [taken back by {decision['retractedBy']}]"
    elif decision["isOverruled"]:
        state = " [overruled]"
    sides = f"{_ids(decision['left'])} | {_ids(decision['right'])}"
    kind = decision["kind"].lower().replace("_", " ")
    return f"{decision['id']}  {kind}: {sides}, {_by(decision)}{state}"


def _question(review: Node) -> str:
    sides = " or ".join(name for name, _ in _sides(review))
    return f"{review['id']}  {sides}? {_tie(review)}. {review['reason']}"


def _event(event: Node) -> str:
    undone = " [undone]" if event["isUndone"] else ""
    what = f"{event['kind'].lower()} {_ids(event['profiles'])}"
    way = f"from {event['fromCustomerId']} to {event['customerId']}"
    return f"{event['id']}  {what} {way}, {_by(event)}{undone}"


def _reviewed(review: Node) -> Iterator[str]:
    """One review of the queue, in several lines."""
    yield f"{review['id']}  {_tie(review)} (priority {review['priority']:.2f})"
    for name, side in _sides(review):
        yield f"    {name}"
        yield from (f"      {_profile(one)}" for one in side["sourceProfiles"])
    if review["weight"] is not None:
        parts = ", ".join(
            " ".join(filter(None, (one["name"], one["level"], f"{one['weight']:+.1f}")))
            for one in review["comparisons"]
        )
        yield f"    weight {review['weight']:.1f}, probability {review['probability']:.2f}: {parts}"
    yield f"    {' '.join([review['reason'], *review['against']])}"


def _tie(review: Node) -> str:
    return f"{review['kind']} {review['value'] or ''}".strip()


def _sides(review: Node) -> list[tuple[str, Node]]:
    """Who stands on each side; a value that joins nobody has one side: whoever bears it."""
    left, right = review["left"], review["right"]
    if right["sourceProfiles"]:
        return [(_side(left), left), (_side(right), right)]
    others = " and others" if len(left["sourceProfiles"]) > 1 else ""
    return [(f"{_side(left)}{others}", left)]


def _side(side: Node) -> str:
    customer = side["customer"]
    return "nobody" if customer is None else f"customer {customer['id']}{_named(customer)}"


def _named(customer: Node) -> str:
    return f" ({customer['name']})" if customer["name"] else ""


def _by(row: Node) -> str:
    return f"{row['at'][:10]} by {row['actor']}: {row['reason']}"


def _ids(profiles: Sequence[Node]) -> str:
    return ", ".join(str(one["id"]) for one in profiles)
