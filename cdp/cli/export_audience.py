"""`cdp export audience:SLUG`: who may be written to, as a file, and why the others are not."""

from pathlib import Path
from typing import Final

from cdp.audiences.assignment import Drawn, draw, take_turn
from cdp.audiences.people import Aim, LeftOut, require_statements
from cdp.cli.session import Session
from cdp.export import plan_audience, write_export
from cdp.refresh import follow
from cdp.segments.segment import get_segment
from cdp.writers import open_output

_REASONS: Final = {
    LeftOut.DENIED: "denied it",
    LeftOut.WITHDRAWN: "withdrew it",
    LeftOut.SILENT: "never said anything",
    LeftOut.UNREACHABLE: "left nothing to write to",
}


async def export_audience(
    session: Session, aim: Aim, held_out_percent: float | None, form: str, path: Path | None
) -> None:
    """Bring the segment up to date, draw the audience, write the file, and tell the counts.

    Assignments are kept once the file is whole, and only then.
    """
    async with session.database() as database:
        workspace = await session.workspace(database)
        await follow(database, workspace)
        async with database.transaction() as connection:
            segment = await get_segment(connection, aim.slug)
            await require_statements(connection, aim)
            as_of = await take_turn(connection)
            drawn = await draw(connection, aim, segment.id, as_of, held_out_percent)
            plan = plan_audience(aim, as_of=as_of, workspace=workspace)
            with open_output(path, form, plan.columns, plan.about) as writer:
                count = await write_export(connection, plan, writer)
    where = "" if path is None else f" in {path}"
    text = f"{count:,} rows{where}. {_told(drawn)}"
    if path is None:
        session.console.print(text)
    else:
        session.show({"rows": count, "path": str(path), "audience": drawn}, text)


def _told(drawn: Drawn) -> str:
    said = [
        f"{drawn.left_out[reason.value]:,} {words}"
        for reason, words in _REASONS.items()
        if reason.value in drawn.left_out
    ]
    text = f"Of {drawn.members:,} members {', '.join(said) or 'nobody was left out'}"
    if drawn.held_out or drawn.held_out_percent:
        text += f"; {drawn.held_out:,} are held out ({drawn.held_out_percent:g} % of the new)"
    return f"{text}."
