"""`cdp identity` as a person meets it: explain, the queue, decisions with their preview, rules."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cdp.cli.session import actor
from tests.cdp.commands import Run, command_over, refused_by, said_by, told_by
from tests.schema.ids import gid
from tests.server import Server

PEOPLE = """id,first_name,last_name,email,phone
s1,Ann,Miller,ann@example.com,
s2,Bob,Stone,bob@example.com,
s3,Ann,Miller,ann@example.com,
s4,Cy,Hill,,+44 7700 900001
s5,Dee,Park,,+44 7700 900001
"""
"""Ann (1 and 3) is one by her address; 4 and 5 share a phone, but their names clash."""

ORDERS = """id,customer_id,placed_at,currency,total
o1,s1,2026-05-01T10:00:00Z,EUR,10.50
o2,s2,2026-05-02T10:00:00Z,EUR,5.00
"""


@pytest.fixture(scope="session")
def shop(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with five records of four people, numbers 1 to 5."""

    def fill(url: str) -> None:
        run, folder = command_over(url), tmp_path_factory.mktemp("shop")
        for stream, text in (("customers", PEOPLE), ("orders", ORDERS)):
            path = folder / f"{stream}.csv"
            path.write_text(text)
            assert run("import", path, "--source", "shop", "--stream", stream).exit_code == 0

    return server.built("identity_shop", fill, template)


@pytest.fixture
def cdp(server: Server, shop: str) -> Iterator[Run]:
    """The command over a copy of it."""
    with server.copy(shop) as url:
        yield command_over(url)


said = partial(said_by, "identity")
told = partial(told_by, "identity")
refused = partial(refused_by, "identity")


def profiles_of(cdp: Run, whom: str) -> list[int]:
    return [one["id"] for one in said(cdp, "explain", whom)["sourceProfiles"]]


@pytest.mark.parametrize(
    "whom", ["1", "3", gid("Customer", 1), "email: Ann@Example.com ", "external:shop:s3"]
)
def test_explain_tells_why_they_are_one_however_they_are_named(cdp: Run, whom: str) -> None:
    found = said(cdp, "explain", whom)
    assert (found["id"], found["name"]) == (1, "Ann Miller")
    assert [one["key"] for one in found["sourceProfiles"]] == ["s1", "s3"]
    (event,) = found["mergeHistory"]
    assert (event["customerId"], event["fromCustomerId"]) == (1, 3)
    (evidence,) = event["evidence"]
    assert (evidence["kind"], evidence["value"]) == ("email", "ann@example.com")
    assert [one["id"] for one in evidence["sourceProfiles"]] == [1, 3]


def test_explain_reads_as_text(cdp: Run) -> None:
    assert cdp("identity", "merge", "1", "2", "--reason", "Bob is her pen name.").exit_code == 0
    text = told(cdp, "explain", "email:bob@example.com").splitlines()
    assert text[0] == "Customer 1 (Ann Miller)"
    assert "  2  shop customers s2: Bob Stone, bob@example.com" in text
    assert "  email ann@example.com: 1, 3" in text
    assert "  decision 1: 1, 2, 3" in text
    (decided,) = [line for line in text if line.startswith("  1  same: 1, 3 | 2, ")]
    assert decided.endswith(f"by {actor()}: Bob is her pen name.")
    headings = [line for line in text if not line.startswith(" ")][1:]
    assert headings == ["Source profiles:", "Joined by:", "Decisions:", "History:"]


def test_explain_shows_what_is_open_and_what_was_taken_back(cdp: Run) -> None:
    text = told(cdp, "explain", "4")
    assert "Open questions:" in text
    assert "customer 4 (Cy Hill) or customer 5 (Dee Park)? phone +447700900001." in text
    event = said(cdp, "merge", "4", "5", "--reason", "Married.")["changes"][0]["event_id"]
    assert said(cdp, "undo", str(event))["decision_id"] == 1
    text = told(cdp, "explain", "4")
    assert "[undone]" in text
    assert f"[taken back by {actor()}]" in text


def test_merge_split_and_undo_tell_what_they_did(cdp: Run) -> None:
    merged = said(cdp, "merge", gid("Customer", 2), "1", "--reason", "One.")
    (change,) = merged["changes"]
    assert (change["kind"], change["customer_id"], change["profile_ids"]) == ("merged", 1, [2])
    spend = {"customer_id": 1, "name": "purchases.netSpend", "before": "10.50", "after": "15.50"}
    assert spend in merged["traits"]
    assert profiles_of(cdp, "2") == [1, 2, 3]
    parted = said(cdp, "split", "1", gid("SourceProfile", 3), "--reason", "Two.")
    assert parted["customer_ids"] == [1, 3]
    assert profiles_of(cdp, "1") == [1, 2]
    joined = told(cdp, "explain", "1")
    assert "decision 1: 1, 2\n" in joined
    assert "email ann@example.com: 1" not in joined
    assert "Joined by:" not in told(cdp, "explain", "3")
    text = told(cdp, "undo", str(parted["changes"][0]["event_id"]))
    assert "Customer 3 joins customer 1: source profiles 3." in text
    assert "Take it back: cdp identity undo" in text
    assert profiles_of(cdp, "1") == [1, 2, 3]


def test_dry_run_tells_the_same_and_changes_nothing(cdp: Run) -> None:
    given = ("merge", "1", "2", "--reason", "One.")
    tried = said(cdp, *given, "--dry-run")
    assert tried["dry_run"] is True
    assert tried["decision_id"] is None
    assert tried["changes"][0]["event_id"] is None
    text = told(cdp, *given, "--dry-run")
    assert "purchases.netSpend of 1: 10.50 -> 15.50" in text
    assert text.endswith("Nothing was changed: this was a dry run.\n")
    assert profiles_of(cdp, "1") == [1, 3]
    assert said(cdp, *given)["traits"] == tried["traits"]


@pytest.mark.parametrize(("answer", "profiles"), [("--same", [4, 5]), ("--not-same", [4])])
def test_queue_is_shown_and_answered(cdp: Run, answer: str, profiles: list[int]) -> None:
    page = said(cdp, "reviews")
    (review,) = page["nodes"]
    assert (review["kind"], review["value"]) == ("phone", "+447700900001")
    assert page["pageInfo"]["hasNextPage"] is False
    text = told(cdp, "reviews", "--first", "1")
    assert "customer 5 (Dee Park)" in text
    assert "The last names differ." in text
    assert said(cdp, "decide", str(review["id"]), answer, "--dry-run")["dry_run"] is True
    assert told(cdp, "decide", gid("MatchReview", review["id"]), answer)
    assert profiles_of(cdp, "4") == profiles
    assert told(cdp, "reviews") == "Nothing waits for a decision.\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "999"), "There is no customer 999."),
        (("explain", "email:nobody@example.com"), "There is no customer"),
        (("explain", "shoe:38"), "There is no kind of identifier 'shoe'."),
        (("explain", "nonsense"), "is not an id."),
        (("explain", "email:"), "is no identifier."),
        (("merge", "1", "--reason", "x"), "They are one customer already."),
        (("merge", "1", "2", "--reason", " "), "A reason has 1 to 500 characters."),
        (("merge", "1", "x", "--reason", "x"), "is not an id."),
        (("merge", "1", "1" * 30, "--reason", "x"), "names no row."),
        (("split", "1", "2", "--reason", "x"), "Source profile 2 is not of customer 1."),
        (("undo", "999"), "There is no entry 999 in the ledger."),
        (("undo", gid("Customer", 1)), "is the id of another type."),
        (("decide", "999", "--same"), "There is no open review 999."),
        (("reviews", "--after", "nonsense"), "is not a cursor."),
    ],
)
def test_mistake_is_one_sentence(cdp: Run, arguments: tuple[str, ...], says: str) -> None:
    assert says in refused(cdp, *arguments)


@pytest.mark.parametrize("missing", [("merge", "1", "2"), ("split", "1", "3"), ("decide", "1")])
def test_what_must_be_said_is_asked_for(cdp: Run, missing: tuple[str, ...]) -> None:
    result = cdp("identity", *missing)
    assert result.exit_code == 2
    assert "Missing option" in result.stderr


def test_rules_are_shown_tried_and_applied_as_they_were_tried(cdp: Run, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(told(cdp, "rules", "show"))
    same = said(cdp, "rules", "try", str(path))
    assert (same["joined"], same["parted"]) == (0, 0)
    path.write_text(path.read_text() + '\n[kinds.email]\nstrength = "common"\n')
    assert "not TOML" in refused(cdp, "rules", "try", path)
    path.write_text("[kinds.email]\nstrength = 'common'\nmost_per_customer = 8\nmost_persons = 1\n"
                    "blocked = ['ann@.*']\n")  # fmt: skip
    tried = said(cdp, "rules", "try", str(path))
    assert (tried["customers_before"], tried["customers_after"]) == (4, 5)
    (move,) = tried["moves"]
    assert (move["kind"], move["profile_ids"]) == ("split", [3])
    assert tried["names"]["3"] == "Ann Miller"
    assert "3 Ann Miller parts from 1 Ann Miller: nothing" in told(cdp, "rules", "try", path)
    assert profiles_of(cdp, "1") == [1, 3]
    other = refused(cdp, "rules", "apply", path, "--token", "0" * 16)
    assert other.startswith("The rules would not change just what was shown")
    applied = said(cdp, "rules", "apply", str(path), "--token", tried["token"])
    assert applied["moves"] == tried["moves"]
    assert profiles_of(cdp, "1") == [1]
    assert told(cdp, "rules", "show").startswith("# Version 2, no linkage model.\n")
    (event, _) = said(cdp, "explain", "1")["mergeHistory"]
    assert (event["kind"], event["reason"]) == ("SPLIT", "The rules of rules.toml.")


def test_a_value_that_joins_nobody_is_told_with_whoever_bears_it(cdp: Run, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("most_holders = 1")
    told(cdp, "rules", "apply", path)
    queue = told(cdp, "reviews")
    assert "customer 1 (Ann Miller) and others\n      1  shop" in queue
    assert "nobody\n" not in queue


def test_file_that_holds_no_rules_is_one_sentence(cdp: Run, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_bytes(b"\xff\xfe")
    assert refused(cdp, "rules", "try", path).endswith("is not text in UTF-8.")
    path.write_text("a = " + "[" * 20_000)
    assert "nested too deep" in refused(cdp, "rules", "try", path)
    path.write_text("shoes = 1")
    assert "The rules cannot be taken" in refused(cdp, "rules", "apply", path)
