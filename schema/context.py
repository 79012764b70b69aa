"""What a resolver may use in one request."""

from dataclasses import dataclass
from datetime import datetime

from strawberry.dataloader import DataLoader

from cdp.keys import Viewer
from schema.loaders import Reader, dead_letter_count_by_source


@dataclass(frozen=True, slots=True)
class Context:
    """One request: who asks, at what moment, and the loaders that batch for it."""

    viewer: Viewer
    as_of: datetime
    dead_letter_count_by_source: DataLoader[int, int]


def new_context(viewer: Viewer, as_of: datetime, reader: Reader) -> Context:
    """A context with fresh loaders: nothing is remembered from one request to the next."""
    return Context(viewer, as_of, dead_letter_count_by_source(reader))
