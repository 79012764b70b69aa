"""The sample business is repeatable, harmless, and as untidy as it was asked to be."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import phonenumbers
import pytest

from connectors.sandbox.business import desk, network, newsletter, shop, tills
from connectors.sandbox.business.business import Business, open_business, write_files
from connectors.sandbox.business.contact_points import FICTIONAL_PHONES, PhoneBook
from connectors.sandbox.business.hearing import PLACEHOLDER_EMAIL, PLACEHOLDER_PHONE
from connectors.sandbox.business.population import populate
from connectors.sandbox.business.story import DAYS, Habit, tell_story
from connectors.sandbox.business.truth import Truth
from connectors.sandbox.state import Item

UNTIL = datetime(2026, 6, 15, 13, 30, tzinfo=UTC)
EMAIL = re.compile(r"[\w.+-]+@[\w.-]+")
INTERNATIONAL = re.compile(r"\+\d{8,15}")


def told(seed: int = 7, customers: int = 150, until: datetime = UNTIL) -> list[tuple[str, Item]]:
    """Everything that the vendors know, with the files as items of their own."""
    story, truth = tell_story(seed, customers, until), Truth()
    teller = (shop.tell_shop, tills.tell_tills, newsletter.tell_newsletter, network.tell_network)
    items = [item for tell in teller for item in tell(story, truth)]
    files = desk.tell_desk(story, truth)
    return items + [(name, {"lines": content.decode()}) for name, content in files.items()]


def as_text(items: list[tuple[str, Item]]) -> str:
    return json.dumps(items, ensure_ascii=False)


def customers_of_tills(business: Business) -> Iterator[Item]:
    for kind, item in tills.tell_tills(business.story, Truth()):
        if kind == "customers":
            yield item


def test_same_seed_and_day_give_the_same_bytes() -> None:
    assert as_text(told()) == as_text(told(until=UNTIL.replace(hour=3)))
    assert as_text(told()) != as_text(told(seed=8))


def test_a_later_day_of_the_quarter_only_adds() -> None:
    def events(until: datetime) -> set[str]:
        return {
            json.dumps(item)
            for kind, item in told(until=until)
            if kind in ("events", "loyalty_events", "likes", "follows", "posts")
        }

    before, after = events(UNTIL - timedelta(days=20)), events(UNTIL)
    assert before < after


def test_people_do_not_depend_on_the_day() -> None:
    early = tell_story(7, 100, UNTIL).population
    late = tell_story(7, 100, UNTIL + timedelta(days=400)).population
    assert early == late


def test_nothing_happens_after_the_day() -> None:
    limit = UNTIL.replace(hour=0, minute=0).isoformat()[:19]
    moments = re.findall(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d", as_text(told()))
    assert len(moments) > 1000
    assert max(moments) < limit


def test_every_address_is_of_a_reserved_domain() -> None:
    addresses = EMAIL.findall(as_text(told()))
    assert len(addresses) > 300
    domains = {address.rpartition("@")[2].rstrip(".") for address in addresses}
    assert all(re.search(r"(^|\.)example\.(com|org|net)$", domain) for domain in domains)


def test_every_phone_is_fictional() -> None:
    prefixes = tuple(prefix for ranges in FICTIONAL_PHONES.values() for prefix, _ in ranges)
    text = as_text(told(customers=400)).replace("+00:00", "Z")
    numbers = INTERNATIONAL.findall(text)
    assert len(numbers) > 200
    assert all(number.startswith(prefixes) for number in numbers)


def test_every_phone_can_be_read() -> None:
    for country in FICTIONAL_PHONES:
        book = PhoneBook(1)
        for _ in range(50):
            issued = book.issue(country)
            assert issued is not None
            number = phonenumbers.parse(issued)
            assert phonenumbers.is_possible_number(number)


def test_a_phone_book_issues_each_number_once() -> None:
    book = PhoneBook(3)
    total = sum(10**digits for _, digits in FICTIONAL_PHONES["US"])
    issued = {book.issue("US") for _ in range(total)}
    assert len(issued) == total
    assert book.issue("US") is None


@pytest.mark.parametrize("source", ["web-shop", "tills", "newsletter", "social", "support-desk"])
def test_truth_covers_every_customer_that_a_source_tells(business: Business, source: str) -> None:
    known = {
        key for of, stream, key in business.truth.people if (of, stream) == (source, "customers")
    }
    assert known
    assert known == keys_told(business, source)


def keys_told(business: Business, source: str) -> set[str]:
    """The keys of the customers stream, as the connectors make them."""
    story, truth = business.story, Truth()
    match source:
        case "web-shop":
            shoppers = [i for k, i in shop.tell_shop(story, truth) if k == "customers"]
            return {str(item["id"]).rpartition("/")[2] for item in shoppers}
        case "newsletter":
            letters = newsletter.tell_newsletter(story, truth)
            return {str(i["id"]) for k, i in letters if k == "profiles"}
        case "social":
            return {str(i["did"]) for k, i in network.tell_network(story, truth) if k == "profiles"}
        case "support-desk":
            return {str(i["id"]) for i in desk.tell_members(story, truth)}
        case _:
            items = list(tills.tell_tills(story, truth))
            accounts = {f"loyalty:{i['id']}" for k, i in items if k == "loyalty_accounts"}
            return accounts | {str(i["id"]) for k, i in items if k == "customers"}


def test_guests_and_writers_are_contacts_with_a_truth(business: Business) -> None:
    contacts = Counter(key[0] for key in business.truth.people if key[1] == "contact")
    assert contacts["web-shop"] > 50
    assert contacts["support-desk"] > 100


def test_people_live_in_households(business: Business) -> None:
    sizes = Counter(person.household.number for person in business.story.population.people)
    share = sum(size for size in sizes.values() if size > 1) / sizes.total()
    assert 0.45 < share < 0.7


def test_all_kinds_of_confusion_occur() -> None:
    people = populate(7, 4000, DAYS).people
    homes = {person.household.number: person.household for person in people}
    assert sum(len(home.homes) > 1 for home in homes.values()) > 100  # moves
    assert sum(home.email is not None for home in homes.values()) > 50
    assert sum(home.phone is not None for home in homes.values()) > 100
    assert sum(person.family_before is not None for person in people) > 20
    assert sum(len(person.emails) > 1 for person in people) > 1000
    recycled = Counter(person.phone for person in people if person.phone)
    assert sum(count == 2 for count in recycled.values()) > 15
    assert set(recycled.values()) == {1, 2}
    born = Counter((person.household.number, person.birth_date) for person in people)
    assert sum(count == 2 for count in born.values()) > 5  # twins
    names = Counter((person.household.number, person.given) for person in people)
    assert sum(count == 2 for count in names.values()) > 5  # namesakes


def test_nobody_shares_an_address_of_their_own() -> None:
    people = populate(7, 4000, DAYS).people
    addresses = Counter(address for person in people for address in person.emails)
    assert set(addresses.values()) == {1}


def test_tills_know_tablets_placeholders_and_duplicates(business: Business) -> None:
    items = list(customers_of_tills(business))
    emails = Counter(str(item.get("email_address", "")).lower() for item in items)
    tablets = sum(count for email, count in emails.items() if email.startswith("tablet."))
    assert tablets > len(items) * 0.07
    assert emails[PLACEHOLDER_EMAIL] > 5
    assert sum(item.get("phone_number") == PLACEHOLDER_PHONE for item in items) > 3
    people = Counter(
        business.truth.of(key) for key in business.truth.people if key[:2] == ("tills", "customers")
    )
    assert sum(count > 1 for count in people.values()) > 20


def test_every_habit_occurs_and_refunds_and_cancelled_orders(business: Business) -> None:
    lives = business.story.lives
    assert {life.habit for life in lives} == set(Habit)
    purchases = [purchase for life in lives for purchase in life.purchases]
    assert sum(purchase.refund_second is not None for purchase in purchases) > 50
    assert sum(purchase.cancelled_second is not None for purchase in purchases) > 10
    assert sum(purchase.is_unnamed for purchase in purchases) > 100
    assert all(purchase.total_minor > 0 for purchase in purchases)
    assert all(purchase.refund_minor <= purchase.total_minor for purchase in purchases)


def test_files_that_hold_the_same_are_left_alone(tmp_path: Path, business: Business) -> None:
    write_files(business, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_files(business, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert set(before) == {"customers.jsonl", "tickets.jsonl", "feedback.jsonl"}


def test_the_smallest_business_can_be_opened() -> None:
    assert len(open_business(1, 1, UNTIL).story.population.people) == 1
