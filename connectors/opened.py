"""Sources that stay open from one round of a watch to the next, with their sessions."""

from dataclasses import dataclass
from typing import Final

from cdp.sources import SourceRow
from cdp.values import SourceId
from connectors.base import Source, Values, read_values
from connectors.registry import find_connector


@dataclass(frozen=True, slots=True)
class _Opened:
    values: Values
    source: Source


class OpenSources:
    """The sources opened so far: a vendor who allows few logins is logged in to once."""

    def __init__(self) -> None:
        self._opened: Final[dict[SourceId, _Opened]] = {}

    async def open(self, row: SourceRow) -> Source:
        """The source of a row, built anew where its settings, or what its secrets are, changed.

        Raises CdpError for settings at fault.
        """
        connector = find_connector(row.connector)
        values = read_values(connector, row.settings)
        former = self._opened.get(row.id)
        if former is not None and former.values == values and connector.stays_open:
            return former.source
        await self.drop(row)
        source = connector.build(values)
        self._opened[row.id] = _Opened(values, source)
        return source

    async def drop(self, row: SourceRow) -> None:
        """Close the source of a row, if it is open."""
        former = self._opened.pop(row.id, None)
        if former is not None:
            await former.source.close()

    async def aclose(self) -> None:
        """Close all of them."""
        while self._opened:
            _, former = self._opened.popitem()
            await former.source.close()
