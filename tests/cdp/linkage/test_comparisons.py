"""What linkage finds alike: the levels of each comparison, as Splink compares them."""

from datetime import date

from tests.cdp.linkage.people import Person, compared, labels

ANN: Person = {"given": "ann", "family": "doe"}


def _levels(name: str, cases: list[tuple[Person, Person]]) -> list[str | None]:
    people = [person for case in cases for person in case]
    pairs = [(2 * number, 2 * number + 1) for number in range(len(cases))]
    found = labels(compared(people, pairs), name)
    return [found[pair] for pair in pairs]


def _at(email: str, given: str | None = None) -> Person:
    return {"given": given, "emails": [email]}


def _named(given: str | None, family: str | None = None) -> Person:
    return {"given": given, "family": family}


def test_given_names_are_alike_by_short_form_initial_slip_and_turn() -> None:
    cases = [
        (_named("ann mary", "doe"), _named("ann mary", "doe"), "same given names"),
        (_named("ann mary", "doe"), _named("ann", "doe"), "same first name"),
        (_named("elizabeth", "doe"), _named("betty", "doe"), "short form"),
        (_named("doe", "ann"), _named("ann", "doe"), "turned with the family name"),
        (_named("hambury", "nicola"), _named("nicky", "hambury"), "turned with the family name"),
        (_named("r", "doe"), _named("bob", "doe"), "initial"),
        (_named("joanthan", "doe"), _named("jonathan", "doe"), "typo"),
        (_named("thomas"), _named("ann", "thomas"), "the other's family name"),
        (_named("john", "doe"), _named("mary", "doe"), "another name"),
        (_named(None, "doe"), _named("mary", "doe"), None),
    ]
    assert _levels("given_name", [case[:2] for case in cases]) == [case[2] for case in cases]


def test_family_name_and_place_are_compared_in_one() -> None:
    home: Person = {"street": "1 High Street", "city": "Leeds", "postal_code": "LS1 1AA"}
    near: Person = {**home, "street": "1 Hihg street."}
    cases: list[tuple[Person, Person, str | None]] = [
        ({**ANN, **home}, {**ANN, **home}, "same family name, same street"),
        ({**ANN, **home}, {**ANN, **near}, "same family name, street with a typo"),
        (
            {"family": "van dyke", **home},
            {"family": "dyke", **home},
            "part of the family name, same street",
        ),
        (
            {"family": "thornton", **home},
            {"family": "thorton", "city": "York"},
            "family name with a typo, another place",
        ),
        (
            {"family": "doe", **home},
            {"family": "roe smith", **home, "street": "7 Mill Lane"},
            "another family name, another street of the postal code",
        ),
        ({"city": "Leeds"}, {"family": "doe", "city": "Leeds"}, "family name unknown, same city"),
        (ANN, ANN, "same family name, place unknown"),
        ({"given": "ann"}, ANN, None),
    ]
    found = _levels("family_and_place", [case[:2] for case in cases])
    assert found == [case[2] for case in cases]


def test_an_address_that_is_shown_to_be_several_peoples_says_less() -> None:
    def at(name: str | None, email: str) -> Person:
        return {"given": name, "family": "doe", "emails": [email]}

    people = [
        at("john", "doe@example.com"), at("mary", "doe@example.com"), at(None, "doe@example.com"),
        at("john", "j@example.com"), at("mary", "j@example.com"),
        at("bob", "bob@example.com"), at("bob", "bbo@example.com"),
        at("sue", "sunflower@example.com"), at("sue", "sunflower@example.org"),
        at("sue", "sue.doe@example.com"), at("sue", "sue.doe@example.org"),
    ]  # fmt: skip
    people += [
        at("kim", "kim7@example.com"),
        at("kim", "kim7@example.com"),
        at(None, "kim7@example.com"),
    ]
    pairs = [(0, 2), (3, 4), (5, 6), (7, 8), (9, 10), (0, 3), (11, 13)]
    assert list(labels(compared(people, pairs), "email").values()) == [
        "same address, of several people",  # john and mary have it
        "another address",
        "same address, of these two alone",  # their own clash tells nothing of the address
        "address with a typo",
        "same mailbox elsewhere",
        None,  # what is made of the name says no more than the name
        "same address, which nobody of another name has",
    ]


def test_a_nameless_record_is_known_by_the_name_in_its_address() -> None:
    cases: list[tuple[Person, Person]] = [
        (_at("mary.doe@example.com"), _at("mary.doe@example.com", "mary")),
        (_at("info77@example.com"), _at("info77@example.com", "mary")),
        (_at("a@example.com", "ann"), _at("a@example.com", "ann")),
    ]
    assert _levels("name_in_address", cases) == [
        "the address spells the other's name",
        "the address does not spell it",
        None,
    ]


def test_birth_dates_are_alike_turned_or_off_in_one_part() -> None:
    dates = [
        (date(1980, 3, 4), date(1980, 3, 4), "same birth date"),
        (date(1980, 3, 4), date(1980, 4, 3), "day and month turned"),
        (date(1980, 3, 14), date(1980, 3, 24), "one part of the birth date off"),
        (date(1980, 3, 14), date(1981, 3, 14), "one part of the birth date off"),
        (date(1980, 3, 14), date(1975, 9, 30), "another birth date"),
    ]
    cases: list[tuple[Person, Person]] = [
        ({"birth_date": left}, {"birth_date": right}) for left, right, _ in dates
    ]
    assert _levels("birth_date", cases) == [level for *_, level in dates]


def test_a_birth_date_that_many_have_is_a_year_more_often_than_a_day() -> None:
    first = [{"birth_date": date(1970, 1, 1)}] * 40
    others: list[Person] = [{"birth_date": date(1950 + n, 5, 6)} for n in range(40)]
    found = labels(compared([*first, *others], [(0, 1)]), "birth_date")
    assert found == {(0, 1): "same birth date, one that many have"}


def test_unique_identifiers_differ_only_within_a_kind() -> None:
    def with_(*strong: str) -> Person:
        return {"strong": list(strong)}

    card = with_("loyalty_card:12345678")
    cases = [
        (card, with_("loyalty_card:12345678", "external:crm:9"), "same unique identifier"),
        (card, with_("loyalty_card:12345679"), "unique identifier with a typo"),
        (card, with_("loyalty_card:99345670"), "another unique identifier"),
        (card, with_("external:crm:12345678"), None),
    ]
    found = _levels("strong_identifier", [case[:2] for case in cases])
    assert found == [case[2] for case in cases]


def test_a_value_that_many_persons_share_tells_nothing() -> None:
    crowd: list[Person] = [
        {"given": f"name{n:02d}x", "family": "doe", "emails": ["till@example.com"]}
        for n in range(30)
    ]
    assert labels(compared(crowd, [(0, 1)]), "email") == {(0, 1): None}
