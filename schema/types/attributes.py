"""The fixed attributes of a person, as a customer shows them and as a source tells them."""

from typing import Final

import strawberry

from cdp.attributes import ATTRIBUTES
from schema.declare import Declared
from schema.edges import column

_BY_NAME: Final = {attribute.name: attribute for attribute in ATTRIBUTES}


def attribute(name: str) -> Declared:
    """A field that is a fixed attribute; who is masked reads null where it is personal."""
    known = _BY_NAME[name]
    masked = " Personal: null for a role that is masked." if known.is_personal else ""
    return column(name, f"{known.doc} Null where no source tells it.{masked}")


@strawberry.type(description="A postal address; all its parts come from the same source.")
class Address:
    """The composite `address`."""

    street: str | None = attribute("street")
    city: str | None = attribute("city")
    region: str | None = attribute("region")
    postal_code: str | None = attribute("postal_code")
    country: str | None = attribute("country")
