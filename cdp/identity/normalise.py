"""Normal forms: of identifiers, to be stored and found by; of names, to be compared by."""

import re
import unicodedata
from collections.abc import Callable
from email.utils import parseaddr
from functools import cache, lru_cache
from typing import Final
from urllib.parse import unquote

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

MAX_IDENTIFIER: Final = 320  # characters; the longest possible email address
MAX_WORD: Final = 500  # characters, kept of a word: PostgreSQL finds by words of up to 2,046 bytes
PHONE_CACHE_ENTRIES: Final = 65_536
NAME_CACHE_ENTRIES: Final = 16_384  # the same names come again and again; some megabytes

_EMAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+\.[^@\s.<>]+")
_BARE_EMAIL = re.compile(r"[a-z0-9_+.-]+@[a-z0-9.-]+\.[a-z0-9-]+")
"""The form that nearly all have, so that the others alone are taken apart."""
_DISPLAYED_EMAIL = re.compile(r"[^<>]*<([^<>]+)>[^<>@]*")
_MAIL_LINK: Final = "mailto:"
_E164 = re.compile(r"\+[1-9][0-9]{7,14}")
_SPACED_PHONE = re.compile(r"\+[0-9][0-9 ().-]{5,40}[0-9]")
_PHONE_MARKS: Final = str.maketrans("", "", " ().-")
"""What people write between the digits of a number."""
_NOT_WORD = re.compile(r"[\W_]+")
_LETTER_CLASSES: Final = frozenset({0, 8, 9, 84, 91, 103, 107, 118, 122, 129, 130, 132})
"""Combining classes (Unicode 16, UnicodeData.txt) of marks that are letters of their scripts.

Classes 10 to 36 are the points of Hebrew, Arabic and Syriac, those from 200 on accents of any
letter, 7 is the nukta, which many leave out.
"""
_SELECTORS = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Choose among the shapes of the letter before them: they are no letters."""
_CARD_NOISE = re.compile(r"[\s\-.]+")

_PLACEHOLDER_WORDS: Final = frozenset(
    """- -1 0 00 000 0000 anonymous blank distinctid distinct_id dummy email empty fake false guest
    id invalid na n/a nan nil no noaddress noemail nomail none noname not_authenticated null object
    placeholder test true undefined unknown unset walkin walk-in xxx""".split()
) | {"[object object]"}
"""Values that many systems write where they know nothing."""

_PLACEHOLDER_EMAIL = re.compile(
    r"(no[._-]?(e?mail|reply|name|address|one)|do[._-]?not[._-]?reply|none|null|unknown"
    r"|anonymous|guest|test|dummy|fake|invalid|placeholder|undefined|x{3,}|a{3,}|0+|walk-?in)\d*@.+"
)
"""Not `nil`, `na` or `aa`, nor letters of which there are two: people are called so."""
_OTHER_CODES: Final = {"UK": "GB", "EL": "GR"}
"""Codes that people write for a country, and that ISO 3166 reserves without giving them."""

_ONE_DIGIT_REPEATED = re.compile(r"(\d)\1{5,}")
_TITLES: Final = frozenset("mr mrs ms miss dr prof sir madam herr frau mme mlle sr sra".split())


def normalise(kind: str, value: str, region: str) -> str | None:
    """The normal form of an identifier; None where the value cannot point at a person.

    `kind` is one of CONTRACT's identifier kinds; `region` (ISO 3166) reads a phone number that
    has no country code.
    """
    family = kind.partition(":")[0]
    normal = _NORMALISERS[family](value, region)
    if normal is None or len(normal) > MAX_IDENTIFIER or is_placeholder(family, normal):
        return None
    return normal


def normalise_email(text: str) -> str | None:
    """The bare address in lower case; None for what is not one address.

    `Mia <mia@example.com>`, `mailto:mia@example.com` and `mia@example.com.` are one address: a
    refusal of one form must reach whoever is known by another.
    """
    normal = text if text.isascii() else _visible(unicodedata.normalize("NFKC", text))
    normal = normal.strip().lower()
    if _BARE_EMAIL.fullmatch(normal):
        return normal
    normal = _bared(normal)
    return normal if _EMAIL.fullmatch(normal) else None


def _visible(text: str) -> str:
    """Without what nobody sees: byte order marks, joiners, spaces of no width."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def _bared(text: str) -> str:
    """What is left of an address without link, display name, comment, quotes and final dots."""
    if text.startswith(_MAIL_LINK):
        text = unquote(text.removeprefix(_MAIL_LINK).partition("?")[0])
    displayed = _DISPLAYED_EMAIL.fullmatch(text)
    if displayed:
        text = displayed[1]
    elif "(" in text and text.count("@") == 1:
        text = parseaddr(text)[1] or text
    text = text.strip(" ,;")
    if text[:1] in ("'", '"') and text.endswith(text[0]):
        text = text[1:-1]
    return text.rstrip(".")


def phone_region_of(country: str, region: str) -> str:
    """Where a number of a record is dialled: in its country if there are numbers, else `region`."""
    code = country.upper()
    code = _OTHER_CODES.get(code, code)
    return code if code in phonenumbers.SUPPORTED_REGIONS else region


@lru_cache(maxsize=PHONE_CACHE_ENTRIES)
def normalise_phone(text: str, region: str) -> str | None:
    """E.164; None for what cannot be dialled. Of the length of a number, not its being assigned."""
    plain = text.translate(_PHONE_MARKS) if _SPACED_PHONE.fullmatch(text) else text
    return plain if _is_e164(plain) else _parse_phone(text, region)


def _is_e164(text: str) -> bool:
    """Whether parsing would give the text back: ten times quicker than parsing it.

    A known country code, a length that the country has, and no national prefix (the 0 of
    +44 0 20 ...) that parsing would take away.
    """
    if _E164.fullmatch(text) is None:
        return False
    for digits in (2, 3, 4):
        plan = _numbering_plan(text[1:digits])
        if plan is not None:
            lengths, prefix = plan
            national = text[digits:]
            return len(national) in lengths and not (prefix and prefix.match(national))
    return False


@cache
def _numbering_plan(code: str) -> tuple[frozenset[int], re.Pattern[str] | None] | None:
    """The lengths of a country's numbers and what its national prefix looks like."""
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(code))
    if regions is None:
        return None
    plan = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), regions[0])
    if plan is None or plan.general_desc is None:
        return None
    prefix = plan.national_prefix_for_parsing
    lengths = frozenset(plan.general_desc.possible_length)
    return lengths, re.compile(prefix) if prefix else None


def _parse_phone(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def is_placeholder(kind: str, normal: str) -> bool:
    """Whether a normal value is one that is written where nothing is known."""
    if normal.casefold() in _PLACEHOLDER_WORDS or not normal.strip("0- "):
        return True
    if kind == "email":
        return _PLACEHOLDER_EMAIL.fullmatch(normal) is not None
    if kind == "phone":
        return _ONE_DIGIT_REPEATED.search(normal[-7:]) is not None or normal.endswith("1234567890")
    return False


def fold(text: str) -> str:
    """The words of a name or a search: lower case, no accents or punctuation, one space between.

    Of a word that is longer than any name the first MAX_WORD characters are kept.
    """
    if text.isascii():
        folded = _NOT_WORD.sub(" ", text.casefold()).strip()
    else:
        folded = " ".join(_letters(text).split())
    if len(folded) <= MAX_WORD:
        return folded
    return " ".join(word[:MAX_WORD] for word in folded.split())


def _letters(text: str) -> str:
    """In lower case, without accents, and with spaces for what is no part of a word.

    The marks of many scripts are letters: without its vowel signs a name of India is another one.
    """
    kept: list[str] = []
    for character in unicodedata.normalize("NFKD", text):
        if character.isalnum():
            kept.append(character)
        elif _is_letter_mark(character):
            if kept and kept[-1] != " ":
                kept.append(character)
        elif not _is_accent(character):
            kept.append(" ")
    return unicodedata.normalize("NFKD", "".join(kept).casefold())


def _is_letter_mark(character: str) -> bool:
    """A mark that its script does not do without: vowel and voice signs, viramas, tone marks."""
    return (
        unicodedata.combining(character) in _LETTER_CLASSES
        and unicodedata.category(character) in ("Mn", "Mc")
        and _SELECTORS.fullmatch(character) is None
    )


def _is_accent(character: str) -> bool:
    """What is written or left out at will: accents, points of vowels, what nobody sees."""
    return (
        unicodedata.combining(character) != 0
        or unicodedata.category(character) == "Cf"
        or _SELECTORS.fullmatch(character) is not None
    )


def name_keys(first: str | None, last: str | None, full: str | None) -> tuple[str, str]:
    """Given names and family name, folded for comparison; empty where unknown.

    A full name alone is parted at its comma (`Doe, Ann`), else before its last word.
    """
    if not first and not last and full:
        before, comma, after = full.partition(",")
        first, last = (after, before) if comma else _before_last_word(full)
    return _given_key(first or ""), _family_key(last or "")


@lru_cache(maxsize=NAME_CACHE_ENTRIES)
def _given_key(text: str) -> str:
    """Given names, folded, without titles."""
    return " ".join(word for word in fold(text).split() if word not in _TITLES)


_family_key: Final = lru_cache(maxsize=NAME_CACHE_ENTRIES)(fold)


def _before_last_word(full: str) -> tuple[str, str]:
    words = [word for word in full.split() if fold(word) not in _TITLES]
    return (" ".join(words[:-1]), words[-1]) if len(words) > 1 else (" ".join(words), "")


def _stripped(value: str, _region: str) -> str | None:
    return value.strip() or None


def _card(value: str, _region: str) -> str | None:
    return _CARD_NOISE.sub("", value).upper() or None


def _handle(value: str, _region: str) -> str | None:
    return value.strip().lstrip("@").lower() or None


_NORMALISERS: Final[dict[str, Callable[[str, str], str | None]]] = {
    "email": lambda value, _region: normalise_email(value),
    "phone": normalise_phone,
    "loyalty_card": _card,
    "handle": _handle,
    "external": _stripped,
    "anonymous_id": _stripped,
}

IDENTIFIER_FAMILIES: Final = tuple(_NORMALISERS)
"""The part of an identifier kind before its colon."""
