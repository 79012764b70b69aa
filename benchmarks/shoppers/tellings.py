"""What the sources write down: one canonical `customers` record per telling, with its slips."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Final

from benchmarks.shoppers.crowd import Shopper, gather
from benchmarks.shoppers.rates import RATES, Rates
from benchmarks.shoppers.slips import other_digit, short_form, slip, slip_of_digits, turned
from cdp.records import CustomerRecord

RECORDS_PER_PERSON: Final = 2.2
TILLS: Final = 40
MOST_TELLINGS: Final = 7

_PLACEHOLDER_EMAILS: Final = (
    "noemail@example.com",
    "none@example.com",
    "customer@shop.example.com",
)
_PLACEHOLDER_PHONES: Final = ("+15550000000", "+15551234567", "+15559999999")


@dataclass(frozen=True, slots=True)
class _Habits:
    """How often a source asks for each field, and how carefully it is typed."""

    weight: int
    given: float
    family: float
    email: float
    phone: float
    address: float
    birth_date: float
    gender: float
    card: float
    care: float
    """What the rates of slips are multiplied with."""


SOURCES: Final[Mapping[str, _Habits]] = {
    "shop": _Habits(34, 0.99, 0.99, 0.99, 0.55, 0.85, 0.10, 0.10, 0.20, 0.8),
    "till": _Habits(24, 0.90, 0.80, 0.45, 0.55, 0.15, 0.05, 0.10, 0.60, 1.8),
    "newsletter": _Habits(14, 0.60, 0.35, 1.00, 0.00, 0.00, 0.05, 0.05, 0.00, 1.0),
    "desk": _Habits(14, 0.95, 0.95, 0.60, 0.70, 0.45, 0.15, 0.20, 0.25, 1.5),
    "club": _Habits(14, 1.00, 1.00, 0.70, 0.65, 0.90, 0.85, 0.80, 0.95, 0.7),
}


@dataclass(frozen=True, slots=True)
class Telling:
    """A record as a source delivers it, and the number of the person whom it is about."""

    source: str
    record: CustomerRecord
    person: int


def tell(seed: int, count: int, rates: Rates = RATES) -> Iterator[Telling]:
    """So many records of a crowd of `count / RECORDS_PER_PERSON` people, in no order."""
    random = Random(f"{seed}:shoppers")  # noqa: S311 (repeatable chance, not secrets)
    people = gather(random, max(2, round(count / RECORDS_PER_PERSON)), rates)
    times = _times_told(random, count, len(people))
    told = [number for number, times_told in enumerate(times) for _ in range(times_told)]
    random.shuffle(told)
    writer = _Writer(random, rates)
    for number, person in enumerate(told):
        yield writer.telling(number, people[person])


def _times_told(random: Random, count: int, people: int) -> list[int]:
    """Each person once; the rest of the records by chance, few people often."""
    times = [1] * min(count, people) + [0] * max(0, people - count)
    left = count - sum(times)
    keen = [random.expovariate(1) for _ in times]
    for person in random.choices(range(people), keen, k=left * 2):
        if left and times[person] < MOST_TELLINGS:
            times[person] += 1
            left -= 1
    return times


class _Writer:
    """Writes records down."""

    def __init__(self, random: Random, rates: Rates) -> None:
        self._random = random
        self._rates = rates
        self._names = tuple(SOURCES)
        self._weights = tuple(habits.weight for habits in SOURCES.values())

    def telling(self, number: int, one: Shopper) -> Telling:
        """One record of a person, by some source, at some time."""
        source = self._random.choices(self._names, self._weights)[0]
        habits, at = SOURCES[source], self._random.random()
        given, family = self._name(habits, one, at)
        home = one.household.home(at) if self._asks(habits.address) else None
        street = home.street if home and not self._missing() else None
        if street and self._slips(self._rates.typo_street, habits):
            street = slip(self._random, street)
        record = CustomerRecord(
            id=f"{source[0]}{number}",
            first_name=given,
            last_name=family,
            email=self._email(habits, one, source),
            phone=self._phone(habits, one, at),
            street=street,
            city=home.city if home else None,
            postal_code=home.postal_code if home and not self._missing() else None,
            country="US" if home else None,
            gender=one.gender if self._asks(habits.gender) else None,
            birth_date=self._birth_date(habits, one),
            loyalty_card=one.card if one.card and self._asks(habits.card) else None,
        )
        return Telling(source, record, one.number)

    def _chance(self, rate: float) -> bool:
        return self._random.random() < rate

    def _missing(self) -> bool:
        return self._chance(self._rates.missing)

    def _asks(self, share: float) -> bool:
        return self._chance(share) and (share == 1 or not self._missing())

    def _slips(self, rate: float, habits: _Habits) -> bool:
        return self._chance(rate * habits.care)

    def _name(self, habits: _Habits, one: Shopper, at: float) -> tuple[str | None, str | None]:
        random, rates = self._random, self._rates
        given, family = one.given, one.family_name(at)
        if one.short_forms and self._chance(rates.nickname):
            given = short_form(random, one)
        if self._slips(rates.typo_given, habits):
            given = slip(random, given)
        if self._slips(rates.typo_family, habits):
            family = slip(random, family)
        if self._slips(rates.initial, habits):
            given = given[0]
        elif self._chance(rates.middle_name):
            given = f"{given} {random.choice((one.middle, one.middle[0]))}"
        told_given = given if self._chance(habits.given) else None
        told_family = family if self._chance(habits.family) else None
        if told_given and told_family and self._slips(rates.names_turned, habits):
            return told_family, told_given
        return told_given, told_family

    def _email(self, habits: _Habits, one: Shopper, source: str) -> str | None:
        random, rates = self._random, self._rates
        if source == "till" and self._chance(rates.tablet_email):
            return f"till{random.randrange(TILLS)}@shop.example.com"
        if not self._asks(habits.email):
            return None
        if self._chance(rates.placeholder_email):
            return random.choice(_PLACEHOLDER_EMAILS)
        address = one.emails[0]
        if one.household.email:
            address = one.household.email
        if len(one.emails) > 1 and self._chance(rates.other_email):
            address = one.emails[1]
        return slip(random, address, keep="@") if self._slips(rates.typo_email, habits) else address

    def _phone(self, habits: _Habits, one: Shopper, at: float) -> str | None:
        random, rates = self._random, self._rates
        if not self._asks(habits.phone):
            return None
        if self._chance(rates.placeholder_phone):
            return random.choice(_PLACEHOLDER_PHONES)
        number = one.phone(at)
        if one.household.phone and (number is None or self._chance(rates.household_phone)):
            number = one.household.phone
        if number and self._slips(rates.typo_phone, habits):
            number = slip_of_digits(random, number)
        return number

    def _birth_date(self, habits: _Habits, one: Shopper) -> date | None:
        if not self._asks(habits.birth_date):
            return None
        if self._slips(self._rates.birth_date_turned, habits):
            return turned(one.birth_date)
        if self._slips(self._rates.typo_birth_date, habits):
            return other_digit(self._random, one.birth_date)
        return one.birth_date
