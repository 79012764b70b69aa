"""What describes a customer as a person: each attribute once, with the rule that chooses its value.

Values are claimed by source profiles; survivorship picks one. The fields of one composite (a name,
an address) come from the same claim, so that no street of one town meets the city of another.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a customer.

    `name` is that of the column on `customer`; `composite` names the fields that travel together;
    `is_personal` means that a masked reader sees null and may not filter, sort or search by it.
    """

    name: str
    type: type
    composite: str
    doc: str
    is_personal: bool = False


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("name", str, "name", "The full name, first name first.", is_personal=True),
    Attribute("first_name", str, "name", "The first or given names.", is_personal=True),
    Attribute("last_name", str, "name", "The last or family name.", is_personal=True),
    Attribute(
        "email",
        str,
        "email",
        "The email address, normalised.",
        is_personal=True,
    ),
    Attribute("phone", str, "phone", "The phone number, in E.164.", is_personal=True),
    Attribute("birth_date", date, "birth_date", "The date of birth.", is_personal=True),
    Attribute("gender", str, "gender", "As the sources tell it."),
    Attribute("street", str, "address", "Street and house number.", is_personal=True),
    Attribute("city", str, "address", "The town or city of the address.", is_personal=True),
    Attribute("region", str, "address", "State, province or county.", is_personal=True),
    Attribute("postal_code", str, "address", "The postal code of the address.", is_personal=True),
    Attribute("country", str, "address", "ISO 3166-1 alpha-2, upper case."),
    Attribute("language", str, "language", "As the sources tell it, often ISO 639-1."),
)
"""Every attribute, in the order of display."""
