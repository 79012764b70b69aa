"""What kind of value each canonical column takes, read from the records themselves."""

from collections.abc import Mapping
from enum import Enum
from functools import cache

import msgspec
from msgspec import inspect

from cdp.records import STREAMS, OrderLine


class Target(Enum):
    """The kinds of canonical columns."""

    TEXT = "text"
    NUMBER = "number"
    MOMENT = "moment"
    DATE = "date"
    STRUCTURE = "structure"


_KINDS: tuple[tuple[type[inspect.Type], Target], ...] = (
    (inspect.StrType, Target.TEXT),
    (inspect.LiteralType, Target.TEXT),
    (inspect.DecimalType, Target.NUMBER),
    (inspect.IntType, Target.NUMBER),
    (inspect.DateTimeType, Target.MOMENT),
    (inspect.DateType, Target.DATE),
)


@cache
def targets_of(stream: str) -> Mapping[str, Target]:
    """Kind by column of a canonical stream; what the record itself calls `attributes` is none."""
    targets = _targets(STREAMS[stream])
    return {name: target for name, target in targets.items() if name != "attributes"}


@cache
def line_targets() -> Mapping[str, Target]:
    """Kind by column of the lines inside an order."""
    return _targets(OrderLine)


@cache
def required_of(stream: str) -> frozenset[str]:
    """The columns without which no row of a stream can be taken."""
    fields = msgspec.structs.fields(STREAMS[stream])
    return frozenset(field.name for field in fields if field.required)


@cache
def structures_of(stream: str) -> frozenset[str]:
    """The columns that hold lists or objects: JSON, where a cell can only hold text."""
    targets = targets_of(stream)
    return frozenset(name for name, target in targets.items() if target is Target.STRUCTURE)


def _targets(struct: type[msgspec.Struct]) -> dict[str, Target]:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {field.name: _target(field.type) for field in info.fields}


def _target(found: inspect.Type) -> Target:
    members = found.types if isinstance(found, inspect.UnionType) else (found,)
    for kind, target in _KINDS:
        if any(isinstance(member, kind) for member in members):
            return target
    return Target.STRUCTURE
