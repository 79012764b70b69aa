"""The operands of a filter, read from JSON: each a value within bounds, or refused at its place."""

import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ColumnElement, Integer, func, literal

from cdp.errors import BadInput
from cdp.validation import EARLIEST_YEAR, LATEST_YEAR
from cdp.workspace import Workspace

MAX_LIST: Final = 250  # values of one operand; as many as one list of GraphQL may have
MAX_TEXT: Final = 1_000  # characters of one operand; longer than any value worth comparing with
MAX_WHOLE: Final = 2**63 - 1  # what a bigint holds
MAX_DIGITS: Final = 30  # of a decimal, either side of the point; far beyond any amount of money
MAX_DURATION_PART: Final = 100_000  # an integer of PostgreSQL holds each part, in seconds too
MAX_DURATION_YEARS: Final = (
    200  # in all: no record and no birth is older, and every calendar has it
)

Member = TypeVar("Member", bound=Enum)

_AWARE: Final = Annotated[datetime, msgspec.Meta(tz=True)]


def bounded_decimal(text: str) -> Decimal:
    """A finite decimal of MAX_DIGITS either side of the point. Raises ArithmeticError."""
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_DIGITS or value.adjusted() > MAX_DIGITS:
        raise ArithmeticError(f"{text[:80]} is out of bounds")
    return value


def read_members(given: object, path: str) -> Iterable[tuple[str, object, str]]:
    """Name, value and path of each member of an object. Raises BadInput for anything else."""
    if given is None:
        raise BadInput(f"{path or 'The filter'} is null.", todo="Leave it out.", path=path)
    if not isinstance(given, Mapping):
        raise BadInput(f"{path or 'The filter'} is not an object.", path=path)
    return [(str(name), value, f"{path}.{name}".lstrip(".")) for name, value in given.items()]


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


def read_truth(operand: object, path: str) -> bool:
    """True or false. Raises BadInput."""
    if not isinstance(operand, bool):
        raise BadInput(f"{path} is not true or false.", path=path)
    return operand


def read_whole(operand: object, path: str) -> int:
    """A whole number that a bigint holds. Raises BadInput."""
    if isinstance(operand, bool) or not isinstance(operand, int) or abs(operand) > MAX_WHOLE:
        raise BadInput(f"{path} is not a whole number.", path=path)
    return operand


def read_decimal(operand: object, path: str) -> Decimal:
    """A decimal, written as a number or as text. Raises BadInput."""
    if not isinstance(operand, bool) and isinstance(operand, (str, int, float, Decimal)):
        try:
            return bounded_decimal(str(operand))
        except ArithmeticError:
            pass  # told below, with the rest
    raise BadInput(f"{path} is not a decimal number.", path=path)


def read_date(operand: object, path: str) -> date:
    """A day. Raises BadInput."""
    try:
        return msgspec.convert(operand, date)
    except msgspec.ValidationError:
        raise BadInput(f"{path} is not a date.", todo="Write 2026-01-31.", path=path) from None


def read_instant(operand: object, path: str, workspace: Workspace) -> datetime:
    """A moment with its time zone; a date alone is the start of that day. Raises BadInput."""
    if _is_date(operand):
        return _start_of(operand, path, workspace)
    return _of_this_age(_moment(operand, path), path)


def read_as_of(operand: object, path: str, workspace: Workspace) -> datetime:
    """A moment to look back from; a date alone is the end of that day, all of which has been then.

    One after this age is the last of it: to whoever looks back, every moment to come is now. Raises
    BadInput.
    """
    if _is_date(operand):
        moment = end_of(read_date(operand, path), workspace.timezone)
    else:
        moment = _moment(operand, path)
    return _LAST if moment.year > LATEST_YEAR else _of_this_age(moment, path)


def end_of(on: date, timezone: str) -> datetime:
    """The last moment of a day."""
    return datetime.combine(on, time.max, ZoneInfo(timezone))


_LAST: Final = datetime(LATEST_YEAR, 12, 31, tzinfo=UTC)


def _is_date(operand: object) -> bool:
    return isinstance(operand, str) and len(operand) == len("2026-01-31")


def _start_of(operand: object, path: str, workspace: Workspace) -> datetime:
    return datetime.combine(read_date(operand, path), time(), ZoneInfo(workspace.timezone))


def _moment(operand: object, path: str) -> datetime:
    try:
        moment: datetime = msgspec.convert(operand, _AWARE)
    except msgspec.ValidationError:
        raise BadInput(
            f"{path} is not a moment.",
            todo="Write 2026-01-31T12:00:00Z, or a date alone.",
            path=path,
        ) from None
    return moment


def _of_this_age(moment: datetime, path: str) -> datetime:
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise BadInput(f"{path}: the year {moment.year} is not one of this age.", path=path)
    return moment


def read_customer_id(operand: object, path: str) -> int:
    """The plain number of a customer. Raises BadInput."""
    if isinstance(operand, bool) or not re.fullmatch(r"[0-9]{1,18}", str(operand)):
        raise BadInput(f"{path} is not the id of a customer.", path=path)
    return int(str(operand))


def read_member(enumeration: type[Member], operand: object, path: str) -> Member:
    """One of an enumeration, by its value. Raises BadInput naming them all."""
    try:
        return enumeration(operand)
    except ValueError:
        names = ", ".join(str(member.value) for member in enumeration)
        raise BadInput(
            f"{path} is not one of them.", todo=f"There are: {names}.", path=path
        ) from None


_DURATION: Final = re.compile(
    r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?",
    re.ASCII,
)


_SECONDS: Final = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)
"""What each part of a duration is worth, about: months and years differ."""


def duration_seconds(operand: object, path: str) -> int:
    """About how long a duration is, with months of 30 days. Raises BadInput."""
    return _seconds(_duration_parts(operand, path))


def _seconds(parts: Sequence[int]) -> int:
    return sum(map(operator.mul, parts, _SECONDS))


def read_duration(operand: object, path: str) -> ColumnElement[Any]:
    """A duration as an interval of PostgreSQL. Raises BadInput."""
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
    if _seconds(numbers) > MAX_DURATION_YEARS * _SECONDS[0]:
        raise BadInput(f"{path} is longer than {MAX_DURATION_YEARS} years.", path=path)
    return numbers
