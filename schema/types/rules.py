"""The rules of identity in force: which identifiers join whom, and from where on likeness does."""

from typing import Any, Final

import msgspec
import strawberry
from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Text,
    case,
    cast,
    func,
    literal,
    null,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from strawberry.types.info import Info

from cdp import tables
from cdp.errors import Forbidden
from cdp.identity.rules import (
    DEFAULT_DOCUMENT,
    DEFAULT_VERSION,
    Strength,
    check_document,
    rules_text,
)
from schema.context import Context
from schema.declare import Declared, enumeration
from schema.edges import (
    EDGE,
    Arguments,
    Branch,
    Embedded,
    Leaf,
    Loaded,
    Many,
    Root,
    Row,
    Scene,
    column,
    planned,
)
from schema.scalars import DateTime

IdentifierStrength: Declared = enumeration(
    "IdentifierStrength",
    "How much it says that two source profiles carry the same identifier.",
    {
        "UNIQUE": "It joins alone: two people do not share it.",
        "COMMON": "It joins where names agree or one is absent: households share it.",
        "WEAK": "It joins only where names are known and agree: many people use one device.",
    },
)


def _number(name: str) -> Leaf:
    """A number in a kind's rule."""
    return Leaf(lambda row: cast(row.table.c.rule[name].astext, Integer))


@strawberry.type(description="What one kind of identifier may do.")
class IdentifierRule:
    """A member of `kinds` in identity_rules.document."""

    kind: str = column("kind", "`email`, `phone`, `loyalty_card`, `handle`, ...")
    strength: IdentifierStrength = planned(
        Leaf(lambda row: func.upper(row.table.c.rule["strength"].astext, type_=Text)),
        "How much it says.",
    )
    most_per_customer: int = planned(
        _number("most_per_customer"),
        "How many current values one person plausibly has; a join beyond is not made.",
    )
    most_persons: int = planned(
        _number("most_persons"),
        "How many distinct persons may share a value before it joins nobody.",
    )


def _kinds(rules: Row, _: Arguments) -> Branch:
    kinds = func.jsonb_each(rules.table.c.document["kinds"])
    each = kinds.table_valued("key", "value").render_derived(name="kinds")
    found = (
        select(each.c.key.label("kind"), cast(each.c.value, JSONB).label("rule"))
        .correlate_except(each)
        .subquery()
    )
    rank = case(
        {strength.name.lower(): strength.value for strength in Strength},
        value=found.c.rule["strength"].astext,
    )
    query = select().select_from(found).order_by(rank, found.c.kind)
    return Branch("IdentifierRule", Row(found, "kind_rule", rules.scene), query)


def _cut(name: str) -> Leaf:
    return Leaf(lambda row: cast(row.table.c.document["linkage"][name].astext, Double))


@strawberry.type(description="From where on likeness joins, and from where on it asks a person.")
class LinkageRules:
    """The member `linkage` of identity_rules.document, and the model."""

    join_weight: float = planned(
        _cut("join_weight"),
        "Weight from which two source profiles that are alike are joined: the binary logarithm of"
        " the odds that they are one.",
    )
    review_weight: float = planned(
        _cut("review_weight"),
        "Weight from which they are left to a review; below, nothing is said.",
    )
    model_version: int | None = column(
        "model_version", "The model whose comparisons count; null before `cdp resolve` made one."
    )


async def _document(root: dict[str, Any], info: Info[Context, None]) -> str:
    del info
    return rules_text(check_document(root["document:key"]))


@strawberry.type(
    description="A version of the rules of identity: the same evidence and the same version always"
    " give the same customers."
)
class IdentityRules:
    """The latest row of identity_rules, else the defaults."""

    version: int = column("version", "Its number, as `MergeEvent.ruleVersion` names it.")
    applied_at: DateTime | None = column(
        "applied_at", "When it came into force; null of the rules that are built in."
    )
    actor: str | None = column("actor", "Who applied it; null of the rules that are built in.")
    reason: str | None = column("reason", "Why, in words; null of the rules that are built in.")
    kinds: list[IdentifierRule] = planned(
        Many(_kinds), "A rule for each kind of identifier, the strongest first."
    )
    linkage: LinkageRules = planned(Embedded(), "What likeness may do.")
    document: str = strawberry.field(
        resolver=_document,
        description="The whole document in TOML, as `cdp identity rules apply` takes it.",
        metadata={EDGE: Loaded(lambda row: row.table.c.document)},
    )


def _default() -> ColumnElement[Any]:
    return cast(literal(msgspec.json.encode(DEFAULT_DOCUMENT).decode(), Text), JSONB)


def _in_force(scene: Scene, _: Arguments) -> Branch:
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read the rules.")
    stored = tables.identity_rules
    names = ("version", "document", "model_version", "applied_at", "actor", "reason")
    built_in = select(
        literal(DEFAULT_VERSION, Integer).label("version"),
        _default().label("document"),
        *(null().label(name) for name in names[2:]),
    )
    versions = union_all(select(*(stored.c[name] for name in names)), built_in).subquery()
    query = select().select_from(versions).order_by(versions.c.version.desc())
    return Branch("IdentityRules", Row(versions, "identity_rules", scene), query)


RULES: Final = Root(_in_force)
