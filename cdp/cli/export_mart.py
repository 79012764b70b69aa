"""`cdp export mart`: every table of the mart, a Parquet file each, in a folder."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cdp.cli.session import Session
from cdp.errors import BadInput
from cdp.export import plan_mart, write_export
from cdp.writers import open_output

PARQUET: Final = "parquet"


async def export_mart(session: Session, form: str | None, folder: Path) -> None:
    """Write the tables as they were published last, all from one publish."""
    if form not in (None, PARQUET):
        raise BadInput("The mart is exported as Parquet.", todo="Leave --format out.")
    rows = {}
    async with session.database() as database:
        workspace = await session.workspace(database)
        async with database.read_only() as connection:
            plans = await plan_mart(connection, datetime.now(UTC), workspace)
            _make(folder)
            for name, plan in plans.items():
                file = f"{name}.{PARQUET}"
                with open_output(folder / file, PARQUET, plan.columns, plan.about) as writer:
                    rows[file] = await write_export(connection, plan, writer)
    lines = [f"{count:,} rows in {folder / file}." for file, count in rows.items()]
    session.show({"files": rows, "path": str(folder)}, "\n".join(lines))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}.") from None
