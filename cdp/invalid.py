"""Why a value does not fit its type: the place, what was given, and what to write instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final, NamedTuple

import msgspec
from msgspec import inspect

from cdp.records import COUNTRY_PATTERN, CURRENCY_PATTERN

MAX_SHOWN: Final = 80  # characters of what was given: enough to find it, no book in a list

_FORMS: Final[Sequence[tuple[type[inspect.Type], str, str]]] = (
    (inspect.DateTimeType, "not a moment", "Write 2026-01-31T12:00:00Z, with Z or an offset."),
    (inspect.DateType, "not a date", "Write 2026-01-31."),
    (inspect.DecimalType, "not a decimal number", "Write 1234.56."),
    (inspect.FloatType, "not a number", "Write 0.5."),
    (inspect.IntType, "not a whole number", "Write 12."),
    (inspect.BoolType, "neither true nor false", "Write one of the two."),
    (inspect.ListType, "not a list", "In a cell, write it as JSON: [...]."),
    (inspect.DictType, "not an object", "In a cell, write it as JSON: {...}."),
    (inspect.StructType, "not an object", "In a cell, write it as JSON: {...}."),
    (inspect.StrType, "not text", "Write it in quotes."),
)
"""What a value of each type fails to be, and how one is written."""

_PATTERNS: Final[Mapping[str, tuple[str, str]]] = {
    COUNTRY_PATTERN: ("a country", "Write the two letters of ISO 3166, such as DE."),
    CURRENCY_PATTERN: ("a currency", "Write the three letters of ISO 4217, such as EUR."),
}

_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")
_MISSING: Final = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.+)`")


class Misfit(NamedTuple):
    """Why a value cannot be taken, in sentences, and its place, such as `lines[0].quantity`."""

    reason: str
    path: str

    def __str__(self) -> str:
        """Place and reason."""
        return f"{self.path}: {self.reason}" if self.path else self.reason


def why_invalid(error: msgspec.ValidationError, given: object, wanted: type) -> Misfit:
    """The place of a fault in what was given for a struct, and its reason in words of our own."""
    told, _, place = str(error).partition(" - at ")
    path = place.strip("`").removeprefix("$").lstrip(".")
    value, types = _walk(given, _alternatives(_type_of(wanted)), path)
    if missing := _MISSING.fullmatch(told):
        name = missing[1]
        return Misfit(f"There is no {name}. Give one: it is required.", _join(path, name))
    if unknown := _UNKNOWN.fullmatch(told):
        known = ", ".join(field.name for one in types for field in _fields(one))
        return Misfit(f"There is no {unknown[1]!r} here. There are: {known}.", path)
    return Misfit(_reason(value, types) or f"{told}.", path)


def no_moment(value: object) -> str:
    """Why a number is no moment: the library would count it in seconds from 1970."""
    reason = _reason(value, (inspect.DateTimeType(),))
    assert reason is not None  # moments have words of ours
    return reason


@cache
def _type_of(wanted: type) -> inspect.Type:
    return inspect.type_info(wanted)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _alternatives(found: inspect.Type) -> tuple[inspect.Type, ...]:
    """The types that may be given; null is none of them: leaving out says the same."""
    if isinstance(found, inspect.Metadata):
        return _alternatives(found.type)
    if isinstance(found, inspect.UnionType):
        return tuple(one for member in found.types for one in _alternatives(member))
    return () if isinstance(found, inspect.NoneType) else (found,)


def _fields(found: inspect.Type) -> Sequence[inspect.Field]:
    return found.fields if isinstance(found, inspect.StructType) else ()


_NOT_TOLD: Final = object()
"""Stands for a value that the path does not lead to: of objects the library tells no key."""


def _walk(
    value: object, types: tuple[inspect.Type, ...], path: str
) -> tuple[object, tuple[inspect.Type, ...]]:
    """What stands at a path, and the types that it may have."""
    for name, index, _ in _STEP.findall(path):
        key: object = name or (int(index) if index else None)
        try:
            value = value[key] if key is not None else _NOT_TOLD  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            value = _NOT_TOLD
        below = (one for found in types for one in _below(found, name))
        types = _meant(value, tuple(found for one in below for found in _alternatives(one)))
    return value, types


def _meant(value: object, types: tuple[inspect.Type, ...]) -> tuple[inspect.Type, ...]:
    """Of objects told apart by a tag, the one whose tag the value bears; else all."""
    tags = value if isinstance(value, Mapping) else {}
    named = tuple(
        one
        for one in types
        if isinstance(one, inspect.StructType)
        and one.tag_field is not None
        and tags.get(one.tag_field) == one.tag
    )
    return named or types


def _below(found: inspect.Type, name: str) -> Iterator[inspect.Type]:
    match found:
        case inspect.StructType():
            yield from (field.type for field in found.fields if field.name == name)
            if name == found.tag_field:
                yield inspect.LiteralType((found.tag,))
        case inspect.ListType() | inspect.VarTupleType():
            yield found.item_type
        case inspect.DictType():
            yield found.value_type


def _reason(value: object, types: Sequence[inspect.Type]) -> str | None:
    """Two sentences; None where the types have no words of ours."""
    words = [one for found in types for one in _choices(found)]
    if words:
        return f"{_shown(value)} is none of what there is. There are: {', '.join(words)}."
    for found in types:
        if isinstance(found, inspect.StrType) and isinstance(value, str):
            return _text_reason(value, found)
    for found in types:
        for kind, fault, remedy in _FORMS:
            if isinstance(found, kind):
                return f"{_shown(value)} is {fault}{_bounds(found)}. {remedy}"
    return None


def _choices(found: inspect.Type) -> Iterator[str]:
    if isinstance(found, inspect.LiteralType):
        yield from map(str, found.values)
    if isinstance(found, inspect.EnumType):
        yield from (str(member.value) for member in found.cls)


def _text_reason(text: str, found: inspect.StrType) -> str:
    if found.pattern is not None:
        noun, remedy = _PATTERNS.get(found.pattern, (f"text like {found.pattern}", ""))
        return f"{_shown(text)} is not {noun}. {remedy}".strip()
    if not text:
        return "It is empty. Give it, or leave it out."
    return f"{_shown(text)} has {len(text)} characters. {found.max_length} are the most."


def _bounds(found: inspect.Type) -> str:
    """What a number may be, such as ` from 1 to 10`; empty where there is no bound."""
    if not isinstance(found, (inspect.IntType, inspect.FloatType)):
        return ""
    least = "" if found.ge is None else f" from {found.ge:,}"
    above = "" if found.gt is None else f" above {found.gt:,}"
    most = "" if found.le is None else f" to {found.le:,}" if least else f" up to {found.le:,}"
    below = "" if found.lt is None else f" below {found.lt:,}"
    return f"{least}{above}{most or (' on' if least and not below else '')}{below}"


def _shown(value: object) -> str:
    if value is _NOT_TOLD:
        return "What is given"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
