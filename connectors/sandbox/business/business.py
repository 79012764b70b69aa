"""The whole sample business: its story, told to four emulators and a folder, with the truth."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from starlette.applications import Starlette

from connectors.sandbox.bluesky import BlueskySandbox
from connectors.sandbox.business import desk, network, newsletter, shop, tills
from connectors.sandbox.business.logins import BRAND, LOGINS, TOKEN
from connectors.sandbox.business.story import Story, tell_story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.shopify import ShopifySandbox
from connectors.sandbox.square import SquareSandbox
from connectors.sandbox.state import Faults, Item

# Items come twice across pages, as they do at every vendor; budgets are those of a large account.
FAULTS: Final = Faults(seed=1, duplicate_rate=0.1, rate_multiplier=1000.0)


class Sandbox(Protocol):
    """What all emulators have."""

    app: Starlette

    def put(self, kind: str, item: Item) -> None:
        """Insert or replace one object."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """What a source needs to be told to read one vendor, but for the vendor's address."""

    connector: str
    settings: Mapping[str, str]


ACCOUNTS: Final[Mapping[str, Account]] = {
    name: Account(connector, LOGINS[connector])
    for name, connector in (
        (shop.SOURCE, "shopify"),
        (tills.SOURCE, "square"),
        (newsletter.SOURCE, "klaviyo"),
        (network.SOURCE, "bluesky"),
    )
}
"""By the name of the source."""


@dataclass(frozen=True, slots=True)
class Business:
    """Everything that the sources know, and who it truly is about."""

    story: Story
    truth: Truth
    vendors: Mapping[str, Sandbox]
    """The emulators with the business in them, by the name of the source."""
    files: Mapping[str, bytes]
    """The drop folder of the support desk, by file name."""


def open_business(seed: int, customers: int, until: datetime) -> Business:
    """The business of `customers` people up to the day of `until`; the same for the same three."""
    story, truth = tell_story(seed, customers, until), Truth()
    vendors: dict[str, Sandbox] = {
        shop.SOURCE: ShopifySandbox(access_token=TOKEN, faults=FAULTS),
        tills.SOURCE: SquareSandbox(access_token=TOKEN, faults=FAULTS),
        newsletter.SOURCE: KlaviyoSandbox(api_key=TOKEN, faults=FAULTS),
        network.SOURCE: BlueskySandbox(password=TOKEN, identifier=BRAND, faults=FAULTS),
    }
    told = {
        shop.SOURCE: shop.tell_shop(story, truth),
        tills.SOURCE: tills.tell_tills(story, truth),
        newsletter.SOURCE: newsletter.tell_newsletter(story, truth),
        network.SOURCE: network.tell_network(story, truth),
    }
    for name, vendor in vendors.items():
        for kind, item in told[name]:
            vendor.put(kind, item)
    return Business(story, truth, vendors, desk.tell_desk(story, truth))


def write_files(business: Business, folder: Path) -> None:
    """Put the drop folder on the disk; a file that holds the same already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in business.files.items():
        path = folder / name
        with suppress(FileNotFoundError):
            if path.read_bytes() == content:
                continue
        path.write_bytes(content)
