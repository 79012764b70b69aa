"""The people of the sample business as they truly are, before any source has heard of them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Final

from connectors.sandbox.business.contact_points import (
    MAIL_DOMAINS,
    WORK_DOMAINS,
    AddressBook,
    PhoneBook,
)
from connectors.sandbox.business.names import (
    GIVEN_NAMES,
    GIVEN_WEIGHTS,
    NICKNAMES,
    PLACES,
    STREETS,
    SURNAME_WEIGHTS,
    SURNAMES,
)

COUNTRIES: Final = ("GB", "FR", "US", "AU")
COUNTRY_WEIGHTS: Final = (40, 25, 20, 15)
HOUSEHOLD_SIZES: Final = (1, 2, 3, 4)
HOUSEHOLD_WEIGHTS: Final = (62, 24, 8, 6)  # by household; nearly six in ten people share one

# Shares of households.
MOVING: Final = 0.12
SHARED_EMAIL: Final = 0.10
SHARED_PHONE: Final = 0.25
TWINS: Final = 0.15  # of those with two children
NAMESAKES: Final = 0.05  # a child who bears a parent's given name, of those with children
MARRYING: Final = 0.08  # a partner who takes the other's name within the years told, of couples

# Shares of people.
WITH_SECOND_EMAIL: Final = 0.35
WITH_WORK_EMAIL: Final = 0.15
WITH_PHONE: Final = 0.85
WITH_RECYCLED_PHONE: Final = 0.03  # of the people with a phone
WITH_HANDLE: Final = 0.30


@dataclass(frozen=True, slots=True)
class Home:
    """Where a household lives, from `day` of the story on."""

    day: int
    street: str
    city: str
    region: str
    postal_code: str
    country: str


@dataclass(slots=True)
class Household:
    """People who live together; `email` and `phone` are theirs in common, None where none is."""

    number: int
    homes: list[Home]
    email: str | None = None
    phone: str | None = None


@dataclass(slots=True)
class Person:
    """One true person. Days count from the first day of the story."""

    number: int
    household: Household
    given: str
    family: str
    gender: str
    birth_date: date
    emails: list[str] = field(default_factory=list)
    phone: str | None = None
    phone_until_day: int | None = None
    """The day on which the number was given up, to be another's later; None: still theirs."""
    phone_from_day: int = 0
    family_before: str | None = None
    """The family name before `married_on_day`."""
    married_on_day: int = 0
    handle: str | None = None

    @property
    def country(self) -> str:
        """ISO 3166 of the home."""
        return self.household.homes[0].country

    @property
    def nicknames(self) -> tuple[str, ...]:
        """What others call them."""
        return NICKNAMES.get(self.given, ())

    def family_on(self, day: int) -> str:
        """The family name that they bore on a day."""
        return (
            self.family_before if self.family_before and day < self.married_on_day else self.family
        )

    def home_on(self, day: int) -> Home:
        """Where they lived on a day."""
        return next(home for home in reversed(self.household.homes) if home.day <= day)

    def phone_on(self, day: int) -> str | None:
        """Their own number on a day; None where they had none."""
        until = self.phone_until_day
        return self.phone if self.phone_from_day <= day and (until is None or day < until) else None


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody, in order of number."""

    people: Sequence[Person]


def populate(seed: int, customers: int, days: int) -> Population:
    """`customers` people whose moves, weddings and numbers fall within `days`."""
    random = Random(f"{seed}:people")  # noqa: S311 (repeatable on purpose)
    maker = _Maker(random, seed, days)
    people: list[Person] = []
    for number in count():
        if len(people) >= customers:
            break
        people.extend(maker.household(number, len(people)))
    del people[customers:]
    _recycle_phones(random, people, days)
    return Population(people)


class _Maker:
    """Makes households, each number and address issued once."""

    def __init__(self, random: Random, seed: int, days: int) -> None:
        self._random = random
        self._days = days
        self._phones = PhoneBook(seed)
        self._addresses = AddressBook()

    def household(self, number: int, first_person: int) -> list[Person]:
        random = self._random
        size = random.choices(HOUSEHOLD_SIZES, HOUSEHOLD_WEIGHTS)[0]
        country = random.choices(COUNTRIES, COUNTRY_WEIGHTS)[0]
        house = Household(number, [self._home(0, country)])
        if random.random() < MOVING:
            house.homes.append(self._home(random.randrange(60, self._days), country))
        people = self._members(house, size, first_person)
        if size > 1 and random.random() < SHARED_EMAIL:
            local = f"{random.choice(('family', 'the', 'home'))}.{_local(people[0].family)}"
            house.email = self._addresses.issue(random, local, random.choice(MAIL_DOMAINS))
        if size > 1 and random.random() < SHARED_PHONE:
            house.phone = self._phones.issue(country)
        for person in people:
            self._equip(person)
        return people

    def _home(self, day: int, country: str) -> Home:
        random = self._random
        city, region, prefix = random.choice(PLACES[country])
        street = f"{random.randrange(1, 220)} {random.choice(STREETS)}"
        match country:
            case "GB":
                letters = "".join(random.choices("ABDEFGHJLNPQRSTUWXYZ", k=2))
                code = f"{prefix}{random.randrange(1, 20)} {random.randrange(1, 10)}{letters}"
            case _:
                width = 4 if country == "AU" else 5
                digits = width - len(prefix)
                code = f"{prefix}{random.randrange(10**digits):0{digits}d}"
        return Home(day, street, city, region, code, country)

    def _members(self, house: Household, size: int, first: int) -> list[Person]:
        random = self._random
        family = random.choices(SURNAMES, cum_weights=SURNAME_WEIGHTS)[0]
        gender = random.choice(("female", "male"))
        head = self._person(first, house, family, gender, random.randrange(1945, 1990))
        people = [head]
        if size > 1:
            born = max(1942, min(1999, head.birth_date.year + random.randrange(-6, 7)))
            other = "male" if gender == "female" else "female"
            partner = self._person(first + 1, house, family, other, born)
            if random.random() < MARRYING:
                partner.family_before = random.choices(SURNAMES, cum_weights=SURNAME_WEIGHTS)[0]
                partner.married_on_day = random.randrange(90, self._days)
            people.append(partner)
        for number in range(first + 2, first + size):
            born = min(2006, max(person.birth_date.year for person in people[:2]) + 25)
            child = self._person(number, house, family, random.choice(("female", "male")), born)
            people.append(child)
        self._resemble(people)
        return people

    def _person(self, number: int, house: Household, family: str, gender: str, year: int) -> Person:
        random = self._random
        given = random.choices(GIVEN_NAMES[gender], cum_weights=GIVEN_WEIGHTS[gender])[0]
        born = date(year, 1, 1) + timedelta(days=random.randrange(365))
        return Person(number, house, given, family, gender, born)

    def _resemble(self, people: list[Person]) -> None:
        """Make twins of two children, or a namesake of a parent and a child."""
        random = self._random
        children = people[2:]
        if len(children) == 2 and random.random() < TWINS:
            children[1].birth_date = children[0].birth_date
        if children and random.random() < NAMESAKES:
            elders = [one for one in people[:2] if one.gender == children[0].gender]
            children[0].given = elders[0].given if elders else children[0].given
        taken: set[str] = set()
        for child in children:
            while child.given in taken:
                names = GIVEN_NAMES[child.gender]
                child.given = random.choices(names, cum_weights=GIVEN_WEIGHTS[child.gender])[0]
            taken.add(child.given)

    def _equip(self, person: Person) -> None:
        """Give the person addresses, a phone and a handle of their own."""
        random = self._random
        weights = range(len(MAIL_DOMAINS), 0, -1)
        domain = random.choices(MAIL_DOMAINS, weights)[0]
        person.emails.append(self._addresses.issue(random, _local_part(random, person), domain))
        if random.random() < WITH_SECOND_EMAIL:
            domain = random.choices(MAIL_DOMAINS, weights)[0]
            local = _local_part(random, person)
            person.emails.append(self._addresses.issue(random, local, domain))
        if random.random() < WITH_WORK_EMAIL:
            local = f"{_local(person.given)}.{_local(person.family)}"
            address = self._addresses.issue(random, local, random.choice(WORK_DOMAINS))
            person.emails.append(address)
        if random.random() < WITH_PHONE:
            person.phone = self._phones.issue(person.country)
        if random.random() < WITH_HANDLE:
            handle = self._addresses.issue(random, _handle_part(person), "social.example.org")
            person.handle = handle.replace("@", ".")


def _local(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name.lower())
    return "".join(letter for letter in decomposed if letter.isascii() and letter.isalpha())


def _local_part(random: Random, person: Person) -> str:
    given, family = _local(person.given), _local(person.family)
    nickname = _local(random.choice(person.nicknames or (person.given,)))
    year = person.birth_date.year
    return random.choice(
        (
            f"{given}.{family}",
            f"{given}{family}",
            f"{given[0]}.{family}",
            f"{given}.{family}{year % 100:02d}",
            f"{nickname}{family[0]}{year}",
            f"{nickname}.{family}",
        )
    )


def _handle_part(person: Person) -> str:
    return f"{_local(person.given)}-{_local(person.family)}"


def _recycle_phones(random: Random, people: list[Person], days: int) -> None:
    """Let some numbers pass from one person to another, with a quiet time between."""
    holders = [person for person in people if person.phone]
    for _ in range(int(len(holders) * WITH_RECYCLED_PHONE)):
        giver, taker = random.sample(holders, 2)
        is_free = giver.phone_until_day is None and giver.phone_from_day == 0
        if not is_free or giver.household is taker.household or giver.country != taker.country:
            continue
        if taker.phone_until_day is not None or taker.phone_from_day:
            continue
        day = random.randrange(days // 5, days // 2)
        giver.phone_until_day = day
        taker.phone, taker.phone_from_day = giver.phone, day + 120
