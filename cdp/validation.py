"""A row of canonical columns becomes a record, checked once, or is refused with its column."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Clamped, Context, Decimal, Inexact, InvalidOperation, Overflow, Rounded
from functools import cache
from types import UnionType
from typing import Annotated, Final, TypeGuard, TypeVar, Union, get_args, get_origin

import msgspec

from cdp.errors import BadInput
from cdp.invalid import no_moment, why_invalid
from cdp.payloads import escaped_text, holds
from cdp.records import (
    FEEDBACK_SCALES,
    MAX_KEY_BYTES,
    MAX_MONEY,
    STREAMS,
    CustomerRecord,
    ExchangeRateRecord,
    FeedbackRecord,
    InteractionRecord,
    MessageRecord,
    OrderLine,
    OrderLineRecord,
    OrderRecord,
    Record,
    RefundRecord,
    line_key,
    line_names,
)

EARLIEST_YEAR: Final = 1850  # nobody alive was born before; nothing was sold to them either
LATEST_YEAR: Final = 2199
MAX_DECIMALS: Final = 30  # finer than any currency's smallest unit or any unit price
MAX_BYTES_OF_ESCAPED: Final = 4  # in UTF-8, of one character of a key or of its escape
MAX_NUMBER_BITS: Final = 2048  # of a whole number that is read as text; more than a key can be

_SMALL: Final = Context(
    prec=MAX_DECIMALS + 1,
    Emin=0,
    Emax=14,
    traps=[InvalidOperation, Inexact, Rounded, Overflow, Clamped],
)
"""Holds, unrounded, nearly every amount below MAX_MONEY of MAX_DECIMALS: one quick operation."""

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Unacceptable(Exception):
    """A row that cannot be taken: why, and at which column."""

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


def read_record(stream: str, row: Mapping[str, object]) -> Record:
    """Validate a row of canonical columns; null, and text that is empty or blank, mean not said.

    So they do within lines, lists and objects of canonical columns: no category of a line is "".

    An unknown column becomes an attribute. Raises Unacceptable for a row that breaks its stream's
    rules and BadInput for an unknown stream.
    """
    record_type = _record_type(stream)
    known, attributes = _split(record_type, row)
    if attributes:
        known["attributes"] = attributes
    _refuse_numbers(known, _moment_columns(record_type))
    try:
        record = msgspec.convert(known, record_type, strict=False)
    except msgspec.ValidationError:
        record = _convert_with_text(known, record_type)
    check(record)
    return record


def encode(record: Record) -> bytes:
    """The record as JSON, the same bytes for the same content; null where nothing was said.

    Raises Unacceptable for text that PostgreSQL cannot hold.
    """
    try:
        encoded = msgspec.json.encode(record, order="deterministic")
    except UnicodeEncodeError as error:
        reason = f"Text holds half of a surrogate pair: {error.object!r:.80}. Leave it out."
        raise Unacceptable(reason, _column_with(record, error.object)) from None
    if b"\\u0000" in encoded and holds(msgspec.to_builtins(record), "\0"):
        raise Unacceptable("Text holds a NUL character. Leave it out.", _column_with(record, "\0"))
    return encoded


def digest(encoded: bytes) -> bytes:
    """16 bytes that stand for the content of a mapped record."""
    return hashlib.blake2b(encoded, digest_size=16).digest()


def _record_type(stream: str) -> type[Record]:
    try:
        return STREAMS[stream]
    except KeyError:
        raise BadInput(
            f"There is no stream {stream!r}.", todo=f"Name one of: {', '.join(STREAMS)}."
        ) from None


def _split(
    record_type: type[Record], row: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    columns = _columns(record_type)
    said = _said(row)
    for name in _nesting_columns(record_type) & said.keys():
        said[name] = _said_within(said[name])
    if said.keys() <= columns:
        return said, {}
    known = {name: value for name, value in said.items() if name in columns}
    attributes = {name: value for name, value in said.items() if name not in columns}
    return known, attributes


def _said(row: Mapping[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in row.items()
        if (value.strip() if type(value) is str else value is not None)
    }


def _said_within(value: object) -> object:
    """The same of an object in a column, of the objects in a list, and of a list of texts."""
    if isinstance(value, dict):
        return _said(value)
    if isinstance(value, list):
        said = (item for item in value if not isinstance(item, str) or item.strip())
        return [_said(item) if isinstance(item, dict) else item for item in said]
    return value


def _refuse_numbers(known: Mapping[str, object], columns: Sequence[str]) -> None:
    """A moment is ISO 8601: a number, or one in text, would pass for seconds from 1970.

    Text without a colon is no moment either way; so nothing needs to be parsed to tell.
    """
    for name in columns:
        value = known.get(name)
        if value is None or isinstance(value, datetime):
            continue
        if isinstance(value, (int, float)) or (isinstance(value, str) and ":" not in value):
            raise Unacceptable(no_moment(value), name)


def _convert_with_text(known: dict[str, object], record_type: type[AnyRecord]) -> AnyRecord:
    """Once more with whole numbers as text where text is wanted: many sources number their keys."""
    row = _with_text(known, record_type)
    try:
        return msgspec.convert(row, record_type, strict=False)
    except msgspec.ValidationError as error:
        raise Unacceptable(*why_invalid(error, row, record_type)) from None


def _with_text(value: object, annotation: object) -> object:
    """A value with its whole numbers as text wherever its type asks for text, however deep."""
    for member in _members(annotation):
        kind, arguments = get_origin(member) or member, get_args(member)
        if kind is str and isinstance(value, int) and not isinstance(value, bool):
            return str(value) if value.bit_length() <= MAX_NUMBER_BITS else value
        if kind is str and isinstance(value, float) and value.is_integer():
            return str(int(value))
        if kind is list and isinstance(value, list):
            return [_with_text(item, arguments[0]) for item in value]
        if kind is dict and isinstance(value, Mapping):
            return {name: _with_text(item, arguments[1]) for name, item in value.items()}
        if isinstance(value, Mapping) and _is_struct(kind):
            types = {field.name: field.type for field in msgspec.structs.fields(kind)}
            return {name: _with_text(item, types.get(name)) for name, item in value.items()}
    return value


def _is_struct(kind: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def check(record: Record) -> None:
    """What types alone cannot say: amounts are bounded, moments of this age, signs and keys fit.

    Raises Unacceptable.
    """
    kind = type(record)
    columns = decimal_columns(kind)
    if not _are_plain((record,), columns):
        _check_amounts(record, columns)
    for name in _dated_columns(kind):
        moment = getattr(record, name)
        if moment is not None and not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            raise Unacceptable(f"The year {moment.year} is not one of this age.", name)
    if kind in _RULED:
        _check_rules(record)
    elif kind in _NAMING:
        _check_names(record)


_RULED: Final = frozenset(
    {OrderRecord, OrderLineRecord, RefundRecord, FeedbackRecord, ExchangeRateRecord}
)
"""Those with rules of their own; the others are spared the question."""


_NAMING: Final = frozenset({CustomerRecord, MessageRecord, InteractionRecord})
"""Those whose identifiers may be of kinds that they name themselves."""


def _check_rules(record: Record) -> None:
    match record:
        case OrderRecord():
            if record.lines:
                _check_lines(record.id, record.lines)
        case OrderLineRecord():
            if (len(record.order_id) + len(record.line)) * MAX_BYTES_OF_ESCAPED > MAX_KEY_BYTES:
                _check_line_key(record.order_id, record.line, "line")
        case RefundRecord() if record.amount < 0:
            raise Unacceptable(f"A refund of {record.amount} is below zero.", "amount")
        case ExchangeRateRecord() if record.rate <= 0:
            raise Unacceptable(f"A rate of {record.rate} is not above zero.", "rate")
        case FeedbackRecord():
            _check_score(record)
        case _:
            pass


def _check_score(record: FeedbackRecord) -> None:
    """From 0 to the scale's end; from 1 where the kind's own scale begins there, as stars do."""
    own = FEEDBACK_SCALES[record.kind]
    most = own if record.scale is None else record.scale
    least = 0 if record.kind == "nps" or most != own else 1
    if most <= 0:
        raise Unacceptable(f"A scale up to {_short(most)} is none.", "scale")
    if not least <= record.score <= most:
        reason = f"A score of {_short(record.score)} is not from {least} to {most}."
        raise Unacceptable(reason, "score")


def _check_lines(order_id: str, lines: Sequence[OrderLine]) -> None:
    """The lines inside an order: each with amounts, and a name that no other line has."""
    columns = decimal_columns(OrderLine)
    if not _are_plain(lines, columns):
        for number, line in enumerate(lines):
            _check_amounts(line, columns, f"lines[{number}].")
    names = line_names(lines)
    if len(set(names)) < len(names):
        number, name = next((n, name) for n, name in enumerate(names) if name in names[:n])
        raise Unacceptable(f"Two lines of the order are named {name!r}.", f"lines[{number}]")
    if (len(order_id) + max(map(len, names))) * MAX_BYTES_OF_ESCAPED > MAX_KEY_BYTES:
        for number, name in enumerate(names):
            _check_line_key(order_id, name, f"lines[{number}].line")


def _are_plain(rows: Iterable[msgspec.Struct], columns: Sequence[str]) -> bool:
    """Whether all amounts are surely good; where not, most are no amounts, some very exact."""
    try:
        for row in rows:
            for name in columns:
                amount = getattr(row, name)
                if amount is not None and not _SMALL.plus(amount).is_finite():
                    return False
    except ArithmeticError:
        return False
    return True


def _check_amounts(row: msgspec.Struct, columns: Sequence[str], prefix: str = "") -> None:
    for name in columns:
        amount = getattr(row, name)
        if amount is not None:
            _check_amount(amount, prefix + name)


def _check_amount(amount: Decimal, path: str) -> None:
    if not (amount.is_finite() and amount.copy_abs() < MAX_MONEY):
        raise Unacceptable(f"{_short(amount)} is not an amount.", path)
    if abs(int(amount.as_tuple().exponent)) > MAX_DECIMALS:
        raise Unacceptable(
            f"{_short(amount)} has over {MAX_DECIMALS} decimals or trailing zeros.", path
        )


def _short(amount: Decimal | int) -> str:
    text = str(amount)
    return text if len(text) <= 80 else f"{text[:40]}... ({len(text)} characters)"


def _check_line_key(order_id: str, line: str, path: str) -> None:
    """Two keys, each as long as a key may be, must fit into an index together."""
    if len(escaped_text(line_key(order_id, line)).encode()) > MAX_KEY_BYTES:
        raise Unacceptable(f"The keys of order and line exceed {MAX_KEY_BYTES} bytes.", path)


def _check_names(record: Record) -> None:
    match record:
        case CustomerRecord():
            if record.handles:
                _check_identifiers("handles", record.handles)
            if record.external_ids:
                _check_identifiers("external_ids", record.external_ids)
        case MessageRecord() if record.handle:
            _check_identifiers("handle", {record.channel: record.handle})
        case InteractionRecord() if record.handle:
            _check_identifiers("handle", {record.network or "": record.handle})
        case _:
            pass


def _check_identifiers(path: str, values: Mapping[str, str]) -> None:
    """Network and handle, or kind and value: the two share one index entry, in small letters."""
    for kind, value in values.items():
        if (len(kind) + len(value)) * MAX_BYTES_OF_ESCAPED <= MAX_KEY_BYTES:
            continue
        if len(escaped_text(f"{kind}{value}".lower()).encode()) > MAX_KEY_BYTES:
            raise Unacceptable(f"Kind and value together exceed {MAX_KEY_BYTES} bytes.", path)


@cache
def _columns(record_type: type[Record]) -> frozenset[str]:
    return frozenset(record_type.__struct_fields__) - {"attributes"}


@cache
def _nesting_columns(record_type: type[Record]) -> frozenset[str]:
    """The lists and objects whose members are our own; `properties` are the source's."""
    return frozenset(
        field.name
        for field in msgspec.structs.fields(record_type)
        for member in _members(field.type)
        if get_origin(member) in (list, dict) and object not in get_args(member)
    )


def _of_type(struct: type[msgspec.Struct], *wanted: type) -> tuple[str, ...]:
    return tuple(
        field.name
        for field in msgspec.structs.fields(struct)
        if any((get_origin(one) or one) in wanted for one in _members(field.type))
    )


def _members(annotation: object) -> Sequence[object]:
    """The types that an annotation admits, through Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [one for member in get_args(annotation) for one in _members(member)]
    return [annotation]


@cache
def decimal_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    """The columns that hold amounts."""
    return _of_type(struct, Decimal)


@cache
def _moment_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return _of_type(struct, datetime)


@cache
def _dated_columns(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return _of_type(struct, datetime, date)


def _column_with(record: Record, text: str) -> str:
    """The first column that holds a piece of text, however deep; an attribute is a column too."""
    fixed = {name: getattr(record, name) for name in _columns(type(record))}
    columns = {**fixed, **record.attributes}.items()
    found = (name for name, value in columns if holds([name, msgspec.to_builtins(value)], text))
    return next(found, "")
