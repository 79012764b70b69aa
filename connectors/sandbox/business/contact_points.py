"""Addresses and phone numbers that belong to nobody: reserved domains, fictional ranges only."""

from collections.abc import Iterator
from math import gcd
from random import Random
from typing import Final

MAIL_DOMAINS: Final = (
    "mail.example.com",
    "inbox.example.com",
    "post.example.org",
    "letters.example.net",
    "home.example.net",
    "example.com",
    "example.org",
    "example.net",
)
"""Reserved for documentation (RFC 2606); weights fall in this order."""

WORK_DOMAINS: Final = ("work.example.com", "office.example.org", "studio.example.net")

_US_AREAS: Final = """
202 206 212 213 214 215 216 303 305 312 313 314 315 317 319 323 334 352 360 401 402 404 405 406
407 408 410 412 413 414 415 417 419 423 425 432 440 443 478 480 501 502 503 504 505 507 508 509
510 512 513 515 516 517 518 520 530 540 541 559 561 562 563 573 574 585 601 602 603 605 606 607
608 609 610 612 614 615 616 617 618 619 626 630 631 636 641 650 651 660 661 662 701 702 703 704
706 707 708 712 713 714 715 716 717 718 719 720 724 727 731 732 734 740 754 757 760 763 770 772
773 775 781 785 786 801 802 803 804 805 806 808 810 812 813 814 815 816 817 818 828 830 831 843
845 847 850 856 858 859 860 863 864 865 901 903 904 906 907 908 909 910 912 913 914 915 916 918
"""

FICTIONAL_PHONES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    # Ofcom, telephone numbers for drama: mobile, and the areas that number such as 0113 496 0xxx.
    "GB": (
        ("+447700900", 3),
        *((f"+44{area}4960", 3) for area in (113, 114, 116, 117, 118, 121, 131, 141, 151, 161)),
        ("+442079460", 3),
        ("+441914980", 3),
        ("+442920180", 3),
    ),
    # ARCEP, numbers for audiovisual works.
    "FR": (("+3363998", 4), ("+3319900", 4), ("+3326191", 4), ("+3346571", 4), ("+3353649", 4)),
    # NANPA, 555-0100 to 555-0199 in every area.
    "US": tuple((f"+1{area}55501", 2) for area in _US_AREAS.split()),
    # ACMA, numbers for use in radio and television.
    "AU": tuple((f"+61{area}{block}", 4) for area in "2378" for block in ("5550", "7010")),
}
"""Country to (how its fictional numbers begin, how many digits follow)."""


class PhoneBook:
    """Hands out each fictional number once, in an order that follows from the seed."""

    def __init__(self, seed: int) -> None:
        self._numbers = {country: _mixed(seed, country) for country in FICTIONAL_PHONES}

    def issue(self, country: str) -> str | None:
        """The next free number in E.164; None when the country's ranges are used up."""
        return next(self._numbers[country], None)


def _mixed(seed: int, country: str) -> Iterator[str]:
    """Every number of a country once: a walk with a stride that shares no factor with the count."""
    ranges = FICTIONAL_PHONES[country]
    total = sum(10**digits for _, digits in ranges)
    random = Random(f"{seed}:phones:{country}")  # noqa: S311 (repeatable on purpose)
    at, stride = random.randrange(total), random.randrange(1, total)
    while gcd(stride, total) != 1:
        stride += 1
    for _ in range(total):
        yield _number(ranges, at)
        at = (at + stride) % total


def _number(ranges: tuple[tuple[str, int], ...], place: int) -> str:
    """The number at a place among all of the ranges."""
    for prefix, digits in ranges:
        if place < 10**digits:
            return f"{prefix}{place:0{digits}d}"
        place -= 10**digits
    raise AssertionError("the place lies within the ranges")


def as_dialled_at_home(number: str) -> str:
    """A British number as a Briton writes it; others keep their country code."""
    return f"0{number[3:7]} {number[7:]}" if number.startswith("+44") else number


class AddressBook:
    """Hands out email addresses, each to one holder; spelling variants count as the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def issue(self, random: Random, local: str, domain: str) -> str:
        """The address, with a number behind its local part where another holds it already."""
        address = f"{local}@{domain}"
        while address.replace(".", "") in self._taken:
            address = f"{local}{random.randrange(2, 9999)}@{domain}"
        self._taken.add(address.replace(".", ""))
        return address
