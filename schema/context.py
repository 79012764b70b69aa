"""What a resolver may use in one request."""

from dataclasses import dataclass
from datetime import datetime

from strawberry.dataloader import DataLoader

from cdp.database import Database
from cdp.keys import Viewer
from cdp.segments.why import Verdict
from cdp.workspace import Workspace
from schema.loaders import dead_letter_count_by_source, verdicts_by_standing


@dataclass(frozen=True, slots=True)
class Context:
    """One request: who asks, at what moment, and the loaders that batch for it."""

    viewer: Viewer
    as_of: datetime
    dead_letter_count_by_source: DataLoader[int, int]
    verdicts_by_standing: DataLoader[str, list[Verdict]]


def new_context(
    viewer: Viewer, as_of: datetime, database: Database, workspace: Workspace
) -> Context:
    """A context with fresh loaders: nothing is remembered from one request to the next."""
    return Context(
        viewer,
        as_of,
        dead_letter_count_by_source(database.reader),
        verdicts_by_standing(database, viewer, workspace, as_of),
    )
