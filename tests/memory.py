"""One folder for all files of a run: in memory where there is room, for disks forget slowly."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdp.postgres.home import Home, lock, open_private

# A copy of a database has three hundred files, and a run makes and drops hundreds of copies. ext4
# steps over every inode that was freed within half a minute whenever it makes a file, by which a
# copy comes to cost half a second of processor; in memory it takes fifteen milliseconds.
MEMORY = Path("/dev/shm")  # noqa: S108 (a folder of our own below it)
ROOM_BYTES = 4 << 30  # many times what was seen in use: the acceptance tests held 0.3 GB at most
PREFIX = "cdp-tests-"
LOCK = "lock"  # held as long as its run lives


@contextmanager
def files_of_a_run() -> Iterator[None]:
    """Let every temporary file, of this process and of those it starts, live in one folder.

    The folder goes at the end with all that is in it; one that a killed run has left goes when the
    next run begins.
    """
    parent = MEMORY if _has_room(MEMORY) else Path(tempfile.gettempdir())
    _remove_what_was_left(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o711)  # root's PostgreSQL runs as another account
    held = open_private(folder / LOCK)
    fcntl.flock(held, fcntl.LOCK_EX)
    former = os.environ.get("TMPDIR")
    try:
        _have_temporary_files_in(str(folder))
        yield
    finally:
        _have_temporary_files_in(former)
        _remove(folder)
        os.close(held)


def home_of_the_run() -> Path:
    """Where the PostgreSQL of this run lives."""
    return Path(tempfile.gettempdir()) / "home"


def _has_room(disk: Path) -> bool:
    try:
        found = os.statvfs(disk)
    except OSError:
        return False
    runs_programs = not found.f_flag & os.ST_NOEXEC  # PostgreSQL's may have to be copied there
    return (
        runs_programs and os.access(disk, os.W_OK) and found.f_bavail * found.f_frsize >= ROOM_BYTES
    )


def _have_temporary_files_in(folder: str | None) -> None:
    if folder is None:
        del os.environ["TMPDIR"]
    else:
        os.environ["TMPDIR"] = folder
    tempfile.tempdir = None  # asked for anew


def _remove(folder: Path) -> None:
    """Remove a folder as soon as the server in it has stopped."""
    supervised = open_private(Home.of(folder / "home").supervisor)
    fcntl.flock(supervised, fcntl.LOCK_EX)
    os.close(supervised)
    shutil.rmtree(folder)


def _remove_what_was_left(parent: Path) -> None:
    for lock_file in parent.glob(f"{PREFIX}*/{LOCK}"):
        if lock_file.stat().st_uid != os.getuid():
            continue
        held = open_private(lock_file)
        if lock(held, fcntl.LOCK_EX):
            _remove(lock_file.parent)
        os.close(held)
