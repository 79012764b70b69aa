"""Processor time of processes, which other people's load disturbs less than wall time."""

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
PROCESSES: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Times:
    parent: int
    own: float
    ended_children: float


def seconds_of(pid: int) -> float:
    """Processor seconds that a process has used so far; 0 where it is not to be seen."""
    times = _times(pid)
    return 0.0 if times is None else times.own


@dataclass(frozen=True, slots=True)
class PostgresClock:
    """Processor seconds of a server and all its processes, those that have ended too."""

    postmaster: int

    def seconds(self) -> float:
        """So far."""
        pids = (int(path.name) for path in PROCESSES.iterdir() if path.name.isdigit())
        alive = [times for times in map(_times, pids) if times is not None]
        top = _times(self.postmaster)
        ended = 0.0 if top is None else top.own + top.ended_children
        return ended + sum(times.own for times in alive if times.parent == self.postmaster)


def postgres_clock(url: str) -> PostgresClock | None:
    """The clock of the server behind a URL; None where it does not run on this machine."""

    async def backend() -> tuple[int, _Times | None]:
        connection = await asyncpg.connect(url)
        try:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            return pid, _times(pid) if _is_postgres(pid) else None
        finally:
            await connection.close()

    times = asyncio.run(backend())[1]
    return None if times is None else PostgresClock(times.parent)


def _is_postgres(pid: int) -> bool:
    with suppress(OSError):
        return (PROCESSES / str(pid) / "comm").read_text(encoding="utf-8").startswith("postgres")
    return False


def _times(pid: int) -> _Times | None:
    """As proc(5) tells them; None where there is no such process, or no /proc."""
    with suppress(OSError):
        told = (PROCESSES / str(pid) / "stat").read_text(encoding="utf-8")
        # The name of the program stands in brackets and may hold anything; states follow.
        fields = told.rpartition(")")[2].split()
        own, ended = (sum(map(int, fields[start : start + 2])) for start in (11, 13))
        return _Times(int(fields[1]), own / CLOCK_TICKS, ended / CLOCK_TICKS)
    return None
