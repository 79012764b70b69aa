"""From the catalog of traits to the graph: a type per group, the filter input, the sort enum."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal as PythonDecimal
from enum import Enum
from typing import Annotated, Any, Final

import strawberry

from cdp.fields import (
    ATTRIBUTE_OPERATORS,
    CONSENT_MEMBERS,
    COUNT,
    FIELDS,
    GROUPS,
    QUANTIFIERS,
    RELATIONS,
    Field,
    Relation,
    camel_case,
)
from cdp.keyset import SORT_FIELDS
from cdp.keyset import Direction as SortDirection
from cdp.operators import OPERATORS, FieldType, Operand
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import POINTS, Group, Trait
from schema.declare import Declared, Member, declare, enumeration
from schema.edges import Embedded, Leaf, planned
from schema.ids import exact
from schema.scalars import BigInt, Date, DateTime, Decimal

_OUTPUT: Final[Mapping[type, Any]] = {
    str: str,
    int: int,
    float: float,
    bool: bool,
    PythonDecimal: Decimal,
    date: Date,
    datetime: DateTime,
}

_UNITS: Final = {
    "currency": "In the workspace's currency.",
    "days": "In days.",
    "hours": "In hours.",
    "ratio": "Between 0 and 1.",
}

_OPERAND_DOCS: Final = {
    "eq": "Equal to it.",
    "ne": "Anything but it, null too.",
    "in": "One of these, at most 250.",
    "notIn": "None of these; null is none of them.",
    "gt": "Greater than it.",
    "gte": "Greater than it, or equal.",
    "lt": "Less than it.",
    "lte": "Less than it, or equal.",
    "between": "A list of two: from the first to the second, both included.",
    "contains": "This piece of text stands in it, in any case.",
    "startsWith": "It begins with this piece of text, in any case.",
    "before": "Earlier than it.",
    "after": "Later than it.",
    "withinLast": "From this long ago until now, as an ISO 8601 duration: `P30D`, `P1Y6M`;"
    " at most 200 years.",
    "olderThan": "Longer ago than this, as an ISO 8601 duration: `P90D`; at most 200 years.",
    "isNull": "True: there is no value; false: there is one.",
}


def _pascal(name: str) -> str:
    camel = camel_case(name)
    return camel[0].upper() + camel[1:]


def enum(enumeration: type[Enum]) -> Declared:
    """The enum as the graph knows it; described by its own docstring."""
    if not hasattr(enumeration, "__strawberry_definition__"):
        strawberry.enum(enumeration, description=enumeration.__doc__)
    return enumeration


# What is read ---------------------------------------------------------------------------------


def _trait_doc(trait: Trait) -> str:
    unit = _UNITS.get(trait.unit or "", "")
    return (
        trait.doc
        if not unit or unit[:-1].lower() in trait.doc.lower()
        else f"{trait.doc}\n\n{unit}"
    )


def _trait_field(trait: Trait) -> Member:
    output = enum(trait.type) if issubclass(trait.type, Enum) else _OUTPUT[trait.type]
    if trait.unit == POINTS:
        output = BigInt
    is_exact = trait.type is PythonDecimal
    edge = Leaf(lambda row: exact(trait.shown(row.scope)) if is_exact else trait(row.scope))
    return output | None, planned(edge, _trait_doc(trait))


def _group_type(group: Group) -> Declared:
    members = {trait.name: _trait_field(trait) for trait in group.traits}
    return declare(strawberry.type, group.type_name or _pascal(group.name), group.doc, members)


def with_groups(customer: type) -> type:
    """Add a field for each group of the catalog to the class of the Customer type."""
    for group in CATALOG:
        customer.__annotations__[group.name] = _group_type(group)
        setattr(customer, group.name, planned(Embedded(), group.doc))
    return customer


# What is compared -----------------------------------------------------------------------------

_INPUT: Final[Mapping[FieldType, Any]] = {
    FieldType.ID: strawberry.ID,
    FieldType.TEXT: str,
    FieldType.EMAIL: str,
    FieldType.PHONE: str,
    FieldType.INTEGER: int,
    FieldType.NUMBER: Decimal,
    FieldType.MONEY: Decimal,
    FieldType.DATE: Date,
    FieldType.INSTANT: DateTime,
    FieldType.BOOLEAN: bool,
}

_TYPE_DOCS: Final[Mapping[FieldType, str]] = {
    FieldType.ID: "Compares ids.",
    FieldType.TEXT: "Compares text, letter by letter, save where a field says otherwise.",
    FieldType.EMAIL: "Compares email addresses; yours are normalised first.",
    FieldType.PHONE: "Compares phone numbers; yours are read as E.164 first.",
    FieldType.INTEGER: "Compares whole numbers.",
    FieldType.NUMBER: "Compares decimal numbers.",
    FieldType.MONEY: "Compares amounts in the workspace's currency, given as text or number.",
    FieldType.DATE: "Compares days.",
    FieldType.INSTANT: "Compares moments.",
    FieldType.BOOLEAN: "Asks whether something is so.",
}
_TYPE_NAMES: Final[Mapping[FieldType, str]] = {FieldType.INSTANT: "DateTime", FieldType.ID: "Id"}


def _member(annotation: Declared, description: str, name: str) -> Member:
    field = strawberry.field(name=name, description=description, default=strawberry.UNSET)
    return annotation | None, field


def _operator(name: str, operand: Operand, value: Declared) -> Member:
    annotation = {
        Operand.VALUE: value,
        Operand.LIST: list[value],
        Operand.PAIR: list[value],
        Operand.TEXT: str,
        Operand.BOOLEAN: bool,
        Operand.DURATION: str,
    }[operand]
    return _member(annotation, _OPERAND_DOCS[name], name)


def _operators(name: str, doc: str, operators: Mapping[str, Operand], value: Declared) -> Declared:
    members = {
        f"{operator}_": _operator(operator, operand, value)
        for operator, operand in operators.items()
    }
    return declare(strawberry.input, name, f"{doc} Several operators must all hold.", members)


_COMPARISONS: Final = {
    field_type: _operators(
        f"{_TYPE_NAMES.get(field_type, field_type.value.capitalize())}Filter",
        _TYPE_DOCS[field_type],
        OPERATORS[field_type],
        value,
    )
    for field_type, value in _INPUT.items()
}
_ENUM_COMPARISONS: Final[dict[type[Enum], Any]] = {}


def _comparison(field: Field[Any]) -> Declared:
    """The input that compares a field of this type."""
    if field.enumeration is None:
        return _COMPARISONS[field.type]
    if field.enumeration not in _ENUM_COMPARISONS:
        _ENUM_COMPARISONS[field.enumeration] = _operators(
            f"{field.enumeration.__name__}Filter",
            f"Compares with the values of {field.enumeration.__name__}.",
            OPERATORS[field.type],
            enum(field.enumeration),
        )
    return _ENUM_COMPARISONS[field.enumeration]


def _nesting(name: str) -> dict[str, Member]:
    this = Annotated[name, strawberry.lazy(__name__)]  # type: ignore[valid-type]
    return {
        "and_": _member(list[this], "All of them hold; true of an empty list.", "and"),
        "or_": _member(list[this], "At least one holds; false of an empty list.", "or"),
        "not_": _member(this, "It does not hold.", "not"),
    }


def _comparing(fields: Mapping[str, Field[Any]]) -> dict[str, Member]:
    return {name: _member(_comparison(field), field.doc, name) for name, field in fields.items()}


def _record_filter(relation: Relation) -> Declared:
    name = f"{_pascal(relation.name)[:-1]}Filter"
    members = {
        **_nesting(name),
        **_comparing(relation.fields),
        **{
            inner.name: _member(_relation_filter(inner), inner.doc, inner.name)
            for inner in relation.relations.values()
        },
    }
    filter_ = declare(strawberry.input, name, f"One of them. {relation.doc}", members)
    globals()[name] = filter_
    return filter_


_QUANTIFIER_DOCS: Final = {
    "some": "At least one is so.",
    "none": "None is so.",
    "every": "All are so; true without any.",
}


def _relation_filter(relation: Relation) -> Declared:
    one = _record_filter(relation)
    members = {name: _member(one, _QUANTIFIER_DOCS[name], name) for name in QUANTIFIERS}
    members["count_"] = _member(_count_filter(relation, one), "How many there are.", COUNT)
    return declare(strawberry.input, f"{_pascal(relation.name)}Filter", relation.doc, members)


def _count_filter(relation: Relation, one: Declared) -> Declared:
    integer = FieldType.INTEGER
    members = {
        "where": _member(one, "Counts only those for which this holds.", "where"),
        **{
            f"{name}_": _operator(name, operand, _INPUT[integer])
            for name, operand in OPERATORS[integer].items()
        },
    }
    name = f"{_pascal(relation.name)[:-1]}CountFilter"
    return declare(strawberry.input, name, "Compares how many records there are.", members)


def _segments_filter() -> Declared:
    members = {
        "in_": _member(list[str], "In at least one segment of these slugs.", "in"),
        "not_in_": _member(list[str], "In no segment of these slugs.", "notIn"),
    }
    doc = "Who is in other segments, by slug. One that no segment has is refused."
    return declare(strawberry.input, "SegmentsFilter", doc, members)


def _attribute_filter() -> Declared:
    members = {
        "name": (str, strawberry.field(description="As the source spells it.")),
        **{
            f"{name}_": _operator(name, operand, _INPUT[field_type])
            for name, (field_type, operand) in ATTRIBUTE_OPERATORS.items()
        },
    }
    doc = (
        "An attribute that a source gave beyond the fixed ones. Operators of text compare its text,"
        " those of order compare it as a number."
    )
    return declare(strawberry.input, "AttributeFilter", doc, members)


def _identifier_filter() -> Declared:
    members = {
        "kind": (str, strawberry.field(description="Such as `email` or `handle:bluesky`.")),
        "value_": _member(str, "Normalised first; left out: any of the kind.", "value"),
    }
    doc = "An identifier that the customer bears, or once bore."
    return declare(strawberry.input, "IdentifierFilter", doc, members)


def _consent_filter() -> Declared:
    members = {
        name: _member(enum(type_) if issubclass(type_, Enum) else type_, doc, name)
        for name, (type_, doc) in CONSENT_MEMBERS.items()
    }
    doc = (
        "How the customer stands to one channel and purpose: all members hold of the same one. Who"
        " has said nothing is found by `not`."
    )
    return declare(strawberry.input, "ConsentFilter", doc, members)


def _group_filter(group: Group) -> Declared:
    fields = GROUPS[camel_case(group.name)]
    name = f"{_pascal(group.name)}Filter"
    return declare(strawberry.input, name, group.doc, _comparing(fields))


def _customer_filter() -> Declared:
    members = {
        **_nesting("CustomerFilter"),
        **_comparing(FIELDS),
        **{
            group.name: _member(_group_filter(group), group.doc, camel_case(group.name))
            for group in CATALOG
        },
        **{
            name: _member(_relation_filter(relation), relation.doc, name)
            for name, relation in RELATIONS.items()
        },
        "segments": _member(_segments_filter(), "In segments, or in none of them.", "segments"),
        "attribute": _member(_attribute_filter(), "One of the free attributes.", "attribute"),
        "identifier": _member(_identifier_filter(), "Bears an identifier.", "identifier"),
        "consent": _member(_consent_filter(), "Consents, or refuses.", "consent"),
    }
    doc = (
        "Which customers. All members must hold; an empty filter holds for everybody. A role that"
        " does not see personal data may not name it here."
    )
    return declare(strawberry.input, "CustomerFilter", doc, members)


CustomerFilter = _customer_filter()

# What is sorted by ----------------------------------------------------------------------------

CustomerOrderField: Declared = enumeration(
    "CustomerOrderField",
    "What customers can be sorted by. Who has no value stands last, either way.",
    {name: field.doc for name, field in SORT_FIELDS.items()},
)

Direction: Declared = strawberry.enum(SortDirection, description="Which way a sort goes.")

CustomerOrder: Declared = declare(
    strawberry.input,
    "CustomerOrder",
    "One sort field; the customer's id decides between equals.",
    {
        "field": (CustomerOrderField, strawberry.field(description="What to sort by.")),
        "direction": (Direction, strawberry.field(description="Which way.")),
    },
)
