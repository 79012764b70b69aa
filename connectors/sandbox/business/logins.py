"""How the emulated vendors of the sample business are opened, and how their sources are known."""

from collections.abc import Mapping
from typing import Final

from cdp.sources import SourceRow

# Opens emulators that live on loopback for as long as the demo runs.
TOKEN: Final = "sample-business"  # noqa: S105 (guards made-up people only)
BRAND: Final = "harbour-and-hill.example.com"

LOGINS: Final[Mapping[str, Mapping[str, str]]] = {
    "shopify": {"shop": "harbour-and-hill", "access_token": TOKEN},
    "square": {"access_token": TOKEN},
    "klaviyo": {"api_key": TOKEN},
    "bluesky": {"identifier": BRAND, "password": TOKEN},
}
"""By connector: all that a source needs to be told but the vendor's address."""


def is_emulated(row: SourceRow) -> bool:
    """Whether a source reads one of these emulators, wherever it was last served.

    They end with the demo, so that only who names such a source reads it: an address that refuses
    is tried for a minute, list after list.
    """
    settings = {name: value for name, value in row.settings.items() if name != "url"}
    return settings == LOGINS.get(row.connector)
