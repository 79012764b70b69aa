"""How sources hear of people: nicknames, slips of the pen, shared and made-up contact points."""

from dataclasses import dataclass
from random import Random
from typing import Final

from connectors.sandbox.business.population import Person
from connectors.sandbox.business.story import TILLS

PLACEHOLDER_EMAIL: Final = "noemail@example.com"
PLACEHOLDER_PHONE: Final = "000-0000"
SHORTEST_SLIP: Final = 5  # letters; in a shorter name a slip makes another name


@dataclass(frozen=True, slots=True)
class Ear:
    """How often a source mishears; shares of the people it hears of."""

    nickname: float = 0.0
    slip: float = 0.0
    family_left_out: float = 0.0
    household: float = 0.0
    """Gives the household's address or number where there is one."""
    other_email: float = 0.0
    """Gives an address that is not the usual one."""

    def given(self, random: Random, person: Person) -> str:
        """The given name as it was noted."""
        name = person.given
        if person.nicknames and random.random() < self.nickname:
            name = random.choice(person.nicknames)
        return slipped(random, name) if random.random() < self.slip else name

    def family(self, random: Random, person: Person, day: int) -> str | None:
        """The family name of that day as it was noted; None where it was not."""
        name = person.family_on(day)
        if random.random() < self.family_left_out:
            return None
        return slipped(random, name) if random.random() < self.slip else name

    def email(self, random: Random, person: Person) -> str:
        """One of the person's addresses, or the household's."""
        shared = person.household.email
        if shared is not None and random.random() < self.household:
            return shared
        return (
            random.choice(person.emails) if random.random() < self.other_email else person.emails[0]
        )

    def phone(self, random: Random, person: Person, day: int) -> str | None:
        """The person's number of that day, or the household's; None where there is neither."""
        own, shared = person.phone_on(day), person.household.phone
        if shared is not None and (own is None or random.random() < self.household):
            return shared
        return own


def tablet_address(person: Person) -> str:
    """What the staff of the person's shop type on its tablet when somebody tells no address."""
    return f"tablet.{TILLS[person.country].lower()}@tills.example.com"


def slipped(random: Random, name: str) -> str:
    """The name with one slip: two letters turned, one lost, or one doubled."""
    if len(name) < SHORTEST_SLIP:
        return name
    at = random.randrange(1, len(name) - 1)
    match random.randrange(3):
        case 0:
            return name[:at] + name[at + 1] + name[at] + name[at + 2 :]
        case 1:
            return name[:at] + name[at + 1 :]
        case _:
            return name[:at] + name[at] + name[at:]
