"""What a map says of one value or condition, compiled to a function over the rows of a record."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import partial
from math import prod
from typing import TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from cdp.validation import Unacceptable
from connectors.generic.map_file import Aimed, Condition, FileMap, Value
from connectors.generic.targets import Target

Rows: TypeAlias = Sequence[Mapping[str, object]]
Getter: TypeAlias = Callable[[Rows], object]
Test: TypeAlias = Callable[[Rows], bool]
Step: TypeAlias = Callable[[object], object]
ReadNumber: TypeAlias = Callable[[object], Decimal]


class _Sum:
    """The sum over rows of the product of some columns; it keeps the latest, asked for often."""

    __slots__ = ("_columns", "_read", "_rows", "_total")

    def __init__(self, columns: Sequence[str], read: ReadNumber) -> None:
        self._columns = columns
        self._read = read
        self._rows: Rows = ()
        self._total = Decimal(0)

    def __call__(self, rows: Rows) -> Decimal:
        if rows is not self._rows:
            self._total = sum((self._product(row) for row in rows), Decimal(0))
            self._rows = rows
        return self._total

    def _product(self, row: Mapping[str, object]) -> Decimal:
        factors = (self._read(row.get(column) or 0) for column in self._columns)
        return prod(factors, start=Decimal(1))


@dataclass(frozen=True, slots=True)
class Habits:
    """How a whole file writes times and numbers, and the sums that its records share."""

    zone: ZoneInfo
    number: ReadNumber
    sums: dict[tuple[str, ...], _Sum]


def habits_of(file_map: FileMap) -> Habits:
    """What the top of a map says."""
    return Habits(file_map.timezone, _comma_number if file_map.decimal_comma else _number, {})


def compiled(aimed: Aimed, habits: Habits) -> Getter:
    """A value as a function of the rows of one record; it raises Unacceptable."""
    steps = _steps(aimed.value, aimed.target, habits)
    source = _source(aimed.value, habits)

    def get(rows: Rows) -> object:
        found = source(rows)
        for step in steps:
            if found is None or found == "":
                return None
            found = step(found)
        return found

    return get


def _source(spec: Value | Condition, habits: Habits) -> Getter:
    if spec.column is not None:
        column = spec.column
        return lambda rows: rows[0].get(column)
    if spec.sum:
        return habits.sums.setdefault(tuple(spec.sum), _Sum(spec.sum, habits.number))
    constant = spec.constant if isinstance(spec, Value) else None
    return lambda rows: constant


def _steps(value: Value, target: Target, habits: Habits) -> list[Step]:
    """What is done to a value that is given, one thing after the other."""
    steps: list[Step] = []
    zone = ZoneInfo(value.timezone) if value.timezone else habits.zone
    if value.split:
        steps.append(_first_name if value.split == "first_name" else _last_name)
    is_number = target is Target.NUMBER and value.column is not None
    if is_number or value.negate or value.decimals is not None:
        steps.append(habits.number)
    if value.negate:
        steps.append(lambda found: -_number(found))
    if value.decimals is not None:
        steps.append(partial(_rounded, value.decimals))
    if value.replace:
        steps.append(lambda found: value.replace.get(_text(found), found))
    if value.prefix:
        steps.append(lambda found: f"{value.prefix}{_text(found)}")
    return [*steps, *_last_steps(value, target, zone)]


def _last_steps(value: Value, target: Target, zone: ZoneInfo) -> list[Step]:
    """What makes of a value that which its canonical column takes."""
    match target:
        case Target.TEXT:
            return [_text]
        case Target.MOMENT:
            return [partial(_moment, value.format, zone)]
        case Target.DATE:
            return [partial(_day, value.format)]
        case Target.STRUCTURE:
            return [_structure]
        case Target.NUMBER:
            return []


def _structure(found: object) -> object:
    """A list or an object; where a cell can only hold text, it is JSON."""
    if not isinstance(found, str):
        return found
    try:
        return msgspec.json.decode(found)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Unacceptable(f"The cell is not JSON: {error}.") from None


def _number(found: object) -> Decimal:
    if isinstance(found, (Decimal, int)):
        return Decimal(found)
    try:
        return Decimal(str(found).strip())
    except InvalidOperation:
        raise Unacceptable(f"{found!r} is not a number.") from None


def _comma_number(found: object) -> Decimal:
    """`1.234,56` and `1 234,56` are 1234.56; what came as a number stays one."""
    if not isinstance(found, str):
        return _number(found)
    text = found
    for mark in (".", " ", "\u00a0", "\u202f", "'"):
        text = text.replace(mark, "")
    try:
        return Decimal(text.replace(",", "."))
    except InvalidOperation:
        raise Unacceptable(f"{found!r} is not a number.") from None


def _rounded(decimals: int, found: object) -> Decimal:
    number = _number(found)
    if not number.is_finite():
        return number
    try:
        return number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    except InvalidOperation:
        raise Unacceptable(f"{found!r} has too many digits.") from None


def _text(found: object) -> str:
    if isinstance(found, float) and found.is_integer():
        return str(int(found))
    return str(found).strip()


def _first_name(found: object) -> str:
    return _parted(str(found))[0]


def _last_name(found: object) -> str:
    return _parted(str(found))[1]


def _parted(full_name: str) -> tuple[str, str]:
    """`Ann Smith`, `Smith, Ann` and `Ludwig van Beethoven`; a single word is a first name."""
    last, comma, first = full_name.partition(",")
    if comma:
        return " ".join(first.split()), " ".join(last.split())
    words = full_name.split()
    start = len(words) - 1
    while start > 1 and words[start - 1].islower():
        start -= 1
    return (" ".join(words[:start]), " ".join(words[start:])) if start > 0 else (full_name, "")


def _moment(pattern: str | None, zone: tzinfo, found: object) -> datetime:
    moment = found if isinstance(found, datetime) else _read_time(pattern, found)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _day(pattern: str | None, found: object) -> date:
    if isinstance(found, datetime):
        return found.date()
    return found if isinstance(found, date) else _read_time(pattern, found).date()


def _read_time(pattern: str | None, found: object) -> datetime:
    text = _text(found)
    try:
        # The zone is given by whoever asked, where the text has none.
        return datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        expected = pattern or "ISO 8601"
        raise Unacceptable(f"{text!r:.80} does not read as {expected}.") from None


def test_of(condition: Condition, habits: Habits) -> Test:
    """A condition as a function of the rows of one record; it never raises."""
    source = _source(condition, habits)
    if condition.given is not None:
        wanted = condition.given
        return lambda rows: (source(rows) not in (None, "")) is wanted
    if condition.one_of is not None:
        values = frozenset(condition.one_of)
        return lambda rows: shown(source(rows)) in values
    if condition.starts_with is not None:
        prefix = condition.starts_with
        return lambda rows: shown(source(rows)).startswith(prefix)
    if condition.above is not None:
        low = Decimal(str(condition.above))
        return partial(_compares, source, habits.number, lambda found: found > low)
    high = Decimal(str(condition.below))
    return partial(_compares, source, habits.number, lambda found: found < high)


def _compares(
    source: Getter, read: ReadNumber, holds: Callable[[Decimal], bool], rows: Rows
) -> bool:
    """Whether a comparison holds; with what is no number, none does."""
    try:
        found = source(rows)
        return found is not None and found != "" and holds(read(found))
    except Unacceptable:
        return False


def shown(found: object) -> str:
    """The text of a cell, empty where it says nothing."""
    return "" if found is None else _text(found)
