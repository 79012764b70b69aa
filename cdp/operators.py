"""The operators of a filter: which a type of field has, how each reads its operand, its SQL."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, TypeAlias
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    cast,
    func,
    literal,
    select,
)
from sqlalchemy.types import TypeEngine

from cdp import tables
from cdp.delivery import EARLIEST_YEAR, LATEST_YEAR
from cdp.errors import BadInput
from cdp.identity.normalise import normalise_email, normalise_phone
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MAX_LIST: Final = 250  # values of one operand; as many as one list of GraphQL may have
MAX_TEXT: Final = 1_000  # characters of one operand; longer than any value worth comparing with
MAX_WHOLE: Final = 2**63 - 1  # what a bigint holds
MAX_DIGITS: Final = 30  # of a decimal, either side of the point; far beyond any amount of money
MAX_DURATION_PART: Final = 100_000  # keeps a moment minus a duration a moment


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
    """One field that is compared: its SQL, its type, and what its operands mean here."""

    expression: ColumnElement[Any]
    type: FieldType
    scope: Scope
    workspace: Workspace

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
                found = self.expression.in_(self._values(operand, path))
                return found if name == "in" else found.is_not(True)
            case Operand.PAIR:
                return self._between(operand, path)
            case Operand.TEXT:
                return self._text(name, operand, path)
            case Operand.BOOLEAN:
                if not isinstance(operand, bool):
                    raise BadInput(f"{path} is not true or false.", path=path)
                absent = self.expression.is_(None)
                return absent if operand else self.expression.is_not(None)
            case Operand.DURATION:
                return self._relative(name, operand, path)

    def _value(self, operand: object, path: str) -> ColumnElement[Any]:
        value = _READERS[self.type](self, operand, path)
        bound = literal(value, _SQL_TYPES.get(self.type, self.expression.type))
        return _survivors([bound]).scalar_subquery() if self.type is FieldType.ID else bound

    def _values(self, operand: object, path: str) -> Sequence[ColumnElement[Any]] | Select[int]:
        read, type_ = _READERS[self.type], _SQL_TYPES.get(self.type, self.expression.type)
        values = [
            literal(read(self, item, f"{path}[{index}]"), type_)
            for index, item in enumerate(read_list(operand, path))
        ]
        return _survivors(values) if self.type is FieldType.ID else values

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
        interval = _read_duration(operand, path)
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


def _survivors(ids: Sequence[ColumnElement[Any]]) -> Select[int]:
    """Who bears these ids now: a merged id is still known by the profile that reserved it."""
    profile = tables.source_profile.alias()
    return select(profile.c.customer_id).where(profile.c.id.in_(ids))


def bounded_decimal(text: str) -> Decimal:
    """A finite decimal of MAX_DIGITS either side of the point. Raises ArithmeticError."""
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DIGITS or value.adjusted() > MAX_DIGITS:
        raise ArithmeticError(f"{text[:80]} is out of bounds")
    return value


def read_list(operand: object, path: str) -> Sequence[object]:
    """A list within bounds. Raises BadInput."""
    if not isinstance(operand, (list, tuple)):
        raise BadInput(f"{path} is not a list.", path=path)
    if len(operand) > MAX_LIST:
        raise BadInput(f"{path} has {len(operand)} values; {MAX_LIST} is the most.", path=path)
    return operand


def read_text(operand: object, path: str) -> str:
    """A text that PostgreSQL can hold. Raises BadInput."""
    if not isinstance(operand, str):
        raise BadInput(f"{path} is not text.", path=path)
    if len(operand) > MAX_TEXT:
        raise BadInput(f"{path} has {len(operand)} characters; {MAX_TEXT} is the most.", path=path)
    if "\0" in operand or any("\ud800" <= character <= "\udfff" for character in operand):
        raise BadInput(f"{path} holds a character that no text can have.", path=path)
    return operand


_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]
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
}


def _read_text(_: Operation, operand: object, path: str) -> str:
    return read_text(operand, path)


def _read_email(_: Operation, operand: object, path: str) -> str:
    text = read_text(operand, path)
    return normalise_email(text) or text


def _read_phone(operation: Operation, operand: object, path: str) -> str:
    text = read_text(operand, path)
    return normalise_phone(text, operation.workspace.region) or text


def _read_whole(_: Operation, operand: object, path: str) -> int:
    if isinstance(operand, bool) or not isinstance(operand, int) or abs(operand) > MAX_WHOLE:
        raise BadInput(f"{path} is not a whole number.", path=path)
    return operand


def _read_decimal(_: Operation, operand: object, path: str) -> Decimal:
    if not isinstance(operand, bool) and isinstance(operand, (str, int, float, Decimal)):
        try:
            return bounded_decimal(str(operand))
        except ArithmeticError:
            pass  # told below, with the rest
    raise BadInput(f"{path} is not a decimal number.", path=path)


def _read_date(_: Operation, operand: object, path: str) -> date:
    return _day(operand, path)


def _day(operand: object, path: str) -> date:
    try:
        return msgspec.convert(operand, date)
    except msgspec.ValidationError:
        raise BadInput(f"{path} is not a date.", todo="Write 2026-01-31.", path=path) from None


def _read_instant(operation: Operation, operand: object, path: str) -> datetime:
    return read_instant(operand, path, operation.workspace)


def read_instant(operand: object, path: str, workspace: Workspace) -> datetime:
    """A moment with its time zone; a date alone is the start of that day. Raises BadInput."""
    if isinstance(operand, str) and len(operand) == len("2026-01-31"):
        return datetime.combine(_day(operand, path), time(), ZoneInfo(workspace.timezone))
    try:
        moment: datetime = msgspec.convert(operand, _AWARE)
    except msgspec.ValidationError:
        raise BadInput(
            f"{path} is not a moment.",
            todo="Write 2026-01-31T12:00:00Z, or a date alone for the start of its day.",
            path=path,
        ) from None
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise BadInput(f"{path}: the year {moment.year} is not one of this age.", path=path)
    return moment


def _read_id(_: Operation, operand: object, path: str) -> int:
    if isinstance(operand, bool) or not re.fullmatch(r"[0-9]{1,18}", str(operand)):
        raise BadInput(f"{path} is not the id of a customer.", path=path)
    return int(str(operand))


def _read_member(operation: Operation, operand: object, path: str) -> Enum:
    enumeration: type[Enum] = operation.expression.type.python_type
    try:
        return enumeration(operand)
    except ValueError:
        names = ", ".join(str(member.value) for member in enumeration)
        raise BadInput(
            f"{path} is not one of them.", todo=f"There are: {names}.", path=path
        ) from None


_READERS: Final[Mapping[FieldType, Callable[[Operation, object, str], object]]] = {
    FieldType.ID: _read_id,
    FieldType.TEXT: _read_text,
    FieldType.EMAIL: _read_email,
    FieldType.PHONE: _read_phone,
    FieldType.INTEGER: _read_whole,
    FieldType.NUMBER: _read_decimal,
    FieldType.MONEY: _read_decimal,
    FieldType.DATE: _read_date,
    FieldType.INSTANT: _read_instant,
    FieldType.ENUM: _read_member,
}

_DURATION: Final = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?",
    re.ASCII,
)


_SECONDS: Final = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)
"""What each part of a duration is worth, about: months and years differ."""


def duration_seconds(operand: object, path: str) -> int:
    """About how long a duration is, with months of 30 days. Raises BadInput."""
    return sum(map(operator.mul, _duration_parts(operand, path), _SECONDS))


def _read_duration(operand: object, path: str) -> ColumnElement[Any]:
    numbers = _duration_parts(operand, path)
    return func.make_interval(*(literal(number, Integer) for number in numbers))


def _duration_parts(operand: object, path: str) -> Sequence[int]:
    """Years, months, weeks, days, hours, minutes and seconds."""
    parts = _DURATION.fullmatch(read_text(operand, path))
    numbers = [int(part or 0) for part in parts.groups()] if parts else []
    if not numbers or max(numbers) > MAX_DURATION_PART:
        raise BadInput(
            f"{path} is not a duration.", todo="Write P30D, P1Y6M, P2W or PT12H.", path=path
        )
    return numbers
