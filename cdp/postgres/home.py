"""The files by which the users and the supervisor of one embedded PostgreSQL know of each other."""

import contextlib
import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

# Not what a client is told that comes too early.
_COMPLAINT = re.compile(r"PANIC|FATAL(?!:\s+the database system is)|ERROR|[Ee]rror:|could not")
_BREAKDOWN = re.compile(r"(?:PANIC|FATAL): +(?!the database system|terminating connection)(.+)")


@dataclass(frozen=True, slots=True)
class Home:
    """The folder `CDP_HOME/postgres`."""

    folder: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """Make the folders that are missing, for ourselves alone.

        Where we are root, the server's account may pass through them, but not list them.
        """
        home = home.expanduser().absolute()
        for folder in (home, home / "postgres"):
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o711 if os.geteuid() == 0 else 0o700)  # mkdir's would obey the umask
        return cls(home.resolve() / "postgres")

    @property
    def users(self) -> Path:
        """Locked by every user together, in the end by the supervisor alone."""
        return self.folder / "users.lock"

    @property
    def supervisor(self) -> Path:
        """Locked by whoever supervises, or is just about to."""
        return self.folder / "supervisor.lock"

    @property
    def ready(self) -> Path:
        """Holds the port; there as long as the server answers."""
        return self.folder / "ready"

    @property
    def port(self) -> Path:
        """Holds the port of the former server, for the next to take if it can."""
        return self.folder / "port"

    @property
    def password(self) -> Path:
        """Holds the password of the role `cdp`; for our eyes only."""
        return self.folder / "password"

    @property
    def location(self) -> Path:
        """Holds the path of the data folder's parent, where that is not here."""
        return self.folder / "location"

    @property
    def log(self) -> Path:
        """What postgres and the supervisor have to tell."""
        return self.folder / "postgres.log"

    def retire(self) -> None:
        """From now on nobody takes the server for ready."""
        with contextlib.suppress(FileNotFoundError):
            self.ready.replace(self.port)

    def trouble(self, start: int = 0) -> str:
        """Return what the log complains of from a position on."""
        return reason(self.log.read_bytes()[start:].decode(errors="replace"))

    def breakdown(self, start: int) -> str | None:
        """Return what made postgres give up since a position of its log; None if nothing did."""
        found = _BREAKDOWN.search(self.log.read_bytes()[start:].decode(errors="replace"))
        return found and found[1]


def reason(output: str) -> str:
    """Return the lines in which a program says why it failed, for one sentence."""
    lines = output.strip().splitlines()
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    return " / ".join((complaints or lines)[-2:])


def read_port(path: Path) -> int | None:
    """Return the port in a file; None where there is no such file."""
    try:
        return int(path.read_text())
    except FileNotFoundError:
        return None


def open_private(path: Path) -> int:
    """Open a file that only we may read, to lock it or to append to it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)


def lock(descriptor: int, kind: int) -> bool:
    """Take a lock that lasts as long as a holder of the descriptor lives; false if refused."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
