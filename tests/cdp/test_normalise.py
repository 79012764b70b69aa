"""Normal forms of identifiers and names."""

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from cdp.identity.normalise import (
    _is_e164,
    _parse_phone,
    fold,
    name_keys,
    normalise,
    normalise_phone,
)


@pytest.mark.parametrize(
    ("kind", "value", "normal"),
    [
        ("email", " Ann@Example.COM ", "ann@example.com"),
        ("email", "ann@example", None),
        ("email", "two words@example.com", None),
        ("email", "Mia <mia@example.com>", "mia@example.com"),
        ("email", '"Jones, Mia" <Mia@Example.com>', "mia@example.com"),
        ("email", "mia@example.com <mia@example.com>", "mia@example.com"),
        ("email", "mia@example.com (Mia)", "mia@example.com"),
        ("email", "mailto:mia%2Bnews@example.com?subject=Stop", "mia+news@example.com"),
        ("email", "mia@example.com.", "mia@example.com"),
        ("email", "'mia@example.com';", "mia@example.com"),
        ("email", "\u200bmia@example.com\ufeff", "mia@example.com"),
        ("email", "Mia <mia@example.com>, Bo <bo@example.com>", None),
        ("email", "shop:mia@example.com", "shop:mia@example.com"),
        ("phone", "020 7946 0123", "+442079460123"),
        ("phone", "+1 (201) 555-0123", "+12015550123"),
        ("phone", "12", None),
        ("loyalty_card", "ab 12-34", "AB1234"),
        ("handle:bluesky", "@Ann.Example.com", "ann.example.com"),
        ("external:shop", " 42 ", "42"),
    ],
)
def test_one_value_is_spelled_once(kind: str, value: str, normal: str | None) -> None:
    assert normalise(kind, value, "GB") == normal


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "noemail@example.com"),
        ("email", "No-Reply@example.com"),
        ("email", "test@example.com"),
        ("phone", "000-000-0000"),
        ("phone", "+1 555 555 5555"),
        ("external:shop", "0"),
        ("external:shop", "undefined"),
        ("loyalty_card", "N/A"),
        ("anonymous_id", "[object Object]"),
    ],
)
def test_what_is_written_where_nothing_is_known_points_at_nobody(kind: str, value: str) -> None:
    assert normalise(kind, value, "US") is None


@given(st.from_regex(r"\+[1-9][0-9]{5,14}", fullmatch=True))
def test_a_number_taken_for_normal_is_what_parsing_would_give(text: str) -> None:
    if _is_e164(text):
        assert _parse_phone(text, "GB") == text
    assert normalise_phone(text, "GB") == _parse_phone(text, "GB")


@st.composite
def numbers_as_people_write_them(draw: st.DrawFn) -> str:
    """A number of some country, now and then with a digit too many or too few, in any spacing."""
    region = draw(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
    example = phonenumbers.example_number(region)
    digits = phonenumbers.format_number(example, PhoneNumberFormat.E164)[1:] if example else "1"
    digits = draw(st.sampled_from([digits, digits, f"{digits[:2]}0{digits[2:]}", digits[:-1]]))
    marks = draw(
        st.lists(
            st.sampled_from(["", "", "", " ", "-", ".", " (", ") ", "  "]),
            min_size=len(digits),
            max_size=len(digits),
        )
    )
    return "+" + "".join(digit + mark for digit, mark in zip(digits, marks, strict=True))


@given(numbers_as_people_write_them())
@settings(max_examples=500)
def test_a_spaced_number_is_what_parsing_would_give(text: str) -> None:
    assert normalise_phone(text, "GB") == _parse_phone(text, "GB")


@pytest.mark.parametrize(
    ("first", "last", "full", "keys"),
    [
        ("Dr. Zoë", "Müller-Lüdenscheidt", None, ("zoe", "muller ludenscheidt")),
        (None, None, "Doe, Ann", ("ann", "doe")),
        (None, None, "Mrs Ann Mary Doe", ("ann mary", "doe")),
        (None, None, "Ann", ("ann", "")),
        (None, None, None, ("", "")),
    ],
)
def test_names_are_folded_for_comparison(
    first: str | None, last: str | None, full: str | None, keys: tuple[str, str]
) -> None:
    assert name_keys(first, last, full) == keys


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("मीना", "मोहन"),
        ("कर्म", "करम"),
        ("ปิติ", "ปีติ"),
        ("กุล", "กูล"),
        ("がい", "かい"),
    ],
)
def test_names_that_differ_by_a_letter_that_is_a_mark_stay_apart(name: str, other: str) -> None:
    assert fold(name) != fold(other)
    assert " " not in fold(name) + fold(other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("مُحَمَّد", "محمد"),
        ("דָּוִד", "דוד"),
        ("फ़रहान", "फरहान"),
        ("क्\u200dष", "क्ष"),
        ("José\u2764\ufe0f", "jose"),
        ("辻\U000e0100", "辻"),
        ("Łukasz-Jan_Žák", "łukasz jan zak"),
    ],
)
def test_names_that_differ_by_what_is_left_out_at_will_are_one(name: str, other: str) -> None:
    assert fold(name) == fold(other)


_MARKED = st.text(st.characters(categories=("Mn", "Mc", "Cf", "Lo", "Zs")) | st.sampled_from("aA-"))


@given(st.text() | _MARKED)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)
