"""The shoppers as they truly are: households, their people, and what changes in their lives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Final

from benchmarks.shoppers.names import FAMILY, FAMILY_WEIGHTS, GIVEN, GIVEN_WEIGHTS, NICKNAMES
from benchmarks.shoppers.rates import Rates
from connectors.sandbox.business.contact_points import MAIL_DOMAINS
from connectors.sandbox.business.names import STREETS

HOUSEHOLD_SIZES: Final = (1, 2, 3, 4, 5)
HOUSEHOLD_WEIGHTS: Final = (50, 27, 11, 9, 3)
PHONE_NUMBERS: Final = 10**7  # +1 555 and seven digits: nobody's
PHONE_STRIDE: Final = 6_700_417  # without a common factor, so that no number is given out twice
DOMAIN_WEIGHTS: Final = tuple(range(len(MAIL_DOMAINS), 0, -1))
TOWN_COUNT: Final = 400
STREETS_PER_TOWN: Final = 60
TOWN_NAMES: Final = tuple(
    f"{name}{ending}"
    for ending in ("ton", "ville", "field", "haven", "port", "ford", "burg", "mouth")
    for name in (
        "Spring River Fair Lake George Mil Clay Bright Green Silver Maple Stone Oak Cedar"
        " North South East West Summer Winter King Queen Bell Fox Hart Swan Eagle Elm Rose"
        " Holly Ash Birch Mill Bridge Church Castle Cross Hill Wood Glen Salt Iron Copper Sand"
        " Clear Broad Long Red Black White"
    ).split()
)


@dataclass(frozen=True, slots=True)
class Home:
    """An address."""

    street: str
    city: str
    postal_code: str


@dataclass(slots=True)
class Household:
    """People who live together. Times run from 0 to 1."""

    homes: tuple[Home, Home]
    moved_at: float
    email: str | None = None
    phone: str | None = None

    def home(self, at: float) -> Home:
        """Where they live at a time."""
        return self.homes[at >= self.moved_at]


@dataclass(slots=True)
class Shopper:
    """One true person; of what changes, a pair of before and after."""

    number: int
    household: Household
    given: str
    middle: str
    family: tuple[str, str]
    married_at: float
    gender: str
    birth_date: date
    emails: list[str] = field(default_factory=list)
    phones: tuple[str | None, str | None] = (None, None)
    phone_changed_at: float = 1.0
    card: str | None = None

    @property
    def short_forms(self) -> tuple[str, ...]:
        """What others call them."""
        return NICKNAMES.get(self.given, ())

    def family_name(self, at: float) -> str:
        """The family name at a time."""
        return self.family[at >= self.married_at]

    def phone(self, at: float) -> str | None:
        """Their own number at a time."""
        return self.phones[at >= self.phone_changed_at]


def gather(random: Random, count: int, rates: Rates) -> list[Shopper]:
    """So many people, household by household; then numbers that passed from one to another."""
    maker = _Maker(random, rates)
    people: list[Shopper] = []
    while len(people) < count:
        people += maker.household(len(people))
    del people[count:]
    _recycle(random, people, rates)
    return people


def _recycle(random: Random, people: Sequence[Shopper], rates: Rates) -> None:
    """Let given-up numbers be another person's later."""
    free = [one for one in people if one.phone_changed_at < 1 and one.phones[0]]
    for giver in free:
        taker = random.choice(people)
        if random.random() < rates.phone_recycled and taker.household is not giver.household:
            taker.phones = (taker.phones[0], giver.phones[0])
            taker.phone_changed_at = min(taker.phone_changed_at, random.uniform(0.4, 0.9))


class _Maker:
    """Makes households; every number and address is given out once."""

    def __init__(self, random: Random, rates: Rates) -> None:
        self._random = random
        self._rates = rates
        self._taken: set[str] = set()
        self._phones: Iterator[int] = iter(range(1, PHONE_NUMBERS))
        self._towns = TOWN_NAMES[:TOWN_COUNT]

    def household(self, first: int) -> list[Shopper]:
        """The people of a new household."""
        random, rates = self._random, self._rates
        size = random.choices(HOUSEHOLD_SIZES, HOUSEHOLD_WEIGHTS)[0]
        moved_at = random.uniform(0.1, 0.9) if self._chance(rates.moves) else 1.0
        house = Household((self._home(), self._home()), moved_at)
        family = random.choices(FAMILY, cum_weights=FAMILY_WEIGHTS)[0]
        if self._chance(rates.shared_phone):
            house.phone = self._phone()
        people = [self._person(first + i, i, house, family) for i in range(size)]
        if size > 1 and self._chance(rates.marriage):
            maiden = random.choices(FAMILY, cum_weights=FAMILY_WEIGHTS)[0]
            people[1].family, people[1].married_at = (maiden, family), random.uniform(0.1, 0.9)
        if size > 2 and self._chance(rates.namesake):
            elder = people[random.randrange(2)]
            people[2].given, people[2].gender = elder.given, elder.gender
        for one in people:
            self._equip(one)
        if size > 1 and self._chance(rates.shared_email):
            house.email = self._email(people[0])
        if size > 1 and people[0].card and self._chance(rates.shared_card):
            people[1].card = people[0].card
        return people

    def _chance(self, rate: float) -> bool:
        return self._random.random() < rate

    def _home(self) -> Home:
        random = self._random
        town = random.randrange(len(self._towns))
        street = (town * 7 + random.randrange(STREETS_PER_TOWN)) % (len(STREETS) * 4)
        name = STREETS[street % len(STREETS)]
        number = random.randrange(1, 180)
        return Home(f"{number} {name}", self._towns[town], f"{10_000 + town * 97 + street % 9}")

    def _person(self, number: int, place: int, house: Household, family: str) -> Shopper:
        random = self._random
        gender = random.choice(("female", "male"))
        given = random.choices(GIVEN[gender], cum_weights=GIVEN_WEIGHTS[gender])[0]
        middle = random.choices(GIVEN[gender], cum_weights=GIVEN_WEIGHTS[gender])[0]
        year = random.randrange(1945, 1985) if place < 2 else random.randrange(1985, 2008)
        born = date(year, 1, 1) + timedelta(days=random.randrange(365))
        return Shopper(number, house, given, middle, (family, family), 1.0, gender, born)

    def _equip(self, one: Shopper) -> None:
        rates = self._rates
        one.emails.append(self._email(one))
        if self._chance(rates.second_email):
            one.emails.append(self._email(one))
        if self._chance(rates.phone):
            number = self._phone()
            one.phones = (number, number)
            if self._chance(rates.phone_changes):
                one.phones = (number, self._phone())
                one.phone_changed_at = self._random.uniform(0.1, 0.9)
        if self._chance(rates.card):
            one.card = f"LC{one.number:08d}"

    def _phone(self) -> str:
        return f"+1555{next(self._phones) * PHONE_STRIDE % PHONE_NUMBERS:07d}"

    def _email(self, one: Shopper) -> str:
        random = self._random
        given, family = one.given.lower(), one.family[0].lower()
        short = random.choice(one.short_forms or (one.given,)).lower()
        year = one.birth_date.year
        local = random.choice(
            (
                f"{given}.{family}", f"{given}{family}", f"{given[0]}.{family}",
                f"{short}.{family}", f"{given}.{family}{year % 100:02d}", f"{family}.{given}",
                f"{short}{family[0]}{year}", f"{short}{random.randrange(10, 9999)}",
                f"{family}{random.randrange(10, 9999)}",
            )
        )  # fmt: skip
        domain = random.choices(MAIL_DOMAINS, DOMAIN_WEIGHTS)[0]
        address = f"{local}@{domain}"
        while address in self._taken:
            address = f"{local}{random.randrange(2, 99_999)}@{domain}"
        self._taken.add(address)
        return address
