"""How often what makes matching hard happens; every rate is a parameter."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares between 0 and 1: of households, of people, or of the records that carry the field."""

    # Of households.
    shared_email: float = 0.10
    """Several people have one address."""
    shared_phone: float = 0.30
    """There is a telephone of the household, which its people give besides their own."""
    shared_card: float = 0.01
    """Of those with more than one person: two of them show one loyalty card."""
    moves: float = 0.18
    namesake: float = 0.04
    """Of those with children: a child bears the given name of a parent."""
    marriage: float = 0.10
    """Of couples: one took the other's family name within the time told."""

    # Of people.
    second_email: float = 0.40
    phone: float = 0.85
    phone_changes: float = 0.12
    phone_recycled: float = 0.50
    """Of the numbers that were given up: another person has it now."""
    card: float = 0.35
    """Is in the loyalty programme."""

    # Of records: what is told otherwise.
    nickname: float = 0.15
    """Of given names that have a short form."""
    initial: float = 0.03
    middle_name: float = 0.05
    names_turned: float = 0.01
    typo_given: float = 0.03
    typo_family: float = 0.04
    typo_email: float = 0.02
    typo_phone: float = 0.02
    typo_street: float = 0.06
    birth_date_turned: float = 0.02
    """Day and month exchanged."""
    typo_birth_date: float = 0.02
    household_phone: float = 0.30
    """Where the household has one: it is given in place of the person's own."""
    other_email: float = 0.30
    """Where the person has another: it is given in place of the usual one."""

    # Of records: what is not told, or by nobody in particular.
    missing: float = 0.10
    """On top of what the source does not ask for."""
    placeholder_email: float = 0.015
    placeholder_phone: float = 0.015
    tablet_email: float = 0.03
    """Of records of a till: the address that is left on its tablet."""


RATES: Final = Rates()
