"""A user of the embedded PostgreSQL: joins the server of a home, or has it started."""

import fcntl
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cdp.errors import DatabaseUnavailable
from cdp.postgres.home import Home, lock, open_private, read_port

START_SECONDS = 120  # after a crash, max_wal_size is replayed in about a minute
KEEP_SECONDS = 0.5  # how soon a user sees that the supervisor was killed
KEEP_SECONDS_MAX = 5.0  # between attempts while it cannot be started again
START_ATTEMPTS = 3  # the supervisor may be killed while it starts

log = logging.getLogger(__name__)


@contextmanager
def embedded(home: Path) -> Iterator[str]:
    """Join the server of this home, or start it; yields its database URL.

    The server runs as long as any process is in such a block, and is started again if it is
    killed. Raises DatabaseUnavailable with the reason and what to do.
    """
    deadline = time.monotonic() + START_SECONDS
    left = threading.Event()
    try:
        files = Home.of(home)
        users = open_private(files.users)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL cannot live in {home}: {error}.",
            todo="Set CDP_HOME to a folder of your own, or CDP_DATABASE_URL to another server.",
        ) from error
    try:
        _await(lambda: lock(users, fcntl.LOCK_SH), files, deadline)
        port = _join(files, deadline)
        password = files.password.read_text()
        threading.Thread(target=_keep, args=(files, port, left), daemon=True).start()
        with _explained(files):
            yield f"postgresql://cdp:{password}@127.0.0.1:{port}/cdp"
    finally:
        left.set()
        os.close(users)


@contextmanager
def _explained(files: Home) -> Iterator[None]:
    """Tell why postgres broke down: its log knows, whom it lost hears of a lost connection."""
    begin = files.log.stat().st_size
    try:
        yield
    except DatabaseUnavailable as error:
        reason = files.breakdown(begin)
        if reason is None or reason in error.message:
            raise
        raise DatabaseUnavailable(f"The database failed: {reason}.", todo=error.todo) from error


def _await(done: Callable[[], bool], files: Home, deadline: float) -> None:
    while not done():
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL in {files.folder} was not ready in {START_SECONDS} s.",
                todo=f"It may still stop or recover: look at {files.log}, then try again.",
            )
        time.sleep(0.01)


def _join(files: Home, deadline: float) -> int:
    """Return the port of the server once it is ready, started by us or by another user."""

    def is_ready() -> bool:
        _replace_supervisor(files, deadline)
        port = read_port(files.ready)
        return port is not None and _answers(port)

    _await(is_ready, files, deadline)
    return int(files.ready.read_text())


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _replace_supervisor(files: Home, deadline: float) -> None:
    """Start a supervisor if none lives; it inherits the lock that we took, so no two can start."""
    claim = open_private(files.supervisor)
    try:
        if lock(claim, fcntl.LOCK_EX):
            files.retire()
            _start_supervisor(files, claim, deadline)
    finally:
        os.close(claim)


def _start_supervisor(files: Home, claim: int, deadline: float) -> None:
    for _ in range(START_ATTEMPTS):
        try:
            answer = _run_supervisor(files, claim, deadline)
        except subprocess.TimeoutExpired:
            return  # it goes on: whoever waits now sees it become ready or end
        if answer:
            break
    else:
        raise DatabaseUnavailable(
            f"The supervisor of the embedded PostgreSQL died: {files.trouble()}.",
            todo=f"See {files.log}, then try again.",
        )
    if refusal := json.loads(answer):
        raise DatabaseUnavailable(refusal["message"], todo=refusal["todo"])


def _run_supervisor(files: Home, claim: int, deadline: float) -> bytes:
    """Return its one line of JSON; nothing if it was killed before it could tell."""
    command = [sys.executable, "-m", "cdp.postgres.supervisor", str(files.folder.parent)]
    output = open_private(files.log)
    try:
        with subprocess.Popen(  # noqa: S603 - ourselves
            [*command, str(claim)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            cwd=Path(__file__).resolve().parents[2],
            pass_fds=[claim],
            start_new_session=True,  # a terminal's Ctrl-C is for the users alone
        ) as process:
            return process.communicate(timeout=max(0, deadline - time.monotonic()))[0]
    finally:
        os.close(output)


def _keep(files: Home, port: int, left: threading.Event) -> None:
    """While this user stays, replace a supervisor that was killed; the port stays if it can."""
    pause = KEEP_SECONDS
    while not left.wait(pause):
        try:
            _replace_supervisor(files, time.monotonic() + START_SECONDS)
            pause = KEEP_SECONDS
        except (DatabaseUnavailable, OSError) as error:
            log.warning("The embedded PostgreSQL cannot be started again: %s", error)
            pause = min(2 * pause, KEEP_SECONDS_MAX)
        if (now := read_port(files.ready)) not in (None, port):
            log.warning("The embedded PostgreSQL moved from port %s to %s: start anew.", port, now)
            return
