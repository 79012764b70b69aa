"""Declares types, inputs and enums to Strawberry from tables of names, not from written classes."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeAlias

import strawberry

Declared: TypeAlias = Any
"""What Strawberry reads when it builds the schema: a class, an annotation, a field."""

Member: TypeAlias = tuple[Declared, Declared]
"""Of a class: an annotation, and the field beside it."""


def declare(
    decorate: Callable[..., Declared], name: str, description: str, members: Mapping[str, Member]
) -> Declared:
    """A class of the given members, by Python name. `decorate`: strawberry.type or .input."""
    namespace = {
        "__annotations__": {key: annotation for key, (annotation, _) in members.items()},
        "__module__": "schema.traits",  # where forward references among inputs are looked up
        **{key: value for key, (_, value) in members.items()},
    }
    return decorate(type(name, (), namespace), name=name, description=description)


def enumeration(name: str, description: str, values: Mapping[str, str | None]) -> Declared:
    """An enum whose values are their own names, each with a description if there is one."""
    build: Declared = Enum
    members = {
        value: strawberry.enum_value(value, description=doc) for value, doc in values.items()
    }
    return strawberry.enum(build(name, members), description=description)
