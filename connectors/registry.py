"""Every connector that there is, by name; nothing registers itself."""

from collections.abc import Mapping
from typing import Final

from cdp.errors import BadInput
from cdp.sources import SourceRow
from connectors.base import Connector, Source, read_values
from connectors.ecommerce.shopify import SHOPIFY
from connectors.email.klaviyo import KLAVIYO
from connectors.generic.file import FILE
from connectors.generic.push import PUSH
from connectors.pos.square import SQUARE
from connectors.social.bluesky import BLUESKY

CONNECTORS: Final[Mapping[str, Connector]] = {
    connector.name: connector for connector in (SHOPIFY, SQUARE, KLAVIYO, BLUESKY, FILE, PUSH)
}


def find_connector(name: str) -> Connector:
    """The connector of that name. Raises BadInput naming those that there are."""
    connector = CONNECTORS.get(name)
    if connector is None:
        raise BadInput(
            f"There is no connector {name!r}.", todo=f"There are: {', '.join(CONNECTORS)}."
        )
    return connector


def build(row: SourceRow) -> Source:
    """The source of a row, its secrets read now. Raises BadInput for settings at fault."""
    connector = find_connector(row.connector)
    return connector.build(read_values(connector, row.settings))
