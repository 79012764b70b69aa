"""`cdp source`, `cdp sync` and `cdp connector` as a person meets them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from click.testing import CliRunner, Result
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from cdp.__main__ import main
from cdp.database import open_database
from cdp.pushed import push
from cdp.workspace import Workspace
from connectors.conformance.bench import FAST, KEY, WRONG_KEY
from connectors.conformance.cases import CASES
from connectors.sandbox.business.logins import LOGINS, TOKEN
from connectors.sandbox.server import serving
from connectors.sandbox.shopify import ShopifySandbox


@pytest.fixture
def shop() -> Iterator[str]:
    """A shop with three customers, served beside the command."""
    with _served(_shop_of("Ann", "Ann", "Ann")) as url:
        yield url


def _shop_of(*names: str, year: int = 2026) -> ShopifySandbox:
    """A shop with customers of these names, who were last changed early in that year."""
    sandbox = ShopifySandbox(access_token=KEY, faults=FAST)
    for number, name in enumerate(names):
        sandbox.put(
            "customers",
            {
                "id": f"gid://shopify/Customer/{number}",
                "firstName": name,
                "createdAt": f"{year}-01-05T10:00:00Z",
                "updatedAt": f"{year}-01-05T10:00:00Z",
            },
        )
    return sandbox


class Served(Protocol):
    """Whatever has an app."""

    @property
    def app(self) -> ASGIApp:
        """What is served."""
        ...


@contextmanager
def _served(sandbox: Served) -> Iterator[str]:
    """The commands run a loop of their own, so the server has one in another thread."""
    ready, done, urls = threading.Event(), threading.Event(), list[str]()

    async def serve() -> None:
        async with serving(sandbox.app) as url:
            urls.append(url)
            ready.set()
            while not done.is_set():  # noqa: ASYNC110 (set from another thread)
                await asyncio.sleep(0.01)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(20)
    try:
        yield urls[0]
    finally:
        done.set()
        thread.join()


def cdp(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--database-url", database_url, "--json"])


def cdp_in_words(database_url: str, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--database-url", database_url])


def add(database_url: str, shop: str, key: str = KEY) -> Result:
    settings = ["--set=shop=sandbox", f"--set=access_token={key}", f"--set=url={shop}"]
    return cdp(database_url, "source", "add", "shop", "--connector", "shopify", *settings)


def test_source_is_added_checked_synced_listed_and_removed(database_url: str, shop: str) -> None:
    added = add(database_url, shop)
    assert added.exit_code == 0
    assert KEY not in added.output
    checked = json.loads(cdp(database_url, "source", "check", "shop").stdout)
    assert checked["answer"] == "Shopify answers: Sandbox shop (sandbox.example.com)."
    synced = json.loads(cdp(database_url, "sync", "shop").stdout)
    assert (synced["status"], synced["counts"]["new"]) == ("ok", 3)
    again = json.loads(cdp(database_url, "sync").stdout)
    assert (again["counts"]["new"], again["counts"]["unchanged"]) == (0, 3)
    (listed,) = json.loads(cdp(database_url, "source", "list").stdout)
    assert (listed["source"], listed["state"]) == ("shop", "ok")
    assert cdp(database_url, "source", "remove", "shop").exit_code == 0
    assert json.loads(cdp(database_url, "source", "list").stdout) == []


def test_wrong_key_fails_naming_source_and_answer_but_not_the_key(
    database_url: str, shop: str
) -> None:
    add(database_url, shop, WRONG_KEY)
    synced = cdp(database_url, "sync")
    assert synced.exit_code == 1
    error = json.loads(synced.stdout)["error"]
    assert error.startswith("shop (shopify): Shopify answered 401")
    assert WRONG_KEY not in synced.output
    checked = cdp(database_url, "source", "check", "shop")
    assert checked.exit_code == 1
    assert "Shopify answered 401" in checked.output


def test_source_whose_secret_is_missing_fails_alone(database_url: str, shop: str) -> None:
    add(database_url, shop, "env:NO_SUCH_VARIABLE")
    synced = cdp(database_url, "sync")
    assert synced.exit_code == 1
    assert "NO_SUCH_VARIABLE, which is not set" in json.loads(synced.stdout)["error"]


def test_name_that_is_taken_or_unknown_is_told(database_url: str, shop: str) -> None:
    add(database_url, shop)
    assert "There is a source 'shop' already" in add(database_url, shop).output
    assert "There are: shop." in cdp(database_url, "sync", "till").output


def test_source_that_is_pushed_to_is_asked_nothing(database_url: str) -> None:
    assert cdp(database_url, "source", "add", "crm", "--connector", "push").exit_code == 0
    assert json.loads(cdp(database_url, "sync").stdout)["status"] == "ok"
    assert "pushed" in cdp(database_url, "source", "check", "crm").output
    told = json.loads(cdp(database_url, "doctor").stdout)
    assert [each["state"] for each in told["checks"] if each["name"] == "source crm"] == ["ok"]


def test_source_that_comes_back_goes_on_and_as_another_account_begins_anew(
    database_url: str, shop: str
) -> None:
    key = f"--set=access_token={KEY}"
    settings = ["--connector", "shopify", key, f"--set=url={shop}"]
    add(database_url, shop)
    cdp(database_url, "sync")
    cdp(database_url, "source", "remove", "shop")
    same = ["--set=shop=sandbox", "--set=webhook_secret=new"]
    back = cdp_in_words(database_url, "source", "add", "shop", *settings, *same)
    assert "from its start" not in back.output
    state = state_of_shop(database_url)
    assert (state["read_up_to"] is None, state["cursors"]["customers"] is None) == (False, False)
    cdp(database_url, "source", "remove", "shop")
    with _served(_shop_of("Bob", year=2025)) as other:
        settings[-1] = f"--set=url={other}"
        another = cdp_in_words(database_url, "source", "add", "shop", *settings, *same)
        assert "It was removed with other settings, so that it is read" in another.output
        assert state_of_shop(database_url)["read_up_to"] is None
        synced = json.loads(cdp(database_url, "sync").stdout)
    assert synced["records"]["customers"] == 1


def state_of_shop(database_url: str) -> dict[str, Any]:
    """What `cdp source list` tells of the only source."""
    (state,) = json.loads(cdp(database_url, "source", "list").stdout)
    return dict(state)


def test_imported_source_is_synced_only_where_it_is_named(
    database_url: str, shop: str, tmp_path: Path
) -> None:
    path = tmp_path / "customers.jsonl"
    path.write_text(json.dumps({"id": "1", "email": "ann@example.com"}))
    assert cdp(database_url, "import", str(path), "--source", "oneoff").exit_code == 0
    named = json.loads(cdp(database_url, "sync", "oneoff").stdout)
    assert (named["source"], named["status"]) == ("oneoff", "ok")
    assert "No sources to read" in cdp_in_words(database_url, "sync").output
    path.unlink()
    add(database_url, shop)
    synced = cdp(database_url, "sync")
    assert (synced.exit_code, json.loads(synced.stdout)["source"]) == (0, "shop")
    assert source_check(database_url, "oneoff")["state"] == "ok"
    assert cdp(database_url, "sync", "oneoff").exit_code == 1
    told = source_check(database_url, "oneoff")
    assert (told["state"], told["todo"]) == ("warning", "Load it again with cdp import.")


def test_emulated_vendor_of_the_demo_is_synced_only_where_it_is_named(database_url: str) -> None:
    sandbox = ShopifySandbox(access_token=TOKEN, faults=FAST)
    with _served(sandbox) as url:
        settings = [f"--set={name}={value}" for name, value in LOGINS["shopify"].items()]
        command = ["source", "add", "web-shop", "--connector", "shopify", f"--set=url={url}"]
        assert cdp(database_url, *command, *settings).exit_code == 0
        assert source_check(database_url, "web-shop")["state"] == "ok"
        passed = cdp(database_url, "sync")
        assert (passed.exit_code, json.loads(passed.stdout)) == (0, {"runs": 0})
        said = "Passed over, for their vendors were emulators of cdp demo: web-shop."
        assert said in passed.stderr
        named = cdp(database_url, "sync", "web-shop")
        assert json.loads(named.stdout)["status"] == "ok"
        assert "Passed over" not in named.stderr
    assert source_check(database_url, "web-shop")["state"] == "ok"


def source_check(database_url: str, name: str) -> dict[str, str]:
    """What the doctor says of one source."""
    checks = json.loads(cdp(database_url, "doctor").stdout)["checks"]
    (found,) = [check for check in checks if check["name"] == f"source {name}"]
    return dict(found)


def test_source_that_cannot_be_read_leaves_the_next_one_to_be_read(
    database_url: str, shop: str, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("abcd\u00e91234\n")
    malformed = Malformed()
    with _served(malformed) as till:
        for name, setting in (("loc", KEY), ("key", f"file:{key}")):
            settings = [f"--set=access_token={setting}", f"--set=url={till}"]
            cdp(database_url, "source", "add", name, "--connector", "square", *settings)
        add(database_url, shop)
        synced = cdp(database_url, "sync")
        checked = cdp(database_url, "source", "check", "loc")
    assert synced.exit_code == 1
    runs = {run["source"]: run for run in map(json.loads, synced.stdout.splitlines())}
    assert {name: run["status"] for name, run in runs.items()} == {
        "loc": "failed",
        "key": "failed",
        "shop": "ok",
    }
    assert "The answer for the list orders cannot be read: id: It is missing." in str(
        runs["loc"]["error"]
    )
    assert "The key of Square holds a character" in str(runs["key"]["error"])
    assert "abcd" not in synced.output
    assert (checked.exit_code, "cannot be read" in checked.output) == (1, True)


class Malformed:
    """A till of which every answer is JSON, and none is what was asked for."""

    @property
    def app(self) -> ASGIApp:
        """What is served."""

        async def answer(_request: Request) -> JSONResponse:
            return JSONResponse({"locations": [{}], "customers": {"a": 1}, "orders": [None]})

        methods = ["GET", "POST"]
        return Starlette(routes=[Route("/{path:path}", answer, methods=methods)])


def test_retry_tells_what_brings_a_pushed_record_back(database_url: str) -> None:
    async def push_badly() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            await push(connection, "crm", "customers", [{"email": "ann@example.com"}], Workspace())

    asyncio.run(push_badly())
    told = cdp_in_words(database_url, "deadletter", "retry", "--source", "crm").output
    assert "1 were pushed: their sender is to push them again, corrected." in told
    assert "--full" not in told


def test_connectors_are_listed_with_their_settings(database_url: str) -> None:
    listed = json.loads(cdp(database_url, "connector", "list").stdout)
    assert {"shopify", "square", "klaviyo", "bluesky", "file"} <= {
        each["connector"] for each in listed
    }


def test_connector_without_an_emulator_is_told(database_url: str) -> None:
    answer = cdp(database_url, "connector", "test", "file")
    assert answer.exit_code == 1
    assert all(name in answer.output for name in CASES)
