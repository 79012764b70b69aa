"""`cdp import` and `cdp deadletter`, as a person types them."""

import gzip
import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cdp.cli.deadletter import deadletter
from cdp.cli.doctor import doctor
from cdp.cli.import_ import import_file
from cdp.database import Database
from cdp.sources import add_source
from cdp.workspace import Workspace
from connectors.generic import file
from connectors.generic.file import FileSource
from connectors.runner import Progress, sync


def run(command: click.Command, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    path.write_text("id,first_name,birth_date\n1,Ann,1980-01-02\n2,Bob,\n3,Cid,yesterday\n")
    return path


def imported(database_url: str, *arguments: str | Path) -> dict[str, object]:
    result = run(import_file, *arguments, "--database-url", database_url, "--json")
    assert result.exit_code == 0, result.output
    summary: dict[str, object] = json.loads(result.output)
    return summary


def test_rows_that_cannot_be_taken_are_told_and_the_rest_is_loaded(
    customers: Path, database_url: str
) -> None:
    result = run(import_file, customers, "--source", "crm", "--database-url", database_url)
    assert result.exit_code == 0
    assert "3 rows read, 3 records" in result.output
    assert "new 2, changed 0, unchanged 0, older 0, deleted 0, refused 1" in result.output
    assert (
        "refused: customers.csv, line 4, column birth_date: 'yesterday' is not a date. "
        in result.output
    )


def test_identical_file_again_writes_nothing(customers: Path, database_url: str) -> None:
    customers.write_text("id,first_name\n1,Ann\n2,Bob\n")
    assert imported(database_url, customers, "--source", "crm")["new"] == 2
    result = run(import_file, customers, "--source", "crm", "--database-url", database_url)
    assert "unchanged 2, older 0, deleted 0, refused 0; nothing written" in result.output


def test_file_in_which_nothing_can_be_taken_fails(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "customers.jsonl"
    path.write_text('{"name": "Ann"}\n')
    result = run(import_file, path, "--source", "crm", "--database-url", database_url)
    assert result.exit_code == 1
    assert "None of the 1 records could be taken" in result.output


def test_many_bad_rows_do_not_keep_the_good_ones_out(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "customers.jsonl"
    path.write_text('{"id": "1"}\n' + "{}\n" * 500 + '{"id": "2"}\n')
    summary = imported(database_url, path, "--source", "crm")
    assert (summary["new"], summary["refused"]) == (2, 500)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--stream", "custmers"], "There is no stream 'custmers'. Name one of|There are"),
        (["--map", "absent.toml"], "The map absent.toml cannot be read"),
    ],
)
def test_mistake_is_told_in_one_sentence_and_configures_nothing(
    customers: Path, database_url: str, options: list[str], sentence: str
) -> None:
    result = run(
        import_file, customers, "--source", "crm", *options, "--database-url", database_url
    )
    assert result.exit_code == 1
    assert sentence.split("|")[0].removesuffix(" Name one of") in result.output
    assert "Traceback" not in result.output


def test_packed_folder_is_loaded_whole(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "customers.csv").write_text("id\n1\n")
    order = '{"id":"o1","customer_id":"1","placed_at":"2024-05-01T09:00:00Z",'
    (tmp_path / "orders-2024.jsonl.gz").write_bytes(
        gzip.compress(f'{order}"currency":"EUR","total":"9.99"}}\n'.encode())
    )
    assert imported(database_url, tmp_path, "--source", "shop")["new"] == 2


def test_text_that_the_database_cannot_hold_is_refused_and_not_a_crash(
    tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "customers.jsonl"
    lines = (
        '{"id": "1", "first_name": "a\\u0000b"}',
        '{"id": "2", "first_name": "\\ud800"}',
        '{"id": "3", "birth_date": "2024-02-30"}',
        '{"id": "4"}',
        "{\\ud800",
    )
    path.write_text("\n".join(lines))
    summary = imported(database_url, path, "--source", "crm")
    assert (summary["new"], summary["refused"]) == (1, 4)


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        ("", {"files that hold no rows": 1}),
        ("id,first_name\n", {"files that hold no rows": 1}),
        ("id\n1\n", {}),
    ],
)
def test_file_that_holds_no_rows_is_told(
    tmp_path: Path, database_url: str, content: str, notes: dict[str, int]
) -> None:
    path = tmp_path / "customers.csv"
    path.write_text(content)
    summary = imported(database_url, path, "--source", "crm")
    assert (summary["status"], summary["notes"]) == ("ok", notes)
    text = run(import_file, path, "--source", "crm", "--database-url", database_url).output
    assert ("  files that hold no rows: 1\n" in text) == bool(notes)


def test_dead_letters_are_listed_shown_and_taken_once_their_map_is_right(
    tmp_path: Path, database_url: str
) -> None:
    path, file_map = tmp_path / "kunden.csv", tmp_path / "map.toml"
    path.write_text("nr,geboren\n1,02.01.1980\n2,1980-01-02\n")
    text = '[[record]]\nstream = "customers"\n[record.columns]\nid = "nr"\n'
    file_map.write_text(text + 'birth_date = { column = "geboren", format = "%d.%m.%Y" }\n')
    imported(database_url, path, "--source", "crm", "--map", file_map)

    database = ("--database-url", database_url)
    listed = run(deadletter, "list", "--source", "crm", *database)
    assert "kunden.csv, line 3, column birth_date: '1980-01-02' does not read" in listed.output
    shown = run(deadletter, "show", "1", "--json", *database)
    assert json.loads(shown.output)["payload"] == {"nr": "2", "geboren": "1980-01-02"}

    again = run(deadletter, "retry", "--json", *database)
    assert json.loads(again.output) == {"taken": 0, "refused": 1, "elsewhere": 0}
    other = tmp_path / "other.toml"
    other.write_text(text + 'country = "geboren"\n')
    run(deadletter, "retry", "1", "--map", str(other), *database)
    told = run(deadletter, "list", *database).output
    assert "line 3, column country: '1980-01-02'" in told
    right = tmp_path / "right.toml"
    right.write_text(text + 'birth_date = "geboren"\n')
    taken = run(deadletter, "retry", "1", "--map", str(right), "--json", *database)
    assert json.loads(taken.output) == {"taken": 1, "refused": 0, "elsewhere": 0}

    assert run(deadletter, "list", *database).output == "No dead letters.\n"
    (letter,) = json.loads(run(deadletter, "list", "--resolved", "--json", *database).output)
    assert letter["attempts"] == 4
    assert letter["resolved_at"] is not None


def test_dismissed_letter_is_told_by_list_resolved_and_show_and_by_the_doctor_no_more(
    tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "order_lines.jsonl"
    path.write_text('{"order_id": 7}\n{"order_id": "7", "line": 1, "quantity": 1, "unit_price": 2}')
    imported(database_url, path, "--source", "crm")
    database = ("--database-url", database_url)
    dismiss = ("dismiss", "1", *database, "--reason")
    assert run(deadletter, *dismiss, " ").exit_code == 1
    assert run(deadletter, *dismiss, "Old till").output == "1 dismissed.\n"
    assert run(deadletter, "list", *database).output == "No dead letters.\n"
    assert ": Old till]" in run(deadletter, "list", "--resolved", *database).output
    shown = json.loads(run(deadletter, "show", "1", "--json", *database).output)
    assert (shown["dismissed_by"][:3], shown["dismissed_reason"]) == ("cli", "Old till")
    assert "ok       dead letters: None." in run(doctor, *database).output


def test_letter_that_is_none_is_told(database_url: str) -> None:
    result = run(deadletter, "show", "7", "--database-url", database_url)
    assert result.exit_code == 1
    assert "There is no dead letter 7" in result.output


@pytest.mark.anyio
async def test_import_that_broke_off_goes_on_after_its_last_page(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "PAGE_RECORDS", 2)
    path = tmp_path / "customers.csv"
    path.write_text("id\n" + "".join(f"{number}\n" for number in range(7)))
    async with database.transaction() as connection:
        row = await add_source(connection, "crm", "file", {"path": str(path)})

    def break_off(step: Progress) -> None:
        if step.records == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        await sync(database, row, FileSource(path), Workspace(), on_progress=break_off)
    report = await sync(database, row, FileSource(path, reads_again=True), Workspace())
    assert (report.records, report.counts["new"]) == ({"customers.csv": 3}, 3)
