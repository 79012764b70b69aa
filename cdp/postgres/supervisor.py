"""The process that owns a home's PostgreSQL: `python -m cdp.postgres.supervisor HOME [LOCK]`."""

import fcntl
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cdp.errors import DatabaseUnavailable
from cdp.postgres.home import Home, lock, open_private
from cdp.postgres.server import Server

POLL_SECONDS = 0.1  # how soon it is seen that the last user has left, or that postgres was killed
LOG_BYTES_MAX = 10_000_000  # then the log moves to postgres.log.1 and begins anew


def main(home: str, inherited_lock: str | None = None) -> None:
    """Supervise the server of a home until no user is left.

    A user that starts us hands over the lock that it took, reads one line of JSON from our
    standard output ({} once the server is ready, else the refusal), and need not wait for our end.
    """
    files = Home.of(Path(home))
    if inherited_lock is None:
        if not lock(open_private(files.supervisor), fcntl.LOCK_EX):
            sys.exit(f"{files.folder} has a supervisor already; commands of this home join it.")
    elif os.fork():
        os._exit(0)
    os.chdir("/")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _supervise(files, _report)
    except DatabaseUnavailable as error:
        _report({"message": error.message, "todo": error.todo})
        sys.exit(str(error))
    except OSError as error:
        message = f"The embedded PostgreSQL cannot live in {files.folder}: {error}."
        _report(
            {"message": message, "todo": "Set CDP_HOME to another folder, or CDP_DATABASE_URL."}
        )
        sys.exit(message)


def _report(refusal: dict[str, str]) -> None:
    """Answer the user that started us, once; what would follow goes nowhere."""
    print(json.dumps(refusal), flush=True)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _supervise(files: Home, report: Callable[[dict[str, str]], None]) -> None:
    users = open_private(files.users)
    server = Server(files)
    try:
        server.start()
        report({})
        while not lock(users, fcntl.LOCK_EX):  # refused as long as any user lives
            time.sleep(POLL_SECONDS)
            _bound(files.log)
            if not server.is_running():
                files.retire()
                server.start()
    finally:
        files.retire()
        server.stop()


def _bound(log: Path) -> None:
    if log.stat().st_size > LOG_BYTES_MAX:
        shutil.copyfile(log, f"{log}.1")
        os.truncate(log, 0)  # all its writers append: they go on at the new beginning


if __name__ == "__main__":
    main(*sys.argv[1:])
