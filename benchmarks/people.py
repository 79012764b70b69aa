"""Made-up files: people of whom a third are told twice, and their orders; written line by line."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

import msgspec

SEED: Final = 20_240_229
DUPLICATE_EVERY: Final = 3  # each third record is of a person who was told before
PHONE_NUMBERS: Final = 10**7  # +1 555 and seven digits
PHONE_STRIDE: Final = 6_700_417  # without a common factor, so that no two persons share a number
LAST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
DAYS: Final = 3 * 365
CENT: Final = 100

_GIVEN: Final = (
    ("William", "Bill"), ("Robert", "Bob"), ("Elizabeth", "Liz"), ("Margaret", "Peggy"),
    ("Richard", "Dick"), ("Katherine", "Kate"), ("James", "Jim"), ("Jennifer", "Jen"),
    ("Michael", "Mike"), ("Susan", "Sue"), ("Thomas", "Tom"), ("Patricia", "Trish"),
    ("Edward", "Ted"), ("Rebecca", "Becky"), ("Charles", "Chuck"), ("Victoria", "Vicky"),
    ("Daniel", "Dan"), ("Deborah", "Debbie"), ("Joseph", "Joe"), ("Samantha", "Sam"),
)  # fmt: skip
"""Given names and a short form of each."""

_FAMILY: Final = (
    "Abbott Barlow Carver Dalton Easton Fletcher Garland Holloway Ingram Jarvis Kendall Langley"
    " Merton Norwood Osborne Prescott Quinlan Radcliffe Sheldon Thornton Underhill Vaughan Whitaker"
    " Yardley Ashworth Bramley Chadwick Dunstan Elwood Fairbanks"
).split()

_TOWNS: Final = ("Springfield", "Riverton", "Fairview", "Lakewood", "Georgetown", "Milton")
_THINGS: Final = ("Shoes", "Books", "Garden", "Kitchen", "Toys", "Music")
_CHANNELS: Final = ("web", "app", "shop")


def write_customers(path: Path, count: int) -> None:
    """Records of the customers stream, a third of them people who were told before.

    The other telling has another id, shares email, phone or both, and writes the name in full, in
    short or with a slip of the pen.
    """
    chance = Random(SEED)  # noqa: S311 (repeatable chance, not secrets)
    _write(path, (_customer(chance, number) for number in range(count)))


def write_orders(path: Path, count: int, customers: int) -> None:
    """Records of the orders stream, each with two lines, of customers that were written before."""
    chance = Random(SEED + 1)  # noqa: S311 (repeatable chance, not secrets)
    _write(path, (_order(chance, number, customers) for number in range(count)))


def told_by(source: int, count: int, persons: int) -> Iterator[dict[str, object]]:
    """What one of several sources tells of as many persons: each a person picked at random.

    All sources tell of the same persons, so that these share their addresses across sources.
    """
    chance = Random(SEED + 2 + source)  # noqa: S311 (repeatable chance, not secrets)
    return (_told_again(chance, number, persons) for number in range(count))


def customer_key(number: int) -> str:
    """The id of a customer record."""
    return f"c{number}"


def _write(path: Path, records: Iterator[dict[str, object]]) -> None:
    with path.open("wb") as file:
        for record in records:
            file.write(msgspec.json.encode(record))
            file.write(b"\n")


def _customer(chance: Random, number: int) -> dict[str, object]:
    is_again = number % DUPLICATE_EVERY == DUPLICATE_EVERY - 1
    told = number - number // DUPLICATE_EVERY  # persons told up to here
    return _told_again(chance, number, told) if is_again else _told_first(number, told)


def _told_first(number: int, person: int) -> dict[str, object]:
    given, _, family = _names(person)
    since = LAST_DAY - timedelta(minutes=37 * (number % 30_000) + 1)
    return {
        "id": customer_key(number),
        "email": _email(person),
        "phone": f"+1555{_phone(person):07d}",
        "first_name": given,
        "last_name": family,
        "street": f"{person % 997 + 1} Station Road",
        "city": _TOWNS[person % len(_TOWNS)],
        "postal_code": f"{person % 90_000 + 10_000}",
        "country": "US",
        "created_at": since.isoformat(),
        "updated_at": (since + timedelta(days=person % 200)).isoformat(),
    }


def _told_again(chance: Random, number: int, persons: int) -> dict[str, object]:
    """As another till or shop would have typed the same person."""
    person = chance.randrange(persons)
    given, short, family = _names(person)
    first, last = chance.choice(((given, family), (short, family), (given, _slip(chance, family))))
    has_email, has_phone = chance.choice(((True, True), (True, False), (False, True)))
    digits = f"{_phone(person):07d}"
    record: dict[str, object] = {"id": customer_key(number), "first_name": first, "last_name": last}
    if has_email:
        record["email"] = _email(person).title()
    if has_phone:
        record["phone"] = f"+1 555 {digits[:3]} {digits[3:]}"
    since = LAST_DAY - timedelta(minutes=41 * (number % 20_000) + 1)
    record |= {"country": "US", "created_at": since.isoformat(), "updated_at": since.isoformat()}
    return record


def _names(person: int) -> tuple[str, str, str]:
    given, short = _GIVEN[person % len(_GIVEN)]
    return given, short, _FAMILY[person // len(_GIVEN) % len(_FAMILY)]


def _email(person: int) -> str:
    given, _, family = _names(person)
    return f"{given}.{family}.{person}@example.com".lower()


def _phone(person: int) -> int:
    return person * PHONE_STRIDE % PHONE_NUMBERS


def _slip(chance: Random, name: str) -> str:
    """One letter too many."""
    at = chance.randrange(1, len(name))
    return name[:at] + name[at - 1].lower() + name[at:]


def _order(chance: Random, number: int, customers: int) -> dict[str, object]:
    placed_at = LAST_DAY - timedelta(minutes=chance.randrange(DAYS * 24 * 60))
    lines = [_line(chance, line) for line in (1, 2)]
    cents = sum(quantity * price for quantity, price, _ in lines)
    return {
        "id": f"o{number}",
        "customer_id": customer_key(chance.randrange(customers)),
        "placed_at": placed_at.isoformat(),
        "updated_at": (placed_at + timedelta(days=2)).isoformat(),
        "currency": "EUR",
        "total": _money(cents),
        "status": "completed",
        "channel": chance.choice(_CHANNELS),
        "lines": [line for _, _, line in lines],
    }


def _line(chance: Random, line: int) -> tuple[int, int, dict[str, object]]:
    """Quantity, price in cents, and the line as it is written."""
    product, quantity = chance.randrange(5_000), chance.randrange(1, 4)
    price = 199 + product * 7 % 9_000
    return quantity, price, {
        "line": str(line),
        "product_id": f"p{product}",
        "sku": f"SKU-{product:05d}",
        "title": f"Article {product}",
        "category": _THINGS[product % len(_THINGS)],
        "quantity": str(quantity),
        "unit_price": _money(price),
    }  # fmt: skip


def _money(cents: int) -> str:
    return f"{cents // CENT}.{cents % CENT:02d}"
