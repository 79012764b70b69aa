"""Files as a source: a file or a folder of them, canonical or read through a map."""

import asyncio
import os
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from cdp.delivery import Delivery, Refused, receive, receive_line
from cdp.errors import BadInput
from cdp.records import STREAMS
from cdp.sources import SourceRow
from cdp.values import Json
from connectors.base import Abort, Connector, Page, Setting, Values
from connectors.generic.items import Broken, Item, Line, Meter
from connectors.generic.map_file import FileMap, read_map
from connectors.generic.mapping import Mapper, Tally
from connectors.generic.readers import (
    HEAD_BYTES,
    Format,
    format_of,
    header_of,
    opened,
    read_items,
    read_rows,
)
from connectors.generic.targets import required_of, structures_of

READ_ENDINGS: Final = tuple(
    f".{kind}{packed}"
    for kind in ("csv", "tsv", "jsonl", "ndjson", "json", "parquet")
    for packed in ("", ".gz")
)
PAGE_RECORDS: Final = 10_000  # committed together; larger ones are hardly faster and use memory
PAGE_BYTES: Final = 4 * 1024 * 1024  # of payloads: orders with many lines make shorter pages
NO_ROWS: Final = "files that hold no rows"
IMPORTED: Final = "imported"  # the setting by which a source that was loaded once is known
MAX_FILES: Final = 10_000  # in one folder; more are better packed together first


class FileSource:
    """A file, or every file of a folder, each a list of its own with its own checkpoint.

    A file that was read to its end is read again only where it has changed, or where
    `reads_again` says so; one whose reading broke off is taken up where it stopped, unless it or
    its map has changed.
    """

    connector = "file"

    def __init__(
        self,
        path: Path,
        *,
        stream: str | None = None,
        file_map: FileMap | None = None,
        reads_again: bool = False,
    ) -> None:
        """Find the files and the stream of each. Raises BadInput."""
        self._file_map = file_map
        self._reads_again = reads_again
        self._files = _found(path)
        self._streams = {
            name: None if file_map else _known_stream(stream, name) for name in self._files
        }
        self._meters = {name: Meter() for name in self._files}
        self._tallies = {name: Tally() for name in self._files}
        self._begun_at: dict[str, int] = {}  # the deliveries before those of this run
        self._without_rows: set[str] = set()

    @property
    def streams(self) -> tuple[str, ...]:
        """The names of the files; those with people first, then by name."""
        order = [None, *STREAMS]
        return tuple(sorted(self._files, key=lambda name: (order.index(self._streams[name]), name)))

    @property
    def total_bytes(self) -> int:
        """Of all files, as they lie on the disk."""
        return sum(path.stat().st_size for path in self._files.values())

    @property
    def bytes_read(self) -> int:
        """Of all files, so far."""
        return sum(meter.bytes_read for meter in self._meters.values())

    @property
    def tally(self) -> Tally:
        """Of all files, however often one had to be read anew."""
        tallies = self._tallies.values()
        return Tally(sum(one.rows for one in tallies), sum(one.untaken for one in tallies))

    @property
    def notes(self) -> Mapping[str, int]:
        """What a person should know of the files that were read, with how many it is true of."""
        count = len(self._without_rows)
        return {NO_ROWS: count} if count else {}

    async def check(self) -> str:
        """Whether the files are there, of a known kind, with the columns that are needed."""
        with _as_abort():
            kinds = [await asyncio.to_thread(self._inspect, name) for name in self.streams]
        count = len(kinds)
        return f"{count} {'file' if count == 1 else 'files'}: {', '.join(sorted(set(kinds)))}."

    async def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read one file, in a thread, some thousand records a page."""
        with _as_abort():
            identity = await asyncio.to_thread(self._identity, stream)
        is_same = isinstance(cursor, dict) and cursor.get("file") == identity
        delivered = 0
        if is_same and isinstance(cursor, dict):
            if not cursor.get("is_finished"):
                delivered = int(str(cursor.get("delivered", 0)))
            elif not self._reads_again:
                return
        with closing(self._deliveries(stream, delivered)) as deliveries:
            is_finished = False
            while not is_finished:
                page, is_finished = await _in_thread(deliveries)
                delivered += len(page)
                yield Page(
                    page, {"file": identity, "delivered": delivered, "is_finished": is_finished}
                )

    async def close(self) -> None:
        """Nothing is held open between two pages of a file that ended."""

    def _deliveries(self, name: str, skipped: int) -> Generator[Delivery, None, None]:
        """The deliveries of a file after the first `skipped`."""
        path, stream = self._files[name], self._streams[name]
        tally = self._tallies[name] = Tally()
        place = f"{name}, {'row' if format_of(path) == 'parquet' else 'line'} "
        if self._file_map is not None:
            with closing(read_rows(path, self._meters[name])) as rows:
                # What was delivered is mapped once more: groups and ids need the rows before.
                mapper = Mapper(self._file_map, place, tally)
                yield from islice(mapper.deliveries(rows), skipped, None)
        elif stream is not None:
            # A row is a delivery here: those of before a break in this run were counted with it.
            begun_at = min(self._begun_at.get(name, skipped), skipped)
            self._begun_at[name], tally.rows = begun_at, skipped - begun_at
            with closing(read_items(path, self._meters[name], stream)) as items:
                yield from canonical(islice(items, skipped, None), stream, place, tally)
        if not tally.rows and not skipped:
            self._without_rows.add(name)

    def _identity(self, name: str) -> str:
        """Changes whenever the file, its stream or its map does."""
        path = self._files[name]
        with _readable(path):
            state = path.stat()
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        what = self._file_map.digest if self._file_map else str(self._streams[name]).encode()
        seen = f"{state.st_size} {state.st_mtime_ns} ".encode() + what + head
        return blake2b(seen, digest_size=16).hexdigest()

    def _inspect(self, name: str) -> Format:
        path, stream = self._files[name], self._streams[name]
        with _readable(path):
            kind, header = format_of(path), header_of(path)
        if header is None:
            return kind
        if stream is None:
            self._require_sources(name, header)
            return kind
        if kind == "parquet":
            from connectors.generic.columnar import require_types  # half a second to load

            require_types(path, name, stream)
        missing = sorted(required_of(stream) - set(header))
        if missing:
            raise BadInput(
                f"{name}, line 1: {stream} need {', '.join(missing)};"
                f" the columns are: {', '.join(header)}.",
                todo="Rename the columns, or read them through --map.",
            )
        return kind

    def _require_sources(self, name: str, header: Iterable[str]) -> None:
        there = set(header)
        for column, place in self._file_map.sources().items() if self._file_map else ():
            if column not in there:
                raise BadInput(
                    f"{name} has no column {column!r}, which the map reads at {place}.",
                    todo=f"It has: {', '.join(sorted(there))}.",
                )


def canonical(
    items: Iterable[Item | Line], stream: str, place: str, tally: Tally
) -> Iterator[Delivery]:
    """One delivery for each row whose columns are already those of a stream."""
    structures = structures_of(stream)
    for found in items:
        tally.rows += 1
        where = f"{place}{found.number}"
        if isinstance(found, Line):
            received = receive_line(stream, found.payload, where)
            if received is not None:
                yield received
                continue
        item = opened(found) if isinstance(found, Line) else found
        if isinstance(item, Broken):
            yield Refused(stream, None, item.reason, "", item.payload, where)
            continue
        if item.payload is None:
            yield canonical_row(item.values, stream, where, structures)
        else:
            yield receive(stream, item.values, payload=item.payload, place=where)


def canonical_row(
    values: Mapping[str, object], stream: str, place: str, structures: Iterable[str]
) -> Delivery:
    """The delivery of a row whose lists and objects may be JSON inside a text."""
    whole = dict(values)
    for name in structures:
        text = whole.get(name)
        if isinstance(text, str) and text:
            try:
                whole[name] = msgspec.json.decode(text)
            except (msgspec.DecodeError, RecursionError) as error:
                reason = f"The cell is not JSON: {error}."
                key = values.get("id")
                payload = msgspec.json.encode(values)
                return Refused(
                    stream, key if isinstance(key, str) else None, reason, name, payload, place
                )
    return receive(stream, whole, place=place)


def _found(path: Path) -> dict[str, Path]:
    """The files by name; in a folder, those below it by their way from it.

    Hidden files, and those of which the name tells of something else, are left aside.
    """
    if not path.is_dir():
        if not path.is_file():
            raise BadInput(f"There is no file {path}.")
        return {path.name: path}
    found: dict[str, Path] = {}
    for file in path.rglob("*"):
        way = file.relative_to(path)
        is_hidden = any(part.startswith((".", "_")) for part in way.parts)
        if file.is_file() and not is_hidden and file.name.lower().endswith(READ_ENDINGS):
            _require_utf8(way)
            found[way.as_posix()] = file
        if len(found) > MAX_FILES:
            raise BadInput(f"{path} holds over {MAX_FILES} files.", todo="Import it in parts.")
    if not found:
        raise BadInput(
            f"The folder {path} holds no file to read.",
            todo=f"Their names end in one of {', '.join(READ_ENDINGS)}.",
        )
    return found


def _require_utf8(way: Path) -> None:
    """Raise BadInput for a name that can neither be stored nor shown."""
    raw = os.fsencode(way)
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise BadInput(
            f"The name {raw.decode(errors='backslashreplace')} is no UTF-8.",
            todo="Rename the file or folder.",
        ) from None


def _known_stream(stream: str | None, name: str) -> str:
    """The stream that was asked for, else the one that the file's name begins with."""
    known = f"There are: {', '.join(STREAMS)}."
    if stream is not None:
        if stream not in STREAMS:
            raise BadInput(f"There is no stream {stream!r}.", todo=known)
        return stream
    for candidate in STREAMS:
        for part in reversed(name.split("/")):
            rest = part.removeprefix(candidate)
            if rest != part and (not rest or rest[0] in ".-"):
                return candidate
    raise BadInput(
        f"The name of {name} does not tell its stream.",
        todo=f"Give --stream, or name the file after its stream, such as orders.csv. {known}",
    )


def _next_page(deliveries: Iterator[Delivery]) -> tuple[list[Delivery], bool]:
    """The next deliveries that are committed together, and whether they are the last."""
    page: list[Delivery] = []
    page_bytes = 0
    with _as_abort():
        for delivery in deliveries:
            page.append(delivery)
            page_bytes += len(delivery.payload)
            if len(page) >= PAGE_RECORDS or page_bytes >= PAGE_BYTES:
                return page, False
    return page, True


async def _in_thread(deliveries: Iterator[Delivery]) -> tuple[list[Delivery], bool]:
    """The next page, read while the event loop does other things."""
    reading = asyncio.ensure_future(asyncio.to_thread(_next_page, deliveries))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        # A thread cannot be stopped, and the file must not be closed under it.
        await asyncio.wait([reading])
        raise


@contextmanager
def _as_abort() -> Iterator[None]:
    """A file that cannot be read is the end of its run, told in the same sentence."""
    try:
        yield
    except BadInput as error:
        raise Abort(error.message, todo=error.todo) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def is_imported(row: SourceRow) -> bool:
    """Whether its files were loaded by hand, and may be gone since: only who names it reads it."""
    return IMPORTED in row.settings


def _build(values: Values) -> FileSource:
    given = values.get("map")
    return FileSource(
        Path(values["path"]),
        stream=values.get("stream"),
        file_map=read_map(Path(given)) if given else None,
    )


FILE = Connector(
    "file",
    "generic",
    "A file or a folder of files: CSV, JSON lines or Parquet, gzip or not.",
    (
        Setting("path", "the file or folder", is_required=True),
        Setting("stream", "the canonical stream of the rows, where the names do not tell it"),
        Setting("map", "a TOML file that maps a foreign file's columns"),
        Setting(IMPORTED, "yes where cdp import made it: it is synced only where it is named"),
    ),
    _build,
    stays_open=False,
)
