"""`cdp business`, as a person reads it."""

import asyncio

from click.testing import CliRunner

from cdp.__main__ import main
from cdp.database import open_database
from tests.cdp.ingesting import take


def test_the_interval_of_a_rate_is_told_in_per_cent_and_that_of_a_score_in_points(
    database_url: str,
) -> None:
    async def fill() -> None:
        async with open_database(database_url) as database, database.transaction() as connection:
            row = {"id": "1", "score": "5", "email": "ann@example.com"}
            row["given_at"] = "2026-06-01T10:00:00Z"
            await take(connection, "feedback", [{**row, "kind": "csat"}])
            await take(connection, "feedback", [{**row, "id": "2", "kind": "nps"}])

    asyncio.run(fill())
    given = ["business", "--as-of", "2026-06-30", "--database-url", database_url]
    lines = CliRunner().invoke(main, given).output.splitlines()
    lows = [line.split()[1] for line in lines if line.split()[:1] == ["low"]]
    assert [low.endswith("%") for low in lows] == [False, True]
