"""What is compared of two people, and the levels of likeness, as SQL conditions of two sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison: columns, when it is not known, levels from the strongest to the weakest.

    A level is a label and a condition on columns with `_l` and `_r`; the last has none: whatever
    is left. A level counts where none before it holds.
    """

    name: str
    columns: Sequence[str]
    unknown: str
    levels: Sequence[tuple[str, str]]

    @property
    def labels(self) -> Sequence[str]:
        """The labels from the weakest to the strongest: the place is the level's number."""
        return [label for label, _ in reversed(self.levels)]

    @property
    def number_if_known(self) -> str:
        """The number of the level as an SQL expression, the weakest 0."""
        numbers = range(len(self.levels) - 1, -1, -1)
        levels = [
            f"WHEN {holds or 'true'} THEN {number}"
            for number, (_, holds) in zip(numbers, self.levels, strict=True)
        ]
        return f"CASE {' '.join(levels)} END"

    @property
    def number(self) -> str:
        """The same, -1 where it is not known."""
        return f"CASE WHEN {self.unknown} THEN -1 ELSE {self.number_if_known} END"


def _both(template: str) -> str:
    """A condition that may hold in either direction: of l and r, or of r and l."""
    turned = template.replace("_l", "_?").replace("_r", "_l").replace("_?", "_r")
    return f"({template} OR {turned})"


def _typo(left: str, right: str) -> str:
    """One letter off, or two exchanged in a longer word."""
    return f"(levenshtein({left}, {right}) <= 1 OR jaro_winkler_similarity({left}, {right}) > 0.9)"


def _alike(left: str, right: str) -> str:
    """The same word, or nearly, or the initial of the other."""
    return (
        f"({_typo(left, right)} OR (length({left}) = 1 AND left({right}, 1) = {left})"
        f" OR (length({right}) = 1 AND left({left}, 1) = {right}))"
    )


_TURNED: Final = _both(
    f"({_alike('first_name_l', 'family_r')} AND (list_contains(formals_r, family_l)"
    f" OR {_alike('family_l', 'first_name_r')} OR {_alike('family_l', 'formal_r')}))"
)
_GIVEN: Final = Comparison(
    "given_name",
    ("given", "first_name", "formal", "formals", "family"),
    "first_name_l IS NULL OR first_name_r IS NULL",
    (
        ("same given names", "given_l = given_r"),
        ("same first name", "first_name_l = first_name_r"),
        ("short form", "list_has_any(formals_l, formals_r)"),
        ("turned with the family name", f"family_l <> family_r AND {_TURNED}"),
        (
            "initial",
            _both(
                "(length(first_name_l) = 1 AND (left(first_name_r, 1) = first_name_l"
                " OR left(formal_r, 1) = first_name_l))"
            ),
        ),
        (
            "typo",
            (
                "(first_name_l[1] = first_name_r[1] OR formal_l[1] = formal_r[1]"
                " OR length(first_name_l) = length(first_name_r))"
                f" AND ({_typo('first_name_l', 'first_name_r')} OR {_typo('formal_l', 'formal_r')}"
                f" OR {_typo('first_name_l', 'formal_r')} OR {_typo('formal_l', 'first_name_r')})"
            ),
        ),
        (
            "the other's family name",
            (
                "(family_l IS NULL OR family_r IS NULL)"
                " AND coalesce(first_name_l = family_r, first_name_r = family_l)"
            ),
        ),
        ("another name", ""),
    ),
)

_FAMILY: Final = (
    (
        "same family name",
        "(family_l = family_r OR family_l = first_name_r OR family_r = first_name_l)",
    ),
    (
        "part of the family name",
        (
            "(contains(family_l, ' ') OR contains(family_r, ' '))"
            " AND list_has_any(string_split(family_l, ' '), string_split(family_r, ' '))"
        ),
    ),
    ("family name with a typo", _typo("family_l", "family_r")),
    ("another family name", "family_l IS NOT NULL AND family_r IS NOT NULL"),
    ("family name unknown", "true"),
)
_SAME_PLACE: Final = "coalesce(postal_code_l = postal_code_r, city_l = city_r, true)"
_PLACE: Final = (
    ("same street", f"(street_l = street_r AND {_SAME_PLACE})"),
    (
        "street with a typo",
        (
            "(street_l IS NOT NULL AND street_r IS NOT NULL AND"
            " coalesce(postal_code_l = postal_code_r, city_l = city_r, false)"
            " AND levenshtein(street_l, street_r) <= 2)"
        ),
    ),
    (
        "same postal code",
        "(postal_code_l = postal_code_r AND (street_l IS NULL OR street_r IS NULL))",
    ),
    ("another street of the postal code", "postal_code_l = postal_code_r"),
    ("same city", "(city_l = city_r AND (street_l IS NULL OR street_r IS NULL))"),
    (
        "another place",
        "coalesce(postal_code_l <> postal_code_r, city_l <> city_r, city_l = city_r, false)",
    ),
    ("place unknown", "true"),
)
FAMILY_LEVELS: Final = len(_FAMILY)
PLACE_LEVELS: Final = len(_PLACE)
FAMILY: Final = Comparison(
    "family", ("first_name", "family"), "family_l IS NULL OR family_r IS NULL", _FAMILY[:-1]
)
PLACE: Final = Comparison(
    "place",
    ("street", "city", "postal_code"),
    f"NOT coalesce({' OR '.join(holds for _, holds in _PLACE[:-1])}, false)",
    _PLACE[:-1],
)
"""The two of `family_and_place` alone: strangers share neither because of the other."""

_FAMILY_AND_PLACE: Final = Comparison(
    "family_and_place",
    ("first_name", "family", "street", "city", "postal_code"),
    "(family_l IS NULL OR family_r IS NULL) AND (postal_code_l IS NULL OR postal_code_r IS NULL)"
    " AND (city_l IS NULL OR city_r IS NULL) AND (street_l IS NULL OR street_r IS NULL)",
    [
        *[
            (f"{family}, {place}", f"{family_holds} AND {place_holds}")
            for (family, family_holds), (place, place_holds) in product(_FAMILY, _PLACE)
        ][:-2],
        ("family name unknown, another place", ""),
    ],
)
"""Both in one, for they are not independent: who lives together bears one name."""

_EMAIL: Final = Comparison(
    "email",
    ("emails", "lone_emails", "shared_emails", "mailbox", "mailbox_tells"),
    # What somebody makes of a name says no more than the name.
    "mailbox_l IS NULL OR mailbox_r IS NULL OR (mailbox_l = mailbox_r"
    " AND NOT (mailbox_tells_l AND mailbox_tells_r) AND NOT list_has_any(emails_l, emails_r))",
    (
        (
            "same address, which nobody of another name has",
            (
                "list_has_any(emails_l, emails_r) AND NOT list_has_any(lone_emails_l, emails_r)"
                " AND NOT list_has_any(shared_emails_l, emails_r)"
                " AND NOT list_has_any(emails_l, shared_emails_r)"
            ),
        ),
        ("same address, of these two alone", "list_has_any(lone_emails_l, emails_r)"),
        ("same address, of several people", "list_has_any(emails_l, emails_r)"),
        (
            "address with a typo",
            (
                "abs(length(emails_l[1]) - length(emails_r[1])) <= 1"
                " AND levenshtein(emails_l[1], emails_r[1]) <= 2"
            ),
        ),
        ("same mailbox elsewhere", "mailbox_l = mailbox_r"),
        ("another address", ""),
    ),
)
_PHONE: Final = Comparison(
    "phone",
    ("phones", "lone_phones", "shared_phones"),
    "len(phones_l) = 0 OR len(phones_r) = 0",
    (
        (
            "same number, which nobody of another name has",
            (
                "list_has_any(phones_l, phones_r) AND NOT list_has_any(lone_phones_l, phones_r)"
                " AND NOT list_has_any(shared_phones_l, phones_r)"
                " AND NOT list_has_any(phones_l, shared_phones_r)"
            ),
        ),
        ("same number, of these two alone", "list_has_any(lone_phones_l, phones_r)"),
        ("same number, of several people", "list_has_any(phones_l, phones_r)"),
        (
            "number with a typo",
            (
                "length(phones_l[1]) = length(phones_r[1])"
                " AND (hamming(phones_l[1], phones_r[1]) = 1"
                " OR (hamming(phones_l[1], phones_r[1]) = 2"
                " AND jaro_similarity(phones_l[1], phones_r[1]) > 0.95))"
            ),
        ),
        ("another number", ""),
    ),
)
_BIRTH_DATE: Final = Comparison(
    "birth_date",
    ("birth_digits", "birth_date_is_common"),
    "birth_digits_l IS NULL OR birth_digits_r IS NULL",
    (
        ("same birth date", "birth_digits_l = birth_digits_r AND NOT birth_date_is_common_l"),
        ("same birth date, one that many have", "birth_digits_l = birth_digits_r"),
        (
            "day and month turned",
            (
                "left(birth_digits_l, 4) = left(birth_digits_r, 4)"
                " AND right(birth_digits_l, 2) = birth_digits_r[5:6]"
                " AND right(birth_digits_r, 2) = birth_digits_l[5:6]"
            ),
        ),
        (
            "one part of the birth date off",
            (
                "hamming(birth_digits_l, birth_digits_r) = 1"
                " OR right(birth_digits_l, 4) = right(birth_digits_r, 4)"
                " OR left(birth_digits_l, 6) = left(birth_digits_r, 6)"
                " OR (left(birth_digits_l, 4) = left(birth_digits_r, 4)"
                " AND right(birth_digits_l, 2) = right(birth_digits_r, 2))"
            ),
        ),
        ("another birth date", ""),
    ),
)
_GENDER: Final = Comparison(
    "gender",
    ("gender",),
    "gender_l IS NULL OR gender_r IS NULL",
    (("same gender", "gender_l = gender_r"), ("another gender", "")),
)
_STRONG: Final = Comparison(
    "strong_identifier",
    ("strong", "strong_kinds"),
    "NOT coalesce(list_has_any(strong_kinds_l, strong_kinds_r), false)",
    (
        ("same unique identifier", "list_has_any(strong_l, strong_r)"),
        (
            "unique identifier with a typo",
            _typo("strong_l[1]", "strong_r[1]").replace("> 0.9", "> 0.98"),
        ),
        ("another unique identifier", ""),
    ),
)

_NAMES_AGREE: Final = "(first_name_l = first_name_r OR list_has_any(formals_l, formals_r))"


def _rarity(
    name: str, column: str, columns: Sequence[str], holds: str, cuts: Sequence[float]
) -> Comparison:
    """How rare a name is that both bear: levels by log2 of how many bear it by chance."""
    rarest = f"least({column}_l, {column}_r)"
    levels = [(f"borne by up to {2**cut:g} by chance", f"{rarest} <= {cut}") for cut in cuts]
    return Comparison(
        name, (*columns, column), f"NOT coalesce({holds}, false)", [*levels, ("common", "")]
    )


_FULL_NAME_RARITY: Final = _rarity(
    "name_rarity",
    "name_rarity",
    ("first_name", "formals", "family"),
    f"family_l = family_r AND {_NAMES_AGREE}"
    " OR (family_l <> family_r AND first_name_l = family_r AND family_l = first_name_r)",
    (-8, -6.5, -5, -3.5, -2, -0.5, 1, 2.5, 4),
)
_GIVEN_RARITY: Final = _rarity(
    "given_rarity",
    "given_rarity",
    ("first_name", "formals", "family"),
    f"coalesce(family_l <> family_r, true) AND {_NAMES_AGREE}",
    (1, 3, 5, 7, 8.5, 10, 11.5),
)
_FAMILY_RARITY: Final = _rarity(
    "family_rarity",
    "family_rarity",
    ("first_name", "formals", "family"),
    f"family_l = family_r AND NOT coalesce({_NAMES_AGREE}, false)",
    (1, 3, 5, 7, 8.5, 10, 11.5),
)
_SPELLED: Final = Comparison(
    "name_in_address",
    ("first_name", "formal", "mailbox", "emails"),
    "(first_name_l IS NULL) = (first_name_r IS NULL) OR NOT list_has_any(emails_l, emails_r)",
    (
        (
            "the address spells the other's name",
            (
                "contains(CASE WHEN first_name_l IS NULL THEN mailbox_l ELSE mailbox_r END,"
                " coalesce(first_name_l, first_name_r))"
                " AND length(coalesce(first_name_l, first_name_r)) > 2"
            ),
        ),
        ("the address does not spell it", ""),
    ),
)

COMPARISONS: Final[Sequence[Comparison]] = (
    _GIVEN, _FAMILY_AND_PLACE, _EMAIL, _PHONE, _BIRTH_DATE, _GENDER, _STRONG,
    _FULL_NAME_RARITY, _GIVEN_RARITY, _FAMILY_RARITY, _SPELLED,
)  # fmt: skip
"""Everything that is compared, in the order in which it is told."""
