"""What a filter asks that is no field of a row: segments, attributes, identifiers, consent."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Numeric,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp.bearers import identified_by
from cdp.consent import Asked, consents, read_status
from cdp.errors import BadInput, UnknownName
from cdp.fields import ATTRIBUTE_OPERATORS, CONSENT_MEMBERS
from cdp.operands import read_list, read_members, read_text
from cdp.operators import FieldType
from cdp.reading import Reading
from cdp.related import is_member
from cdp.rows import channel_of, purpose_of

SEGMENT_OPERATORS: Final = ("in", "notIn")
_NUMBER: Final = r"^\s*[+-]?[0-9]{1,100}(\.[0-9]{1,100})?\s*$"


def in_segments(reading: Reading, given: object, path: str) -> ColumnElement[bool]:
    """Who is in other segments, as they were found last."""
    conditions = []
    for name, value, place in read_members(given, path):
        if name not in SEGMENT_OPERATORS:
            raise UnknownName(name, SEGMENT_OPERATORS, place)
        slugs = [
            read_text(slug, f"{place}[{index}]")
            for index, slug in enumerate(read_list(value, place))
        ]
        reading.count(place)
        reading.segments.update(slugs)
        found = is_member(slugs, reading.scope)
        condition = found if name == "in" else ~found
        reading.note(place, value, condition, is_personal=False)
        conditions.append(condition)
    return and_(true(), *conditions)


def on_attribute(reading: Reading, given: object, path: str) -> ColumnElement[bool]:
    """Of what sources said beyond the fixed attributes: any of it may be personal."""
    reading.see_personal("attribute")
    members = {name: (value, place) for name, value, place in read_members(given, path)}
    if "name" not in members:
        raise BadInput(f"{path} has no name.", path=path)
    value_as_text = reading.scope.customer.c.attributes[read_text(*members.pop("name"))].astext
    value_as_number = case(
        (value_as_text.regexp_match(_NUMBER), cast(value_as_text, Numeric)), else_=None
    )
    conditions = []
    for name, (value, place) in members.items():
        if name not in ATTRIBUTE_OPERATORS:
            raise UnknownName(name, ("name", *ATTRIBUTE_OPERATORS), place)
        type_, _ = ATTRIBUTE_OPERATORS[name]
        read_as = value_as_number if type_ is FieldType.NUMBER else value_as_text
        conditions.append(reading.operators(read_as, type_, {name: value}, path, is_personal=True))
    return and_(true(), *conditions)


def on_identifier(reading: Reading, given: object, path: str) -> ColumnElement[bool]:
    """Some identifier of a kind, or one alone: whoever asks for a value sees personal data."""
    members = {name: value for name, value, _ in read_members(given, path)}
    if unknown := members.keys() - {"kind", "value"}:
        raise UnknownName(min(unknown), ("kind", "value"), f"{path}.{min(unknown)}")
    if "kind" not in members:
        raise BadInput(f"{path} has no kind.", path=path)
    kind = read_text(members["kind"], f"{path}.kind")
    value = read_text(members["value"], f"{path}.value") if "value" in members else None
    if value is not None:
        reading.see_personal("identifier")
    reading.count(path)
    try:
        found = identified_by(kind, value, workspace=reading.workspace)
    except BadInput as error:
        raise BadInput(error.message, todo=error.todo, path=f"{path}.{error.path}") from None
    # EXISTS, and not IN: for a few customers theirs are looked up, for many all are gathered.
    theirs = found.where(found.selected_columns[0] == reading.scope.customer.c.id)
    theirs = theirs.correlate(reading.scope.customer)
    condition = exists(theirs)
    count = theirs.with_only_columns(func.count()).scalar_subquery()
    reading.note(path, given, condition, count, is_personal=value is not None)
    return condition


def on_consent(reading: Reading, given: object, path: str) -> ColumnElement[bool]:
    """How the customer stands to some channel and purpose is so, all members at once."""
    members = {name: (value, place) for name, value, place in read_members(given, path)}
    if unknown := members.keys() - CONSENT_MEMBERS.keys():
        raise UnknownName(min(unknown), CONSENT_MEMBERS, f"{path}.{min(unknown)}")
    reading.count(path)
    channel, purpose = (
        literal(read(read_text(*members[name])), Text) if name in members else None
        for name, read in (("channel", channel_of), ("purpose", purpose_of))
    )
    asked = Asked(reading.scope.as_of, channel=channel, purpose=purpose)
    stands = consents(asked).subquery()
    hers = consents(replace(asked, customer_id=reading.scope.customer.c.id)).subquery()
    said = hers.c.channel.concat("/").concat(hers.c.purpose).concat(": ").concat(hers.c.status)
    all_said = select(func.string_agg(said, aggregate_order_by(literal(", "), said)))
    found = select(stands.c.customer_id)
    if "status" in members:
        found = found.where(stands.c.status == read_status(*members["status"]).value.lower())
    condition = reading.scope.customer.c.id.in_(found)
    reading.asks_consent = True
    reading.note(path, given, condition, all_said.scalar_subquery(), is_personal=False)
    return condition


CONDITIONS: Final[Mapping[str, Callable[[Reading, object, str], ColumnElement[bool]]]] = {
    "segments": in_segments,
    "attribute": on_attribute,
    "identifier": on_identifier,
    "consent": on_consent,
}
"""By the name of the member that asks it, each of the reading, what is given, and its path."""
