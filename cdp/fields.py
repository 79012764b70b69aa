"""Everything about a customer that a filter can name: fields, traits by group, and records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Generic, TypeAlias, TypeVar, get_args

from sqlalchemy import ColumnElement, FromClause, Table, Text, func, literal, select

from cdp import tables
from cdp.attributes import ATTRIBUTES
from cdp.consent import ConsentStatus
from cdp.operators import OPERATORS, FieldType, Operand, field_type
from cdp.order_days import day_in, exchange_rate_on, qualifies
from cdp.records import MessageKind
from cdp.rows import ORDER_STATUSES, status_word
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Group, Scope, Trait
from cdp.workspace import Workspace

Row = TypeVar("Row")
EnumType: TypeAlias = type[Enum]


@dataclass(frozen=True, slots=True)
class Field(Generic[Row]):
    """Something that can be compared: its camelCase name, its type, and its SQL over a row.

    `enumeration` holds the values of an ENUM. `is_personal`: a masked reader may not name it.
    `spell` writes a text that it is compared with as its values are written: a word that is not
    found for its capitals alone would find nobody, and nobody would know why. `words` are all that
    its values can be: any other is refused, for under `none` it would find everybody.
    `follows_facts`: when time changes it, the customer's facts are folded anew, and the customer is
    looked at for that.
    """

    name: str
    type: FieldType
    doc: str
    expression: Callable[[Row], ColumnElement[Any]]
    is_personal: bool = False
    enumeration: EnumType | None = None
    spell: Callable[[str], str] | None = None
    words: Sequence[str] = ()
    follows_facts: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What a field of a record may read: its row, that of the record around it, and the clock."""

    row: FromClause
    around: FromClause | None
    scope: Scope
    workspace: Workspace


@dataclass(frozen=True, slots=True)
class Relation:
    """Records of one stream that belong to a customer, by way of the customer's source profiles.

    Deleted records, and those that had not happened at the scope's moment, do not count.
    `relations` are records that belong to one of these; of such, `keys` says which column equals
    which of the record around, and nothing has a moment of its own.
    """

    name: str
    doc: str
    table: Table
    occurred: str | None
    fields: Mapping[str, Field[Entry]]
    relations: Mapping[str, "Relation"] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


def camel_case(name: str) -> str:
    """`net_spend` as the outside says it: `netSpend`."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _by_name(*fields: Field[Row]) -> Mapping[str, Field[Row]]:
    return {each.name: each for each in fields}


def _customer_column(name: str) -> Callable[[Scope], ColumnElement[Any]]:
    return lambda scope: scope.customer.c[name]


def _of_trait(group: Group, trait: Trait) -> Callable[[Scope], ColumnElement[Any]]:
    return lambda scope: scope.once(f"{group.name}_{trait.name}", trait(scope))


def _small(text: str) -> str:
    return text.strip().lower()


def _capital(text: str) -> str:
    return text.strip().upper()


_SPELLED: Final = {"country": _capital}
"""Attributes whose values are words of one spelling."""

_CONTACT_TYPES: Final = {"email": FieldType.EMAIL, "phone": FieldType.PHONE}

FIELDS: Mapping[str, Field[Scope]] = _by_name(
    Field("id", FieldType.ID, "The customer; a merged id is its survivor.", _customer_column("id")),
    *(
        Field(
            camel_case(attribute.name),
            _CONTACT_TYPES.get(attribute.name) or field_type(attribute.type),
            f"{attribute.doc} Yours in any case." if attribute.name in _SPELLED else attribute.doc,
            _customer_column(attribute.name),
            attribute.is_personal,
            spell=_SPELLED.get(attribute.name),
        )
        for attribute in ATTRIBUTES
    ),
    Field(
        "createdAt",
        FieldType.INSTANT,
        "When any source first knew the customer.",
        _customer_column("created_at"),
    ),
    Field(
        "updatedAt",
        FieldType.INSTANT,
        "When the customer last changed.",
        _customer_column("updated_at"),
    ),
)
"""A customer's own fields."""

GROUPS: Mapping[str, Mapping[str, Field[Scope]]] = {
    camel_case(group.name): _by_name(
        *(
            Field(
                camel_case(trait.name),
                field_type(trait.type, trait.unit),
                trait.doc,
                _of_trait(group, trait),
                enumeration=trait.type if issubclass(trait.type, Enum) else None,
            )
            for trait in group.traits
        )
    )
    for group in CATALOG
}
"""The traits, by group."""


def _source_name(entry: Entry) -> ColumnElement[Any]:
    source, row = tables.source, entry.row
    return (
        select(source.c.name).where(source.c.id == row.c.source_id).correlate(row).scalar_subquery()
    )


def _record_column(name: str) -> Callable[[Entry], ColumnElement[Any]]:
    return lambda entry: entry.row.c[name]


def _amount(name: str, doc: str) -> Field[Entry]:
    """Money of an order, or of a line of one, at the rate of the order's day as facts have it."""

    def converted(entry: Entry) -> ColumnElement[Any]:
        order = entry.row if entry.around is None else entry.around
        on = day_in(order.c.placed_at, entry.workspace)
        return entry.row.c[name] * exchange_rate_on(order.c.currency, on, entry.workspace)

    return Field(
        camel_case(name),
        FieldType.MONEY,
        f"{doc} In the workspace's currency, at the rate of the order's day; null where there is"
        " none.",
        converted,
    )


def _record_field(
    name: str,
    type_: FieldType,
    doc: str,
    *,
    is_personal: bool = False,
    spell: Callable[[str], str] | None = None,
    words: Sequence[str] = (),
) -> Field[Entry]:
    read = _record_column(name)
    return Field(camel_case(name), type_, doc, read, is_personal, spell=spell, words=words)


def _told_word(name: str) -> Field[Entry]:
    """A word that is stored as its source wrote it."""
    return Field(
        name,
        FieldType.TEXT,
        "As the source tells it; compared in any case.",
        lambda entry: func.lower(entry.row.c[name], type_=Text),
        spell=_small,
    )


_SOURCE: Final[Field[Entry]] = Field(
    "source", FieldType.TEXT, "The name of the source.", _source_name
)


def _line_category(entry: Entry) -> ColumnElement[Any]:
    """The line's own, else its product's: as the facts read it."""
    product, line = tables.product.alias(), entry.row
    of_product = (
        select(product.c.category)
        .where(product.c.source_id == line.c.source_id, product.c.key == line.c.product_id)
        .correlate(line)
        .scalar_subquery()
    )
    return func.coalesce(line.c.category, of_product, type_=Text)


_LINES: Final = Relation(
    "lines",
    "What was ordered, line by line.",
    tables.order_line,
    None,
    _by_name(
        _record_field("product_id", FieldType.TEXT, "The product's key in the source."),
        _record_field("sku", FieldType.TEXT, "The article's number, as the line says it."),
        _record_field("title", FieldType.TEXT, "The article, as the line says it."),
        Field("category", FieldType.TEXT, "The line's own, else its product's.", _line_category),
        _record_field("quantity", FieldType.NUMBER, "How many of it."),
        _amount("unit_price", "The price of one."),
        _amount("discount", "What was taken off the line."),
    ),
    keys={"source_id": "source_id", "order_key": "key"},
)

MESSAGE_KINDS: Final[Sequence[str]] = get_args(MessageKind)

RELATIONS: Mapping[str, Relation] = {
    "orders": Relation(
        "orders",
        "Purchases, of any status: ask for `isQualifying` to leave out those that do not count.",
        tables.sales_order,
        "placed_at",
        _by_name(
            _SOURCE,
            _record_field("placed_at", FieldType.INSTANT, "When it was placed."),
            Field(
                "status",
                FieldType.TEXT,
                f"One of {', '.join(sorted(ORDER_STATUSES))}; yours in any case, and in the"
                " spellings that sources have for them, such as `canceled`. Another is refused.",
                lambda entry: func.coalesce(
                    entry.row.c.status, literal("completed", Text), type_=Text
                ),
                spell=status_word,
                words=sorted(ORDER_STATUSES),
            ),
            _record_field("channel", FieldType.TEXT, "Where it was placed."),
            _record_field(
                "currency",
                FieldType.TEXT,
                "ISO 4217, of the order's amounts; yours in any case.",
                spell=_capital,
            ),
            _amount("total", "Before refunds."),
            _amount("discount", "What was taken off."),
            _amount("tax", "Of the order."),
            _amount("shipping", "What the delivery cost."),
            Field(
                "isQualifying",
                FieldType.BOOLEAN,
                "Whether it is not cancelled, failed, voided, draft or test, and something is left"
                " of it after refunds: only such orders are in `orderCount`, averages and scores.",
                lambda entry: qualifies(entry.row, entry.workspace, entry.scope.as_of),
                follows_facts=True,
            ),
        ),
        relations={"lines": _LINES},
    ),
    "messages": Relation(
        "messages",
        "Events of messages to the customer.",
        tables.message,
        "occurred_at",
        _by_name(
            _SOURCE,
            _record_field("occurred_at", FieldType.INSTANT, "When it happened."),
            _record_field("channel", FieldType.TEXT, "Such as email or sms."),
            _record_field(
                "kind",
                FieldType.TEXT,
                f"One of {', '.join(MESSAGE_KINDS)}; yours in any case. Another is refused.",
                spell=_small,
                words=MESSAGE_KINDS,
            ),
            _record_field("campaign_id", FieldType.TEXT, "The campaign's key in the source."),
            _record_field("url", FieldType.TEXT, "What was clicked.", is_personal=True),
        ),
    ),
    "interactions": Relation(
        "interactions",
        "What the customer did.",
        tables.interaction,
        "occurred_at",
        _by_name(
            _SOURCE,
            _record_field("occurred_at", FieldType.INSTANT, "When it happened."),
            _record_field("kind", FieldType.TEXT, "Such as follow, like or page_view."),
            _record_field("network", FieldType.TEXT, "The social network, if it was on one."),
        ),
    ),
    "tickets": Relation(
        "tickets",
        "Cases in the support queue.",
        tables.ticket,
        "opened_at",
        _by_name(
            _SOURCE,
            _record_field("opened_at", FieldType.INSTANT, "When it was opened."),
            _record_field("first_response_at", FieldType.INSTANT, "When it was first answered."),
            _record_field("resolved_at", FieldType.INSTANT, "When it was resolved."),
            _record_field("channel", FieldType.TEXT, "How the customer wrote."),
            _told_word("status"),
            _told_word("priority"),
            _record_field("subject", FieldType.TEXT, "Of the case.", is_personal=True),
        ),
    ),
}
"""What `some`, `none`, `every` (all of them; true without any) and `count` can ask about."""

COUNT: Final = "count"
"""How many of the records there are; with `where`, how many for which that holds."""

QUANTIFIERS: Final = ("some", "none", "every")

ATTRIBUTE_OPERATORS: Mapping[str, tuple[FieldType, Operand]] = {
    **{name: (FieldType.TEXT, operand) for name, operand in OPERATORS[FieldType.TEXT].items()},
    **{
        name: (FieldType.NUMBER, operand)
        for name, operand in OPERATORS[FieldType.NUMBER].items()
        if name not in OPERATORS[FieldType.TEXT]
    },
}
"""What `attribute: { name, ... }` takes beside `name`: text operators compare its text; those of
order compare it as a number and hold for nothing that does not read as one."""

CONSENT_MEMBERS: Mapping[str, tuple[type, str]] = {
    "channel": (str, "Such as `email`, in any case."),
    "purpose": (str, "Such as `marketing`, in any case."),
    "status": (ConsentStatus, "How the customer stands."),
}
"""What `consent: { ... }` takes; all of it is asked of the same channel and purpose."""
