"""Foreign rows to canonical deliveries, as a map says: one row at a time, or rows in groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cdp.delivery import Delivery, Refused, receive
from cdp.payloads import payload_of
from cdp.validation import Unacceptable
from connectors.generic.cells import Getter, Habits, Rows, compiled, habits_of, shown, test_of
from connectors.generic.items import Broken, Item, Row
from connectors.generic.map_file import FileMap, RecordMap

GROUP_WINDOW_ROWS: Final = 10_000  # a group ends when as many rows have passed without one of it
MAX_GROUP_ROWS: Final = 20_000  # of one order; more is a fault of group_by, and fills the memory


@dataclass(slots=True)
class Tally:
    """What happened to the rows of a file, for its summary.

    `rows` were read; `untaken` of them gave no record, because no condition of the map held.
    """

    rows: int = 0
    untaken: int = 0


@dataclass(slots=True)
class _Group:
    """Rows of one key so far. `unclaimed` of them are in no record of their own."""

    place: str
    latest: int
    unclaimed: int = 0
    rows: list[Mapping[str, object]] = field(default_factory=list)


class Mapper:
    """A map at work on one file: what it has to remember of the rows so far.

    Memory grows with the ids of `once` records and with the number of groups, some 70 bytes each,
    never with the rows.
    """

    def __init__(self, file_map: FileMap, place: str, tally: Tally) -> None:
        """`place` is what a row's number is appended to: `orders.csv, line `."""
        plans = _plans(file_map)
        self._singles = [plan for plan in plans if not plan.record.group_by]
        self._grouped = [plan for plan in plans if plan.record.group_by]
        self._group_by = file_map.group_by
        self._first_stream = file_map.records[0].stream
        self._place = place
        self._tally = tally
        self._open: dict[tuple[str, ...], _Group] = {}
        self._closed: set[int] = set()

    def deliveries(self, items: Iterable[Item]) -> Iterator[Delivery]:
        """Everything that the rows give, in an order that depends on the rows alone."""
        for item in items:
            self._tally.rows += 1
            place = f"{self._place}{item.number}"
            if isinstance(item, Broken):
                yield Refused(self._first_stream, None, item.reason, "", item.payload, place)
                continue
            is_taken = False
            for plan in self._singles:
                if plan.holds((item.values,)):
                    is_taken = True
                    yield from plan.deliver((item.values,), place, item.payload)
            if self._grouped:
                yield from self._gather(item, place, is_taken=is_taken)
            else:
                self._tally.untaken += not is_taken
        for group in self._open.values():
            yield from self._end(group)

    def _gather(self, row: Row, place: str, *, is_taken: bool) -> Iterator[Delivery]:
        number = self._tally.rows
        yield from self._end_old(number)
        key = tuple(shown(row.values.get(name)) for name in self._group_by)
        group = self._open.pop(key, None) or _Group(place, number)
        if hash(key) in self._closed or len(group.rows) >= MAX_GROUP_ROWS:
            yield self._torn(row, key, place)
        else:
            group.rows.append(row.values)
            group.unclaimed += not is_taken
        if group.rows:
            group.latest = number
            self._open[key] = group  # at the end again: the dict stands in the order of `latest`

    def _end_old(self, number: int) -> Iterator[Delivery]:
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if number - oldest.latest <= GROUP_WINDOW_ROWS:
                return
            del self._open[key]
            self._closed.add(hash(key))
            yield from self._end(oldest)

    def _end(self, group: _Group) -> Iterator[Delivery]:
        is_taken = False
        for plan in self._grouped:
            if plan.holds(group.rows):
                is_taken = True
                yield from plan.deliver(group.rows, group.place, None)
        if not is_taken:
            self._tally.untaken += group.unclaimed

    def _torn(self, row: Row, key: tuple[str, ...], place: str) -> Refused:
        columns = ", ".join(self._group_by)
        return Refused(
            self._grouped[0].record.stream,
            None,
            f"Rows of {columns} {', '.join(key)} stand more than {GROUP_WINDOW_ROWS} rows"
            f" apart or are more than {MAX_GROUP_ROWS}: sort the file by {columns}.",
            columns,
            payload_of(row.values),
            place,
        )


def mapped_again(payload: object, stream: str, file_map: FileMap, place: str) -> list[Delivery]:
    """The deliveries of `stream` from one payload as it was kept: a row, or the rows of a group."""
    is_group = isinstance(payload, list)
    kept: list[object] = payload if isinstance(payload, list) else [payload]
    rows = [row for row in kept if isinstance(row, dict)]
    if not rows or len(rows) < len(kept):
        return []
    return [
        delivery
        for plan in _plans(file_map)
        if plan.record.stream == stream and bool(plan.record.group_by) == is_group
        if plan.holds(rows)
        for delivery in plan.deliver(rows, place, None)
    ]


class _Plan:
    """One record of a map, compiled; of a `once` record it remembers the ids so far."""

    def __init__(self, record: RecordMap, habits: Habits) -> None:
        self.record = record
        self._columns = [(name, compiled(aimed, habits)) for name, aimed in record.columns.items()]
        self._lines = [(name, compiled(aimed, habits)) for name, aimed in record.lines.items()]
        self._tests = [test_of(condition, habits) for condition in record.when]
        self._id = dict(self._columns).get("id")
        self._seen: set[int] = set()

    def holds(self, rows: Rows) -> bool:
        """Whether every condition of the record holds."""
        return all(test(rows) for test in self._tests)

    def deliver(self, rows: Rows, place: str, payload: bytes | None) -> Iterator[Delivery]:
        """The record of a row or a group, taken or refused; nothing where `once` has seen it."""
        if self.record.once and self._is_repeated(rows):
            return
        stream = self.record.stream
        raw = payload or payload_of(rows if self.record.group_by else rows[0])
        try:
            canonical = _fill(self._columns, rows)
            if self._lines:
                canonical["lines"] = [
                    {
                        name: found
                        for name, found in _fill(self._lines, (row,)).items()
                        if found not in (None, "")
                    }
                    for row in rows
                ]
        except Unacceptable as refusal:
            yield Refused(stream, self._key(rows), refusal.reason, refusal.path, raw, place)
            return
        yield receive(stream, canonical, payload=raw, place=place)

    def _is_repeated(self, rows: Rows) -> bool:
        key = self._key(rows)
        if key is None:
            return False
        is_repeated = hash(key) in self._seen
        self._seen.add(hash(key))
        return is_repeated

    def _key(self, rows: Rows) -> str | None:
        try:
            key = self._id(rows) if self._id else None
        except Unacceptable:
            return None
        return key if isinstance(key, str) else None


def _plans(file_map: FileMap) -> list[_Plan]:
    habits = habits_of(file_map)
    return [_Plan(record, habits) for record in file_map.records]


def _fill(columns: Sequence[tuple[str, Getter]], rows: Rows) -> dict[str, object]:
    filled: dict[str, object] = {}
    for name, get in columns:
        try:
            filled[name] = get(rows)
        except Unacceptable as refusal:
            raise Unacceptable(refusal.reason, name) from None
    return filled
