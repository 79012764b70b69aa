"""The rules of identity: a typed, versioned document; one version gives one partition."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final, Literal, TypeAlias

import asyncpg
import msgspec
from msgspec import Meta
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.identity.evidence import Identifier
from cdp.identity.normalise import IDENTIFIER_FAMILIES
from cdp.invalid import why_invalid
from cdp.survivorship_rules import (
    DEFAULT,
    Survivorship,
    parse_survivorship,
    survivorship_document,
)
from cdp.toml_text import read_toml

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MAX_PATTERN: Final = 200  # characters of one pattern; it is matched against every identifier
VERSIONS_KEPT_PARSED: Final = 8


class Strength(IntEnum):
    """How much a shared identifier says; a lower number is taken first."""

    UNIQUE = 1
    """Joins alone: two people do not share it."""
    COMMON = 2
    """Joins where names agree or one is absent: households share it, numbers are recycled."""
    WEAK = 4
    """Joins only where names are known on both sides and agree, or with a contact: a device."""


@dataclass(frozen=True, slots=True)
class KindRule:
    """What one kind of identifier may do.

    `most_per_customer`: distinct current values that one person plausibly has; a join beyond is
    forbidden. `most_persons`: distinct persons that may share a value before it joins nobody.
    `family_may_change`: whether a person keeps it through a change of the family name.
    `blocked`: values that it matches whole join nobody.
    """

    strength: Strength
    most_per_customer: int
    most_persons: int
    family_may_change: bool = False
    blocked: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where the weight of a scored pair joins, and where it asks a person; below, it is dropped."""

    join_weight: float = 10.0
    review_weight: float = 0.0

    def joins(self, weight: float) -> bool:
        """Whether a pair of this weight may join."""
        return weight >= self.join_weight

    def asks(self, weight: float) -> bool:
        """Whether a pair of this weight is left to a person."""
        return self.review_weight <= weight < self.join_weight


@dataclass(frozen=True, slots=True)
class Rules:
    """One version of the rules; another version may give another partition.

    The bounds name what joins nobody, or only by unique identifiers, beyond them; whoever is left
    out is told in the review queue. `model_version` is that of the linkage whose pairs count.
    """

    version: int
    kinds: Mapping[str, KindRule]
    most_persons_per_component: int
    """Beyond that, only unique identifiers join in the component: a chain, not a person."""
    most_profiles_per_component: int
    """The same for source profiles, named or not; it bounds what is read for one record."""
    most_holders: int
    """Source profiles that may carry one value before it joins nobody, whoever they are."""
    most_identifiers: int
    """Identifiers of one source profile; one that has more is tied by its own key alone."""
    fewest_per_customer: int
    """The smallest `most_per_customer` of any kind: whoever has fewer identifiers is within it."""
    cuts: Cuts = field(default_factory=Cuts)
    model_version: int | None = None
    survivorship: Survivorship = DEFAULT

    def of(self, kind: str) -> KindRule:
        """The rule of a kind such as `email` or `handle:bluesky`."""
        return self.kinds[kind.partition(":")[0]]

    def blocks(self, identifier: Identifier) -> bool:
        """Whether a pattern says that the value joins nobody."""
        pattern = self.of(identifier.kind).blocked
        return pattern is not None and pattern.fullmatch(identifier.value) is not None

    def unblocked(self, values: set[Identifier]) -> set[Identifier]:
        """The values that no pattern blocks; where there is no pattern, all, unlooked at."""
        if all(rule.blocked is None for rule in self.kinds.values()):
            return values
        return {value for value in values if not self.blocks(value)}


# The document ---------------------------------------------------------------------------------

_AtLeastOne: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]
_Weight: TypeAlias = Annotated[float, Meta(ge=-1_000, le=1_000)]


class KindDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of identifier, as the document has it."""

    strength: Literal["unique", "common", "weak"]
    most_per_customer: _AtLeastOne
    most_persons: _AtLeastOne
    family_may_change: bool = False
    blocked: list[Annotated[str, Meta(max_length=MAX_PATTERN)]] = []


class LinkageDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cuts of linkage, in log2 of odds."""

    join_weight: _Weight = Cuts().join_weight
    review_weight: _Weight = Cuts().review_weight


class SurvivorshipDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which claim of an attribute wins: rules by attribute; sources, the most trusted first."""

    sources: list[str] = []
    rules: dict[str, str] = {}


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole document; what is absent has its default."""

    most_persons_per_component: _AtLeastOne = 200
    most_profiles_per_component: _AtLeastOne = 5_000
    most_holders: _AtLeastOne = 1_000
    most_identifiers: _AtLeastOne = 1_000
    kinds: dict[str, KindDocument] = {}
    linkage: LinkageDocument = LinkageDocument()
    survivorship: SurvivorshipDocument = SurvivorshipDocument()

    def chosen(self) -> Survivorship:
        """The rules of survivorship. Raises BadInput, whose path names the place at fault."""
        return parse_survivorship(msgspec.to_builtins(self.survivorship))


_KINDS: Final[Mapping[str, KindDocument]] = {
    "loyalty_card": KindDocument("unique", most_per_customer=5, most_persons=10),
    # A profile's own key is one of these: as many records of one person as may share a value.
    "external": KindDocument("unique", most_per_customer=1_000, most_persons=10),
    "email": KindDocument("common", most_per_customer=8, most_persons=10, family_may_change=True),
    "phone": KindDocument("common", most_per_customer=8, most_persons=10),
    "handle": KindDocument("common", most_per_customer=3, most_persons=5),
    "anonymous_id": KindDocument("weak", most_per_customer=50, most_persons=5),
}
"""The defaults."""

DEFAULT_VERSION: Final = 1


def parse_rules(text: str | bytes) -> Document:
    """Read a document in TOML. Raises BadInput with the place of the fault."""
    return check_document(read_toml(text, "The document of the rules"))


def check_document(given: object) -> Document:
    """Plain data as a document, every kind in it. Raises BadInput."""
    try:
        document = msgspec.convert(given, Document)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"The rules cannot be taken: {why_invalid(error, given, Document)}",
            todo="See cdp identity rules show.",
        ) from None
    unknown = sorted(set(document.kinds) - set(IDENTIFIER_FAMILIES))
    if unknown:
        raise BadInput(
            f"There is no kind of identifier {unknown[0]!r}.",
            todo=f"There are: {', '.join(IDENTIFIER_FAMILIES)}.",
        )
    if document.linkage.review_weight > document.linkage.join_weight:
        raise BadInput("review_weight lies above join_weight.", todo="Nothing would be reviewed.")
    survivorship = survivorship_document(document.chosen())
    whole = msgspec.structs.replace(
        document,
        kinds={**_KINDS, **document.kinds},
        survivorship=msgspec.convert(survivorship, SurvivorshipDocument),
    )
    rules_of(DEFAULT_VERSION, whole)
    return whole


def rules_of(version: int, document: Document, model_version: int | None = None) -> Rules:
    """The rules that a document says. Raises BadInput for a pattern that is none."""
    return Rules(
        version=version,
        kinds={name: _kind_rule(name, kind) for name, kind in document.kinds.items()},
        most_persons_per_component=document.most_persons_per_component,
        most_profiles_per_component=document.most_profiles_per_component,
        most_holders=document.most_holders,
        most_identifiers=document.most_identifiers,
        fewest_per_customer=min(kind.most_per_customer for kind in document.kinds.values()),
        cuts=cuts_of(document),
        model_version=model_version,
        survivorship=document.chosen(),
    )


def cuts_of(document: Document) -> Cuts:
    """The cuts of linkage that a document says."""
    return Cuts(document.linkage.join_weight, document.linkage.review_weight)


def _kind_rule(name: str, kind: KindDocument) -> KindRule:
    try:
        patterns = [re.compile(pattern).pattern for pattern in kind.blocked]
    except re.error as error:
        raise BadInput(
            f"A blocked pattern of {name!r} is no regular expression: {error}."
        ) from None
    return KindRule(
        strength=Strength[kind.strength.upper()],
        most_per_customer=kind.most_per_customer,
        most_persons=kind.most_persons,
        family_may_change=kind.family_may_change,
        blocked=re.compile("|".join(f"(?:{one})" for one in patterns)) if patterns else None,
    )


def rules_text(document: Document) -> str:
    """The document in TOML, as `parse_rules` reads it."""
    plain = msgspec.to_builtins(document)
    assert isinstance(plain, dict)
    kinds, linkage, chosen = (plain.pop(name) for name in ("kinds", "linkage", "survivorship"))
    lines = [_line(name, value) for name, value in plain.items()]
    for name, kind in kinds.items():
        lines += ["", f"[kinds.{name}]", *(_line(key, value) for key, value in kind.items())]
    lines += ["", "[linkage]", *(_line(key, value) for key, value in linkage.items())]
    lines += ["", "[survivorship]", _line("sources", chosen["sources"])]
    rules = chosen["rules"].items()
    lines += ["", "[survivorship.rules]", *(_line(key, value) for key, value in rules)]
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    # JSON's texts, numbers, truth values and lists are TOML's too.
    return f"{name} = {msgspec.json.encode(value).decode()}"


DEFAULT_DOCUMENT: Final = check_document({})
DEFAULT_RULES: Final = rules_of(DEFAULT_VERSION, DEFAULT_DOCUMENT)

# The version in force -------------------------------------------------------------------------


async def read_document(driver: Driver) -> tuple[int, Document, int | None]:
    """The version in force, its document, and the version of the linkage model that it counts."""
    row = await driver.fetchrow(
        "SELECT version, document::text AS document, model_version FROM identity_rules"
        " ORDER BY version DESC LIMIT 1"
    )
    if row is None:
        return DEFAULT_VERSION, DEFAULT_DOCUMENT, None
    return row["version"], _document(row["document"]), row["model_version"]


async def who_set_cuts(driver: Driver) -> str | None:
    """Who changed the cuts of linkage last; None where they are the defaults."""
    row = await driver.fetchrow(
        "SELECT actor, document -> 'linkage' = $1::jsonb AS is_default FROM (SELECT *,"
        " lag(document -> 'linkage', 1, $1::jsonb) OVER (ORDER BY version) AS former"
        " FROM identity_rules) v WHERE document -> 'linkage' <> former"
        " ORDER BY version DESC LIMIT 1",
        msgspec.json.encode(LinkageDocument()).decode(),
    )
    return None if row is None or row["is_default"] else row["actor"]


async def read_rules(driver: Driver) -> Rules:
    """The rules in force."""
    version, document, model_version = await read_document(driver)
    if version == DEFAULT_VERSION:
        return DEFAULT_RULES
    return _rules(version, msgspec.json.encode(document), model_version)


async def read_survivorship(connection: AsyncConnection) -> Survivorship:
    """Which claims win, by the rules in force."""
    return (await read_rules(await driver_of(connection))).survivorship


@lru_cache(maxsize=VERSIONS_KEPT_PARSED)
def _document(text: str) -> Document:
    return check_document(msgspec.json.decode(text))


@lru_cache(maxsize=VERSIONS_KEPT_PARSED)
def _rules(version: int, encoded: bytes, model_version: int | None) -> Rules:
    return rules_of(version, _document(encoded.decode()), model_version)


async def write_rules(
    driver: Driver, document: Document, *, model_version: int | None, actor: str, reason: str
) -> int:
    """Put a new version in force; returns its number. The caller resolves everybody anew."""
    version = await driver.fetchval(
        "INSERT INTO identity_rules (version, document, model_version, actor, reason)"
        " SELECT coalesce(max(version), $1) + 1, $2::jsonb, $3, $4, $5 FROM identity_rules"
        " RETURNING version",
        DEFAULT_VERSION,
        msgspec.json.encode(document).decode(),
        model_version,
        actor,
        reason,
    )
    assert isinstance(version, int)
    return version
