"""`cdp segment` as a person meets it: made, kept, asked why, exported; and refreshed by others."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cdp.cli.session import actor
from tests.cdp.commands import Run, command_over, refused_by, said_by, told_by
from tests.server import Server

PEOPLE = """id,first_name,last_name,email,country
s1,Ann,Miller,ann@example.com,DE
s2,Bob,Stone,bob@example.com,GB
s3,Cy,Hill,cy@example.com,GB
"""

ORDERS = """id,customer_id,placed_at,currency,total
o1,s1,2026-05-01T10:00:00Z,EUR,1200
o2,s2,2026-05-02T10:00:00Z,EUR,5.00
"""

BUYERS = '{"purchases": {"netSpend": {"gte": 5.00}}}'


@pytest.fixture(scope="session")
def shop(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with three customers, numbers 1 to 3."""

    def fill(url: str) -> None:
        folder = tmp_path_factory.mktemp("shop")
        for stream, text in (("customers", PEOPLE), ("orders", ORDERS)):
            (folder / f"{stream}.csv").write_text(text)
        assert command_over(url)("import", folder, "--source", "shop").exit_code == 0

    return server.built("segment_shop", fill, template)


@pytest.fixture
def cdp(server: Server, shop: str) -> Iterator[Run]:
    """The command over a copy of it."""
    with server.copy(shop) as url:
        yield command_over(url)


said = partial(said_by, "segment")
told = partial(told_by, "segment")
refused = partial(refused_by, "segment")


def test_import_refreshes_the_segments_that_come_with_the_database(cdp: Run) -> None:
    counts = {one["slug"]: one["members"] for one in said(cdp, "list")}
    assert len(counts) == 10
    assert (counts["big-spenders"], counts["one-time-buyers"], counts["prospects"]) == (1, 2, 1)
    assert "big-spenders" in told(cdp, "list")


def test_segment_is_created_shown_changed_and_deleted(cdp: Run) -> None:
    made = said(cdp, "create", "All buyers", "--filter", BUYERS, "--description", "Whoever bought.")
    assert (made["slug"], made["members"], made["owner"]) == ("all-buyers", 2, actor())
    shown = said(cdp, "show", "all-buyers")
    assert shown["filter"] == {"purchases": {"netSpend": {"gte": "5.00"}}}
    assert shown["due_at"] is None
    assert "members: 2" in told(cdp, "show", "all-buyers")
    filter_ = '{"country": {"eq": "GB"}, "segments": {"in": ["one-time-buyers"]}}'
    changed = said(cdp, "update", "all-buyers", "--filter", filter_, "--name", "British buyers")
    assert (changed["name"], changed["members"]) == ("British buyers", 1)
    assert changed["description"] == "Whoever bought."
    assert "is named by" in refused(cdp, "delete", "one-time-buyers")
    assert told(cdp, "delete", "all-buyers") == "Deleted all-buyers.\n"
    assert "no segment 'all-buyers'" in refused(cdp, "show", "all-buyers")


def test_starter_that_was_deleted_does_not_come_back(cdp: Run, tmp_path: Path) -> None:
    told(cdp, "delete", "big-spenders")
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS.replace("1200", "1300"))
    assert cdp("import", path, "--source", "shop", "--stream", "orders").exit_code == 0
    assert "big-spenders" not in {one["slug"] for one in said(cdp, "list")}


def test_next_import_moves_members(cdp: Run, tmp_path: Path) -> None:
    told(cdp, "create", "Buyers", "--filter", BUYERS)
    path = tmp_path / "more.csv"
    path.write_text(ORDERS.splitlines()[0] + "\no3,s3,2026-05-03T10:00:00Z,EUR,50\n")
    assert cdp("import", path, "--source", "shop", "--stream", "orders").exit_code == 0
    assert said(cdp, "show", "buyers")["members"] == 3


def test_merge_at_the_command_line_moves_members(cdp: Run) -> None:
    told(cdp, "create", "Buyers", "--filter", BUYERS)
    merge = cdp("identity", "merge", "1", "2", "--reason", "One person.")
    assert merge.exit_code == 0, merge.output
    assert said(cdp, "show", "buyers")["members"] == 1


def test_change_of_the_currency_moves_members(cdp: Run) -> None:
    told(cdp, "create", "Buyers", "--filter", BUYERS)
    assert cdp("config", "currency", "USD").exit_code == 0
    assert said(cdp, "show", "buyers")["members"] == 0  # no order has a rate any more


def test_static_list_is_read_from_a_file_or_standard_input(cdp: Run, tmp_path: Path) -> None:
    path = tmp_path / "guests.txt"
    path.write_text("1\n\nBOB@example.com\nnobody@example.com\n")
    made = said(cdp, "create", "Guests", "--members", path)
    assert (made["members"], made["filter"]) == (2, None)
    assert made["unknown"] == ["email:nobody@example.com"]
    changed = said(cdp, "update", "guests", "--add", "-", stdin="external:shop:s3\n")
    assert changed["members"] == 3
    changed = said(cdp, "update", "guests", "--remove", path)
    assert changed["members"] == 1
    assert "nobody is known as email:nobody@example.com" in told(
        cdp, "update", "guests", "--remove", path
    )


def test_preview_counts_and_shows_some(cdp: Run) -> None:
    found = said(cdp, "preview", "--filter", BUYERS)
    assert (found["count"], round(found["percentage"])) == (2, 67)
    assert [one["name"] for one in found["sample"]] == ["Ann Miller", "Bob Stone"]
    assert told(cdp, "preview", "--filter", "{}").startswith("3 of 3 customers (100.0 %)")
    assert "not JSON" in refused(cdp, "preview", "--filter", "{")
    assert "no 'countri'" in refused(cdp, "preview", "--filter", '{"countri": {"eq": "DE"}}')


def test_why_tells_the_clauses(cdp: Run) -> None:
    filter_ = '{"purchases": {"netSpend": {"gte": 1000}}, "or": [{"country": {"eq": "DE"}}]}'
    told(cdp, "create", "Rich Germans", "--filter", filter_)
    ann, bob = told(cdp, "why", "rich-germans", "1"), told(cdp, "why", "rich-germans", "2")
    assert ann.startswith("Customer 1 is in rich-germans since ")
    assert "yes purchases.netSpend.gte 1000 (it is 1200.00)" in ann
    assert bob.startswith("Customer 2 is not in rich-germans.")
    assert "no  purchases.netSpend.gte 1000 (it is 5" in bob
    found = said(cdp, "why", "rich-germans", "2")
    assert [one["holds"] for one in found["verdicts"]] == [False, False, False]
    assert "no customer 99" in refused(cdp, "why", "rich-germans", "99")


def test_overlap_is_a_table_of_pairs(cdp: Run) -> None:
    found = {
        (one["left"], one["right"]): one["count"]
        for one in said(cdp, "overlap", "big-spenders", "one-time-buyers")
    }
    assert found == {
        ("big-spenders", "big-spenders"): 1,
        ("big-spenders", "one-time-buyers"): 1,
        ("one-time-buyers", "big-spenders"): 1,
        ("one-time-buyers", "one-time-buyers"): 2,
    }
    assert len(told(cdp, "overlap").splitlines()) == 11


def test_refresh_evaluates_every_segment(cdp: Run) -> None:
    assert told(cdp, "refresh") == "10 segments evaluated; 0 entered, 0 left.\n"


def test_mistakes_are_told_in_a_sentence(cdp: Run) -> None:
    mistakes = [
        (["create", "X"], "a filter or a list"),
        (["create", "X", "--filter", "{}", "--members", "-"], "a filter or a list"),
        (["create", "X", "--filter", '{"segments": {"in": ["none"]}}'], "no segment 'none'"),
        (["create", "Lost", "--filter", "{}"], "a segment 'lost' already"),
        (["show", "none"], "no segment 'none'"),
        (["overlap", "none"], "no segment 'none'"),
    ]
    for arguments, sentence in mistakes:
        assert sentence in refused(cdp, *arguments), arguments


def test_members_are_exported_as_customers_are(cdp: Run) -> None:
    everybody = cdp("export", "customers").stdout.splitlines()
    buyers = cdp("export", "segment:one-time-buyers").stdout.splitlines()
    assert buyers == everybody[:3]
    some = cdp("export", "segment:one-time-buyers", "--filter", '{"country": {"eq": "GB"}}')
    assert some.stdout.splitlines() == [everybody[0], everybody[2]]
    unknown = cdp("export", "segment:none")
    assert unknown.exit_code == 1
    assert "no segment 'none'" in unknown.stderr


@pytest.mark.parametrize("bad", ["fax:1", "123456789012345678901", "\udcff"])
def test_line_of_members_that_cannot_be_read_is_told_by_its_number(
    cdp: Run, tmp_path: Path, bad: str
) -> None:
    path = tmp_path / "members.txt"
    path.write_bytes(f"ann@example.com\n\n{bad}\n".encode(errors="surrogateescape"))
    assert f"{path}, line 3: " in refused(cdp, "create", "Guests", "--members", path)
    assert cdp("segment", "create", "Guests", "--members", "-", stdin="1\n").exit_code == 0
    for option in ("--add", "--remove"):
        assert f"{path}, line 3: " in refused(cdp, "update", "guests", option, path)


@pytest.mark.parametrize(
    "command", [("segment", "preview"), ("export", "customers"), ("retention",)], ids=" ".join
)
def test_filter_that_names_no_segment_leaves_out_nobody_in_silence(
    cdp: Run, command: tuple[str, ...]
) -> None:
    result = cdp(*command, "--filter", '{"segments": {"notIn": ["nope"]}}')
    assert result.exit_code == 1
    assert "There is no segment 'nope'. Read the list of segments." in result.output
