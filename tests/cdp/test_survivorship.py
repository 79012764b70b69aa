"""Survivorship: which claim wins under each rule, in the row and in its provenance alike."""

import random
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import ARRAY, BigInteger, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.attributes import ATTRIBUTES
from cdp.claims import ADDRESS
from cdp.errors import BadInput
from cdp.identity.normalise import name_keys
from cdp.survivorship import attributes_of, claims_of
from cdp.survivorship_rules import (
    DEFAULT,
    OTHERS,
    SUBJECTS,
    Rule,
    Survivorship,
    parse_survivorship,
    survivorship_document,
)
from tests.cdp.builders import a_profile, a_source, days_ago
from tests.cdp.ingesting import customers, take

pytestmark = pytest.mark.anyio

Claim = Mapping[str, Any]
SOURCES = ("shop", "till", "newsletter")
START = datetime(2025, 1, 1, tzinfo=UTC)
ATTRIBUTE = {each.name: each for each in ATTRIBUTES}


def rules(**given: object) -> Survivorship:
    """A document whose subjects are given by keyword, and `sources`."""
    sources = given.pop("sources", [])
    return parse_survivorship({"sources": sources, "rules": given})


async def shown(
    connection: AsyncConnection, claims: Sequence[Claim], survivorship: Survivorship
) -> Mapping[str, Any]:
    """The row of a customer made of these source profiles."""
    customer_id = None
    for claim in claims:
        said = {name: value for name, value in claim.items() if value is not None}
        first = await a_profile(connection, customer_id, **said)
        customer_id = customer_id or first
    return await row_of(connection, customer_id, survivorship)


async def row_of(
    connection: AsyncConnection, customer_id: int | None, survivorship: Survivorship
) -> Mapping[str, Any]:
    wanted = func.unnest(literal([customer_id], ARRAY(BigInteger)))
    folded = attributes_of(wanted.table_valued("id").render_derived(), survivorship)
    return dict((await connection.execute(folded)).mappings().one())


# The rules one by one -------------------------------------------------------------------------


async def test_address_that_was_verified_goes_before_one_that_came_later(
    connection: AsyncConnection,
) -> None:
    claims: list[Claim] = [
        {"email": "ann@example.com", "email_verified": True, "updated_at": days_ago(100)},
        {"email": "typo@example.com", "updated_at": days_ago(1)},
        {"email": "no@example.com", "email_verified": False, "updated_at": days_ago(0)},
    ]
    assert (await shown(connection, claims, DEFAULT))["email"] == "ann@example.com"


async def test_proof_of_the_number_is_no_proof_of_the_address(connection: AsyncConnection) -> None:
    claims: list[Claim] = [
        {"email": "a@example.com", "phone": "+447700900001", "phone_verified": True},
        {"email": "b@example.com", "phone": "+447700900002", "updated_at": days_ago(1)},
    ]
    row = await shown(connection, claims, DEFAULT)
    assert (row["email"], row["phone"]) == ("b@example.com", "+447700900001")


@pytest.mark.parametrize("proof", [{"email_verified": True}, {"loyalty_card": "LC1"}])
async def test_a_person_known_by_proof_or_by_card_is_believed_in_all_else(
    connection: AsyncConnection, proof: Claim
) -> None:
    claims: list[Claim] = [
        {"gender": "female", "updated_at": days_ago(9), **proof},
        {"gender": "male", "updated_at": days_ago(1)},
    ]
    assert (await shown(connection, claims, rules(gender="verified_first")))["gender"] == "female"
    assert (await shown(connection, claims, DEFAULT))["gender"] == "male"


async def test_most_frequent_counts_sources_before_profiles(connection: AsyncConnection) -> None:
    right, wrong = date(1980, 2, 1), date(1980, 1, 2)
    claims: list[Claim] = [
        {"birth_date": right, "source": "shop", "updated_at": days_ago(9)},
        {"birth_date": right, "source": "newsletter", "updated_at": days_ago(8)},
        *({"birth_date": wrong, "source": "till", "updated_at": days_ago(n)} for n in range(4)),
    ]
    row = await shown(connection, claims, rules(birth_date="most_frequent"))
    assert row["birth_date"] == right


@pytest.mark.parametrize("rule", [each.value for each in Rule])
async def test_first_name_and_country_alone_empty_no_surname_and_no_street(
    connection: AsyncConnection, rule: str
) -> None:
    for name in SOURCES:
        await a_source(connection, name)
    claims: list[Claim] = [
        {
            "source": "shop",
            "first_name": "Ann",
            "last_name": "Smith",
            "street": "1 High Street",
            "city": "Leeds",
            "country": "GB",
            "updated_at": days_ago(100),
        },
        {
            "source": "newsletter",
            "first_name": "Annabel-Louise-Francesca",
            "region": "County of Northumberland and Tyneside",
            "country": "GB",
            "email_verified": True,
            "updated_at": days_ago(1),
        },
    ]
    row = await shown(connection, claims, rules(sources=["newsletter"], name=rule, address=rule))
    assert (row["name"], row["last_name"]) == ("Ann Smith", "Smith")
    assert (row["street"], row["city"]) == ("1 High Street", "Leeds")


async def test_most_frequent_takes_the_latest_spelling_of_the_name_that_most_say(
    connection: AsyncConnection,
) -> None:
    claims: list[Claim] = [
        {"first_name": first, "given_key": key, "source": source, "updated_at": days_ago(days)}
        for first, key, source, days in (
            ("ZOE", "zoe", "shop", 30),
            ("Zoë", "zoe", "till", 20),
            ("Zora", "zora", "newsletter", 1),
        )
    ]
    assert (await shown(connection, claims, rules(name="most_frequent")))["name"] == "Zoë"


async def test_source_that_is_named_first_is_believed_and_one_unnamed_last(
    connection: AsyncConnection,
) -> None:
    claims: list[Claim] = [
        {"language": "de", "source": "till", "updated_at": days_ago(9)},
        {"language": "fr", "source": "shop", "updated_at": days_ago(8)},
        {"language": "en", "source": "newsletter", "updated_at": days_ago(1)},
    ]
    by_rank = rules(language="source_priority", sources=["unheard-of", "till", "shop"])
    assert (await shown(connection, claims, by_rank))["language"] == "de"
    assert (await shown(connection, claims[1:], by_rank))["language"] == "fr"
    assert (await shown(connection, claims[2:], by_rank))["language"] == "en"


async def test_longest_takes_a_full_first_name_before_an_initial(
    connection: AsyncConnection,
) -> None:
    claims: list[Claim] = [
        {"first_name": "Annabel", "last_name": "Doe", "updated_at": days_ago(9)},
        {"first_name": "A", "last_name": "Doe", "updated_at": days_ago(1)},
    ]
    row = await shown(connection, claims, rules(name="longest"))
    assert (row["name"], row["first_name"]) == ("Annabel Doe", "Annabel")


@pytest.mark.parametrize("rule", Rule)
async def test_parts_of_an_address_win_together_under_every_rule(
    connection: AsyncConnection, rule: Rule
) -> None:
    claims: list[Claim] = [
        {"street": "1 High Street", "city": "Leeds", "source": "shop", "updated_at": days_ago(9)},
        {"city": "York", "country": "GB", "source": "till", "updated_at": days_ago(1)},
    ]
    row = await shown(connection, claims, rules(address=rule.value, sources=["shop"]))
    found = (row["street"], row["city"], row["country"])
    assert found in {("1 High Street", "Leeds", None), (None, "York", "GB")}


@pytest.mark.parametrize("rule", Rule)
async def test_empty_and_deleted_never_win_under_any_rule(
    connection: AsyncConnection, rule: Rule
) -> None:
    claims: list[Claim] = [
        {"gender": "female", "source": "till", "updated_at": days_ago(9)},
        {"gender": None, "source": "shop", "email_verified": True, "updated_at": days_ago(2)},
        *(
            {
                "gender": "unspecified",
                "source": "shop",
                "deleted_at": days_ago(1),
                "loyalty_card": c,
            }
            for c in ("1", "2")
        ),
    ]
    row = await shown(connection, claims, rules(gender=rule.value, sources=["shop"]))
    assert row["gender"] == "female"


async def test_each_attribute_beyond_the_fixed_ones_is_chosen_by_itself(
    connection: AsyncConnection,
) -> None:
    claims: list[Claim] = [
        {"attributes": {"size": 38, "note": "likes tea"}, "source": "shop"},
        {"attributes": {"size": 38}, "source": "till"},
        {"attributes": {"size": 41, "note": "tea"}, "source": "till", "updated_at": days_ago(1)},
    ]
    latest = await shown(connection, claims, DEFAULT)
    assert latest["attributes"] == {"size": 41, "note": "tea"}
    frequent = await shown(connection, claims, rules(attributes="most_frequent"))
    assert frequent["attributes"]["size"] == 38
    longest = await shown(connection, claims, rules(attributes="longest"))
    assert longest["attributes"]["note"] == "likes tea"


async def test_what_a_record_says_of_proof_reaches_the_customer(
    connection: AsyncConnection,
) -> None:
    proven = {"id": "1", "email": "ann@example.com", "email_verified": "true", "loyalty_card": "A"}
    other = {"id": "2", "email": "other@example.com", "loyalty_card": "A"}
    await take(connection, "customers", [{**proven, "updated_at": days_ago(9).isoformat()}])
    await take(connection, "customers", [{**other, "updated_at": days_ago(1).isoformat()}])
    (row,) = await customers(connection)
    assert (row["email"], row["attributes"]) == ("ann@example.com", {})


# The fold, its provenance and the words of each rule agree ------------------------------------


def _maybe(*values: object) -> st.SearchStrategy[object]:
    return st.sampled_from((None, *values))


YES_NO = st.none() | st.booleans()
CLAIMS = st.lists(
    st.fixed_dictionaries(
        {
            "source": st.sampled_from(SOURCES),
            "email": _maybe("a@example.com", "b@example.com"),
            "phone": _maybe("+447700900001", "+447700900002"),
            "birth_date": _maybe(date(1980, 1, 2), date(1980, 2, 1)),
            "gender": _maybe("f", "F", "female"),
            "language": _maybe("en", "de"),
            "first_name": _maybe("Ann", "ANN", "Annabel", "A"),
            "last_name": _maybe("Doe", "Smith"),
            "full_name": _maybe("Ann Doe"),
            "street": _maybe("1 High Street", "1 high street"),
            "city": _maybe("York", "Leeds"),
            "country": _maybe("GB"),
            "email_verified": YES_NO,
            "phone_verified": YES_NO,
            "loyalty_card": _maybe("LC1"),
            "attributes": _maybe({"size": 38}, {"size": 41, "note": "x"}, {"note": "long note"}),
            "updated_at": _maybe(*(START + timedelta(days=n) for n in range(3))),
            "deleted_at": st.sampled_from((None, None, None, START)),
        }
    ),
    min_size=1,
    max_size=7,
)
RULES = st.fixed_dictionaries(
    {subject: st.sampled_from([each.value for each in Rule]) for subject in SUBJECTS}
).map(lambda drawn: {**drawn, "birth_date": drawn["birth_date"].replace("longest", "latest")})


def _name(claim: Claim) -> str | None:
    parts = [claim["first_name"], claim["last_name"]]
    return claim["full_name"] or " ".join(part for part in parts if part) or None


def _says(claim: Claim, subject: str) -> bool:
    parts = {"name": ("full_name", "first_name", "last_name"), "address": ADDRESS}
    return any(claim.get(part) for part in parts.get(subject, (subject,)))


def _text(claim: Claim, subject: str) -> str:
    if subject == "address":
        return ", ".join(claim[part] for part in ADDRESS if claim.get(part))
    return str(_name(claim) if subject == "name" else claim[subject])


def _same(claim: Claim, subject: str) -> object:
    if subject == "name":
        return claim["given_key"], claim["family_key"]
    return _text(claim, subject).lower()


def _is_whole(claim: Claim, subject: str) -> bool:
    if subject == "name":
        return bool(claim["last_name"]) or " " in (claim["full_name"] or "")
    return subject != "address" or bool(claim["street"] or claim["city"])


def best(claims: Sequence[Claim], subject: str, survivorship: Survivorship) -> Claim | None:
    """The winner, by the words of the rule, in plain Python."""
    live = [one for one in claims if one["deleted_at"] is None and _says(one, subject)]
    sources = Counter(same for same, _ in {(_same(one, subject), one["source"]) for one in live})
    profiles = Counter(_same(one, subject) for one in live)

    def weight(one: Claim) -> tuple[Any, ...]:
        email, phone = one["email_verified"] is True, one["phone_verified"] is True
        proofs = {"email": email, "phone": phone}
        ranks = {name: -place for place, name in enumerate(survivorship.sources)}
        return {
            Rule.LATEST: (),
            Rule.VERIFIED_FIRST: (
                proofs.get(subject, email or phone or one["loyalty_card"] is not None),
            ),
            Rule.MOST_FREQUENT: (sources[_same(one, subject)], profiles[_same(one, subject)]),
            Rule.SOURCE_PRIORITY: (ranks.get(one["source"], -len(ranks)),),
            Rule.LONGEST: (len(_text(one, subject)),),
        }[survivorship.rule_of(subject)]

    oldest = START - timedelta(days=1)
    return max(
        live,
        key=lambda one: (
            _is_whole(one, subject),
            weight(one),
            one["updated_at"] or oldest,
            one["learned_at"],
        ),
        default=None,
    )


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=CLAIMS, chosen=RULES, seed=st.integers(0, 1000))
async def test_row_and_provenance_show_the_winner_of_the_rule_in_whatever_order_claims_came(
    connection: AsyncConnection, drawn: list[dict[str, Any]], chosen: dict[str, str], seed: int
) -> None:
    survivorship = rules(sources=["till", "shop"], **chosen)
    claims = []
    for number, claim in enumerate(drawn):
        keys = name_keys(claim["first_name"], claim["last_name"], claim["full_name"])
        more = {"learned_at": START + timedelta(hours=number), "key": f"p{number}"}
        claims.append({**claim, **more, "given_key": keys[0], "family_key": keys[1]})
    savepoint = await connection.begin_nested()
    for name in SOURCES:
        await a_source(connection, name)
    shuffled = claims.copy()
    random.Random(seed).shuffle(shuffled)
    row = await shown(connection, shuffled, survivorship)
    for attribute in ATTRIBUTES:
        winner = best(claims, attribute.composite, survivorship)
        expected = winner and (
            _name(winner) if attribute.name == "name" else winner.get(attribute.name)
        )
        assert row[attribute.name] == expected, attribute.name
        said = claims_of(literal(row["id"], BigInteger), attribute, survivorship).subquery()
        ranked = (await connection.execute(select(said).order_by(said.c.place))).mappings().all()
        assert [one["place"] for one in ranked] == list(range(1, len(ranked) + 1))
        told = ranked[0]["value"] if ranked else None
        assert told == (expected.isoformat() if isinstance(expected, date) else expected)
    for name in ("size", "note"):
        said = claims_of(literal(row["id"], BigInteger), name, survivorship).subquery()
        first = select(said.c.value).where(said.c.place == 1)
        assert row["attributes"].get(name) == await connection.scalar(first)
    await savepoint.rollback()


# The document ---------------------------------------------------------------------------------


def test_document_is_read_back_as_it_was_written() -> None:
    given = parse_survivorship(
        tomllib.loads("""
            sources = ["till", "web-shop"]
            [rules]
            name = "longest"
            birth_date = "most_frequent"
            address = "source_priority"
        """)
    )
    assert given.rule_of("address") is Rule.SOURCE_PRIORITY
    assert given.sources == ("till", "web-shop")
    assert parse_survivorship(survivorship_document(given)) == given


def test_what_a_document_does_not_name_keeps_its_default() -> None:
    assert parse_survivorship({}) == DEFAULT
    assert DEFAULT.rule_of("email") is DEFAULT.rule_of("phone") is Rule.VERIFIED_FIRST
    assert {DEFAULT.rule_of(each) for each in ("name", "address", OTHERS)} == {Rule.LATEST}


@pytest.mark.parametrize(
    ("data", "path", "message"),
    [
        ([], "", "not a table"),
        ({"rule": {}}, "rule", "There is no 'rule'"),
        ({"rules": []}, "rules", "not a table"),
        ({"rules": {"emial": "latest"}}, "rules.emial", "There is no 'emial'"),
        ({"rules": {"street": "latest"}}, "rules.street", "the parts of address win together"),
        ({"rules": {"email": "newest"}}, "rules.email", "There are: latest, verified_first"),
        ({"rules": {"email": ["latest"]}}, "rules.email", "not a rule"),
        ({"rules": {"name": "source_priority"}}, "rules.name", "sources names none"),
        ({"rules": {"birth_date": "longest"}}, "rules.birth_date", "as long as another"),
        ({"sources": "till"}, "sources", "not a list"),
        ({"sources": ["till", "till"]}, "sources[1]", "a second time"),
        ({"sources": [7]}, "sources[0]", "not the name of a source"),
        ({"sources": ["x" * 64]}, "sources[0]", "not the name of a source"),
        ({"sources": [str(n) for n in range(251)]}, "sources", "250 is the most"),
    ],
)
def test_a_document_that_cannot_be_taken_is_refused_at_its_place(
    data: object, path: str, message: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        parse_survivorship(data)
    assert refusal.value.path == path
    assert message in str(refusal.value)
