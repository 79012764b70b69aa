"""Slips of the pen: how names, numbers and dates go wrong when people type them."""

from datetime import date
from random import Random
from typing import Final

from benchmarks.shoppers.crowd import Shopper

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
FEBRUARY_DAYS: Final = 28  # days that every month has


def short_form(random: Random, one: Shopper) -> str:
    """What friends call the person."""
    return random.choice(one.short_forms)


def slip(random: Random, text: str, keep: str = "") -> str:
    """One letter lost, added, changed or turned with the next; never the first, nor one to keep."""
    places = [at for at in range(1, len(text)) if text[at] not in keep]
    if not places:
        return text
    at = random.choice(places)
    kind = random.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1 :]
    if kind == 1:
        return text[:at] + random.choice(LETTERS) + text[at:]
    if kind == 2 or at + 1 == len(text) or text[at + 1] in keep:
        return text[:at] + random.choice(LETTERS) + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def slip_of_digits(random: Random, number: str) -> str:
    """One of the last seven digits changed, or turned with the next."""
    at = random.randrange(len(number) - 7, len(number) - 1)
    if random.random() < 0.5:
        return number[:at] + number[at + 1] + number[at] + number[at + 2 :]
    return number[:at] + random.choice("0123456789") + number[at + 1 :]


def turned(born: date) -> date:
    """Day and month exchanged, where that is a date; else as it is."""
    return born.replace(month=born.day, day=born.month) if born.day <= 12 else born


def other_digit(random: Random, born: date) -> date:
    """Another year, month or day."""
    part = random.randrange(3)
    if part == 0:
        return born.replace(year=born.year + random.choice((-10, -1, 1, 10)), day=min(born.day, 28))
    if part == 1:
        return born.replace(month=random.randrange(1, 13), day=min(born.day, FEBRUARY_DAYS))
    return born.replace(day=random.randrange(1, FEBRUARY_DAYS + 1))
