"""Relay's Node: what can be fetched again by its global id."""

import strawberry

from schema.edges import Leaf, planned


def _no_column(_: object) -> object:
    raise AssertionError("each type says how its own id is made")


def type_of(value: dict[str, str], *_: object) -> str:
    """The type of an object that the statement built, where an executor walks its answer."""
    return value[":type"]


def is_type_of(*_: object) -> bool:
    """What the statement built is of the type that the statement said."""
    return True


@strawberry.interface(description="Something that can be fetched again by its id.")
class Node:
    """Relay's Node."""

    id: strawberry.ID = planned(Leaf(_no_column), "Opaque and lasting: give it to `node(id:)`.")  # type: ignore[arg-type]

    resolve_type = staticmethod(type_of)
    is_type_of = staticmethod(is_type_of)
