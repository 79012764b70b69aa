"""What several acceptance tests need."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.acceptance.databases import Databases
from tests.acceptance.first_demo import PEOPLE, FirstDemo
from tests.acceptance.running import Said, cdp
from tests.server import Server


@pytest.fixture
async def databases(server: Server, template: str) -> AsyncIterator[Databases]:
    """Databases that go when the test ends."""
    made = Databases(server, template, [])
    yield made
    await made.drop()


@pytest.fixture(scope="session")
def demo(server: Server, template: str, tmp_path_factory: pytest.TempPathFactory) -> FirstDemo:
    """The first demo of a database, run once for all workers."""
    told = server.folder / f"{server.name}_demo.json"

    def run(url: str) -> None:
        home = tmp_path_factory.mktemp("home")
        command = ("demo", "--customers", str(PEOPLE), "--no-serve", "--json")
        said = cdp(*command, CDP_DATABASE_URL=url, CDP_HOME=home)
        told.write_bytes(msgspec.json.encode(said))

    database = server.built("demo", run, template)
    return FirstDemo(msgspec.json.decode(told.read_bytes(), type=Said), database)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may pass; pytest's own is for its user alone."""
    with tempfile.TemporaryDirectory(prefix="cdp-acceptance-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
