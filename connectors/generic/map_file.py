"""What a map file may say: canonical records from a foreign file's columns, checked once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta

from cdp.errors import BadInput
from cdp.invalid import why_invalid
from cdp.records import STREAMS, Keyed
from cdp.toml_text import read_toml, toml_in
from connectors.generic.targets import Target, line_targets, required_of, targets_of

Spec = TypeVar("Spec")

SOME_MOMENT: Final = datetime(2001, 2, 3, 4, 5, 6, 7, UTC)


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a canonical value comes from, and what is done to it, in the order of these fields.

    Exactly one of `column`, `constant` and `sum` is given. `sum` multiplies its columns in each
    row and adds up over the rows of the group (without a group: this one row).
    """

    column: str | None = None
    constant: object = None
    sum: list[str] = []
    split: Literal["first_name", "last_name"] | None = None
    negate: bool = False
    decimals: Annotated[int, Meta(ge=0, le=9)] | None = None
    replace: dict[str, str] = {}
    prefix: str = ""
    format: str | None = None
    timezone: str | None = None


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test on a column, or on a `sum` as in a value: exactly one of `given` to `below`."""

    column: str | None = None
    sum: list[str] = []
    given: bool | None = None
    one_of: list[str] | None = None
    starts_with: str | None = None
    above: float | None = None
    below: float | None = None


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stream: str
    columns: dict[str, object]
    attributes: dict[str, object] = {}
    lines: dict[str, object] = {}
    group_by: list[str] = []
    when: list[object] = []
    once: bool = False


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    record: Annotated[list[object], Meta(min_length=1)]
    timezone: str = "UTC"
    decimal_comma: bool = False


@dataclass(frozen=True, slots=True)
class Aimed:
    """A value, the kind that its canonical column takes, and its place in the map."""

    value: Value
    target: Target
    path: str


@dataclass(frozen=True, slots=True)
class RecordMap:
    """How one canonical record comes out of a row, or of a group of rows."""

    stream: str
    columns: Mapping[str, Aimed]
    lines: Mapping[str, Aimed]
    group_by: tuple[str, ...]
    when: tuple[Condition, ...]
    once: bool


@dataclass(frozen=True, slots=True)
class FileMap:
    """A whole map. `digest` changes with its text."""

    records: tuple[RecordMap, ...]
    timezone: ZoneInfo
    decimal_comma: bool
    digest: bytes

    @property
    def group_by(self) -> tuple[str, ...]:
        """The columns whose equal values make a group; the same for every grouped record."""
        return next((record.group_by for record in self.records if record.group_by), ())

    @property
    def streams(self) -> frozenset[str]:
        """The canonical streams that it makes."""
        return frozenset(record.stream for record in self.records)

    def sources(self) -> Mapping[str, str]:
        """Every column of the foreign file that is read, and where in the map."""
        found: dict[str, str] = {}
        for index, record in enumerate(self.records):
            for name in record.group_by:
                found.setdefault(name, f"record[{index}].group_by")
            for condition in record.when:
                for name in _read_by(condition):
                    found.setdefault(name, f"record[{index}].when")
            for aimed in (*record.columns.values(), *record.lines.values()):
                for name in _read_by(aimed.value):
                    found.setdefault(name, aimed.path)
        return found


def read_map(path: Path) -> FileMap:
    """Read a map file. Raises BadInput that names the place in it."""
    try:
        text = toml_in(path)
    except OSError as error:
        raise BadInput(f"The map {path} cannot be read: {error.strerror}.") from None
    return parse_map(text, path.name)


def parse_map(text: bytes, name: str = "the map") -> FileMap:
    """Check the text of a map file. Raises BadInput that names the place in it."""
    document = _convert(read_toml(text, name), _Document, name, "")
    records = tuple(
        _record(raw, name, f"record[{index}]") for index, raw in enumerate(document.record)
    )
    groupings = {record.group_by for record in records if record.group_by}
    if len(groupings) > 1:
        raise BadInput(f"{name}: every group_by of a map must name the same columns.")
    digest = blake2b(text, digest_size=16).digest()
    zone = _zone(document.timezone, name, "timezone")
    return FileMap(records, zone, document.decimal_comma, digest)


def _record(raw: object, name: str, path: str) -> RecordMap:
    record = _convert(raw, _Record, name, path)
    if record.stream not in STREAMS:
        raise BadInput(
            f"{name}: {path}.stream: there is no stream {record.stream!r}.",
            todo=f"Name one of: {', '.join(STREAMS)}.",
        )
    if record.lines and not (record.stream == "orders" and record.group_by):
        raise BadInput(f"{name}: {path}.lines: only orders with a group_by have lines.")
    if record.once and (record.group_by or not issubclass(STREAMS[record.stream], Keyed)):
        raise BadInput(f"{name}: {path}.once: only for records with an id, without a group_by.")
    missing = sorted(required_of(record.stream) - record.columns.keys())
    if missing:
        raise BadInput(f"{name}: {path}.columns: {record.stream} need {', '.join(missing)}.")
    known = targets_of(record.stream)
    columns = _values(record.columns, known, name, f"{path}.columns")
    attributes = {
        key: Aimed(_value(raw, name, f"{path}.attributes.{key}"), Target.TEXT, key)
        for key, raw in record.attributes.items()
        if key not in known
    }
    if len(attributes) < len(record.attributes):
        raise BadInput(f"{name}: {path}.attributes: a column of {record.stream} is no attribute.")
    return RecordMap(
        record.stream,
        columns | attributes,
        _values(record.lines, line_targets(), name, f"{path}.lines"),
        tuple(record.group_by),
        tuple(
            _condition(raw, name, f"{path}.when[{index}]") for index, raw in enumerate(record.when)
        ),
        record.once,
    )


def _values(
    raw: Mapping[str, object], known: Mapping[str, Target], name: str, path: str
) -> dict[str, Aimed]:
    unknown = next((column for column in raw if column not in known), None)
    if unknown is not None:
        raise BadInput(
            f"{name}: {path}: there is no column {unknown!r}.",
            todo=f"There are: {', '.join(known)}; anything else goes under attributes.",
        )
    return {
        column: Aimed(_value(value, name, f"{path}.{column}"), known[column], f"{path}.{column}")
        for column, value in raw.items()
    }


def _value(raw: object, name: str, path: str) -> Value:
    value = Value(column=raw) if isinstance(raw, str) else _convert(raw, Value, name, path)
    given = [bool(value.column), value.constant is not None, bool(value.sum)]
    if sum(given) != 1:
        raise BadInput(f"{name}: {path}: give exactly one of column, constant and sum.")
    if value.timezone is not None:
        _zone(value.timezone, name, path)
    if value.format is not None:
        _require_format(value.format, name, path)
    return value


def _condition(raw: object, name: str, path: str) -> Condition:
    condition = _convert(raw, Condition, name, path)
    tests = (
        condition.given,
        condition.one_of,
        condition.starts_with,
        condition.above,
        condition.below,
    )
    if (
        bool(condition.column) == bool(condition.sum)
        or sum(test is not None for test in tests) != 1
    ):
        raise BadInput(
            f"{name}: {path}: give column or sum, and one of given, one_of, starts_with, above"
            " and below."
        )
    return condition


def _read_by(spec: Value | Condition) -> list[str]:
    return [spec.column] if spec.column else spec.sum


def _zone(zone: str, name: str, path: str) -> ZoneInfo:
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(f"{name}: {path}: {zone!r} is not a time zone.") from None


def _require_format(pattern: str, name: str, path: str) -> None:
    """Raise BadInput for a format in which not even a moment that it wrote can be read."""
    try:
        datetime.strptime(SOME_MOMENT.strftime(pattern), pattern)  # noqa: DTZ007  nothing is kept
    except (ValueError, re.error) as error:
        raise BadInput(
            f"{name}: {path}.format: {pattern!r} is no format of a time: {error}.",
            todo="Write it as Python's strptime takes it, such as %d.%m.%Y %H:%M.",
        ) from None


def _convert(raw: object, spec: type[Spec], name: str, path: str) -> Spec:
    try:
        return msgspec.convert(raw, spec)
    except msgspec.ValidationError as error:
        reason, inner = why_invalid(error, raw, spec)
        place = ".".join(part for part in (path, inner) if part) or "top level"
        raise BadInput(f"{name}: {place}: {reason}") from None
