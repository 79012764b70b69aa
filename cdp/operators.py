"""The operators of a filter: which a type of field has, what each takes, and its SQL."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Date,
    DateTime,
    Numeric,
    Select,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.errors import BadInput
from cdp.identity.normalise import normalise_email, normalise_phone
from cdp.operands import (
    read_customer_id,
    read_date,
    read_decimal,
    read_duration,
    read_instant,
    read_list,
    read_member,
    read_text,
    read_truth,
    read_whole,
)
from cdp.traits.trait import Scope
from cdp.workspace import Workspace


class FieldType(Enum):
    """What kind of value a field holds; it decides the operators and how operands are read."""

    ID = "ID"
    """A customer's id: digits, as text or number. A merged id stands for its survivor."""
    TEXT = "TEXT"
    EMAIL = "EMAIL"
    """Text; operands are normalised first."""
    PHONE = "PHONE"
    """Text in E.164; operands are normalised first, in the workspace's region."""
    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    MONEY = "MONEY"
    """A decimal text or number, in the workspace's currency."""
    DATE = "DATE"
    INSTANT = "INSTANT"
    """ISO 8601 with offset; a date alone is the start of that day of the workspace."""
    ENUM = "ENUM"
    BOOLEAN = "BOOLEAN"


class Operand(Enum):
    """What an operator takes."""

    VALUE = "VALUE"
    """One value of the field's type."""
    LIST = "LIST"
    """At most MAX_LIST values of the field's type; an empty list has nothing in it."""
    PAIR = "PAIR"
    """A list of two values, both included."""
    TEXT = "TEXT"
    """A piece of text; compared without regard to case."""
    BOOLEAN = "BOOLEAN"
    DURATION = "DURATION"
    """ISO 8601: P30D, P1Y6M, P2W, PT12H; years to days are those of the workspace's calendar."""


_EQUALITY: Final = {
    "eq": Operand.VALUE,
    "ne": Operand.VALUE,
    "in": Operand.LIST,
    "notIn": Operand.LIST,
}
_ORDER: Final = {
    "gt": Operand.VALUE,
    "gte": Operand.VALUE,
    "lt": Operand.VALUE,
    "lte": Operand.VALUE,
    "between": Operand.PAIR,
}
_TEXT: Final = {"contains": Operand.TEXT, "startsWith": Operand.TEXT}
_TIME: Final = {
    "before": Operand.VALUE,
    "after": Operand.VALUE,
    "withinLast": Operand.DURATION,
    "olderThan": Operand.DURATION,
}
_NULL: Final = {"isNull": Operand.BOOLEAN}

OPERATORS: Mapping[FieldType, Mapping[str, Operand]] = {
    FieldType.ID: _EQUALITY,
    FieldType.TEXT: {**_EQUALITY, **_TEXT, **_NULL},
    FieldType.EMAIL: {**_EQUALITY, **_TEXT, **_NULL},
    FieldType.PHONE: {**_EQUALITY, **_TEXT, **_NULL},
    FieldType.INTEGER: {**_EQUALITY, **_ORDER, **_NULL},
    FieldType.NUMBER: {**_EQUALITY, **_ORDER, **_NULL},
    FieldType.MONEY: {**_EQUALITY, **_ORDER, **_NULL},
    FieldType.DATE: {**_EQUALITY, **_ORDER, **_TIME, **_NULL},
    FieldType.INSTANT: {**_EQUALITY, **_ORDER, **_TIME, **_NULL},
    FieldType.ENUM: {**_EQUALITY, **_NULL},
    FieldType.BOOLEAN: {"eq": Operand.VALUE},
}
"""The operators of each type of field, with what each takes.

No comparison with a value holds for null, save `ne` and `notIn`, which are the exact opposites of
`eq` and `in`: a customer without a country is not in Germany. Several operators of one field must
all hold. `before` and `after` exclude the moment itself; `withinLast` reaches from a duration ago
to now, `olderThan` holds for everything before that.
"""


def field_type(python_type: type, unit: str | None = None) -> FieldType:
    """The kind of field that a trait's or attribute's type makes; `unit` tells money apart."""
    if issubclass(python_type, Enum):
        return FieldType.ENUM
    if unit == "currency":
        return FieldType.MONEY
    return {
        str: FieldType.TEXT,
        int: FieldType.INTEGER,
        float: FieldType.NUMBER,
        Decimal: FieldType.NUMBER,
        date: FieldType.DATE,
        datetime: FieldType.INSTANT,
    }[python_type]


@dataclass(frozen=True, slots=True)
class Operation:
    """One field that is compared: its SQL, its type, and what its operands mean here.

    `spell` writes a text as the field's values are written; `words` are all that they can be, where
    that is known.
    """

    expression: ColumnElement[Any]
    type: FieldType
    scope: Scope
    workspace: Workspace
    spell: Callable[[str], str] | None = None
    words: Sequence[str] = ()

    def apply(self, name: str, operand: object, path: str) -> ColumnElement[bool]:
        """The condition of one operator; `path` names it to the caller. Raises BadInput."""
        known = OPERATORS[self.type]
        if name not in known:
            raise BadInput(
                f"{self.type.value} fields have no operator {name!r}.",
                todo=f"There are: {', '.join(known)}.",
                path=path,
            )
        if operand is None:
            todo = "Say true or false." if name in _NULL else "Leave it out, or ask with isNull."
            raise BadInput(f"{path} is null.", todo=todo, path=path)
        match known[name]:
            case Operand.VALUE:
                return _COMPARISONS[name](self.expression, self._value(operand, path))
            case Operand.LIST:
                found = self._is_among(operand, path)
                return found if name == "in" else found.is_not(True)
            case Operand.PAIR:
                return self._between(operand, path)
            case Operand.TEXT:
                return self._text(name, operand, path)
            case Operand.BOOLEAN:
                absent = self.expression.is_(None)
                return absent if read_truth(operand, path) else self.expression.is_not(None)
            case Operand.DURATION:
                return self._relative(name, operand, path)

    def _read(self, operand: object, path: str) -> object:
        if self.type is FieldType.ENUM:
            return read_member(self.expression.type.python_type, operand, path)
        value = _READERS[self.type](operand, path, self.workspace)
        if not isinstance(value, str):
            return value
        word = self.spell(value) if self.spell else value
        if self.words and word not in self.words:
            known = ", ".join(self.words)
            raise BadInput(
                f"{path}: {value!r} is no such word.", todo=f"There are: {known}.", path=path
            )
        return word

    def _value(self, operand: object, path: str) -> ColumnElement[Any]:
        value = self._read(operand, path)
        bound = literal(value, _SQL_TYPES.get(self.type, self.expression.type))
        return _survivors(bound).scalar_subquery() if self.type is FieldType.ID else bound

    def _is_among(self, operand: object, path: str) -> ColumnElement[bool]:
        """In a list, which is one parameter whatever its length: a statement has so many."""
        values = [
            self._read(item, f"{path}[{index}]")
            for index, item in enumerate(read_list(operand, path))
        ]
        type_ = ARRAY(_SQL_TYPES.get(self.type, self.expression.type))
        among = any_(literal(values, type_))
        if self.type is FieldType.ID:
            return self.expression.in_(_survivors(among))
        return self.expression == among

    def _between(self, operand: object, path: str) -> ColumnElement[bool]:
        items = read_list(operand, path)
        if len(items) != 2:
            raise BadInput(
                f"{path} has {len(items)} values.",
                todo="Give the lowest and the highest.",
                path=path,
            )
        low, high = (self._value(item, f"{path}[{index}]") for index, item in enumerate(items))
        return and_(self.expression >= low, self.expression <= high)

    def _text(self, name: str, operand: object, path: str) -> ColumnElement[bool]:
        piece = read_text(operand, path)
        if self.type is FieldType.PHONE:
            piece = re.sub(r"[^+0-9]", "", piece)
        if name == "contains":
            return self.expression.icontains(piece, autoescape=True)
        return self.expression.istartswith(piece, autoescape=True)

    def _relative(self, name: str, operand: object, path: str) -> ColumnElement[bool]:
        interval = read_duration(operand, path)
        zone = self.workspace.timezone
        moment: ColumnElement[Any]
        if self.type is FieldType.DATE:
            now, moment = self.scope.today, cast(self.scope.today - interval, Date)
        else:
            now = self.scope.as_of
            moment = func.timezone(zone, func.timezone(zone, now) - interval, type_=_Instant)
        if name == "olderThan":
            return self.expression <= moment
        return and_(self.expression > moment, self.expression <= now)


def _survivors(ids: ColumnElement[Any]) -> Select[int]:
    """Who bears an id, or any of some, now: the profile that reserved it knows, merged or not."""
    profile = tables.source_profile.alias()
    return select(profile.c.customer_id).where(profile.c.id == ids)


_Instant: Final = DateTime(timezone=True)
_Comparison: TypeAlias = Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]

_COMPARISONS: Final[Mapping[str, _Comparison]] = {
    "eq": operator.eq,
    "ne": lambda expression, value: expression.is_distinct_from(value),
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "before": operator.lt,
    "after": operator.gt,
}

_SQL_TYPES: Final[Mapping[FieldType, TypeEngine[Any]]] = {
    FieldType.ID: BigInteger(),
    FieldType.TEXT: Text(),
    FieldType.EMAIL: Text(),
    FieldType.PHONE: Text(),
    FieldType.INTEGER: BigInteger(),
    FieldType.NUMBER: Numeric(),
    FieldType.MONEY: Numeric(),
    FieldType.DATE: Date(),
    FieldType.INSTANT: _Instant,
    FieldType.BOOLEAN: Boolean(),
}


def _read_email(operand: object, path: str, _: Workspace) -> str:
    text = read_text(operand, path)
    return normalise_email(text) or text


def _read_phone(operand: object, path: str, workspace: Workspace) -> str:
    text = read_text(operand, path)
    return normalise_phone(text, workspace.region) or text


_Reader: TypeAlias = Callable[[object, str, Workspace], object]

_READERS: Final[Mapping[FieldType, _Reader]] = {
    FieldType.ID: lambda operand, path, _: read_customer_id(operand, path),
    FieldType.TEXT: lambda operand, path, _: read_text(operand, path),
    FieldType.EMAIL: _read_email,
    FieldType.PHONE: _read_phone,
    FieldType.INTEGER: lambda operand, path, _: read_whole(operand, path),
    FieldType.NUMBER: lambda operand, path, _: read_decimal(operand, path),
    FieldType.MONEY: lambda operand, path, _: read_decimal(operand, path),
    FieldType.DATE: lambda operand, path, _: read_date(operand, path),
    FieldType.INSTANT: read_instant,
    FieldType.BOOLEAN: lambda operand, path, _: read_truth(operand, path),
}
"""How each type but ENUM, whose own values it takes, reads an operand."""
