"""What several acceptance tests need."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.databases import Databases
from tests.server import Server


@pytest.fixture
async def databases(server: Server, template: str) -> AsyncIterator[Databases]:
    """Databases that go when the test ends."""
    made = Databases(server, template, [])
    yield made
    await made.drop()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may pass; pytest's own is for its user alone."""
    with tempfile.TemporaryDirectory(prefix="cdp-acceptance-") as name:
        Path(name).chmod(0o711)
        yield Path(name)
