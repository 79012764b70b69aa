"""Every connector passes every check of the conformance kit."""

import pytest

from cdp.database import Database
from connectors.conformance.bench import Broken
from connectors.conformance.cases import CASES
from connectors.conformance.checks import checks_of, run_check

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("connector", CASES)
async def test_connector_passes_every_check(connector: str, database: Database) -> None:
    broken = {}
    for name in checks_of(CASES[connector]):
        try:
            await run_check(CASES[connector], name, database)
        except Broken as error:
            broken[name] = str(error)
    assert broken == {}
