"""From a coerced CustomerFilter to the JSON that the domain reads, ids and enums made plain."""

from collections.abc import Mapping
from enum import Enum

from schema.edges import Value
from schema.ids import row_id


def filter_json(given: Mapping[str, Value] | None) -> dict[str, object] | None:
    """The filter as JSON; None for none. Raises BadInput for an id that is no customer's."""
    if given is None:
        return None
    return {name: _member(name, value) for name, value in given.items()}


def _member(name: str, value: Value) -> Value:
    if name in ("and", "or") and value is not None:
        return [filter_json(each) for each in value]
    if name == "not":
        return filter_json(value)
    if name == "id" and value is not None:
        return {operator: _ids(operand) for operator, operand in value.items()}
    return _plain(value)


def _ids(operand: Value) -> Value:
    if isinstance(operand, list):
        return [_ids(each) for each in operand]
    return row_id(operand, "Customer") if isinstance(operand, str) else operand


def _plain(value: Value) -> Value:
    match value:
        case Enum():
            return value.value
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list():
            return [_plain(each) for each in value]
        case _:
            return value
