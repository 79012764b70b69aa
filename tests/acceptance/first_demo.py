"""A demo that ran to its end in a process of its own: what it said, and the database it left."""

from dataclasses import dataclass

from tests.acceptance.running import Said

PEOPLE = 300


@dataclass(frozen=True, slots=True)
class FirstDemo:
    """What it printed with --json, and the name of its database, to be copied."""

    said: Said
    database: str
