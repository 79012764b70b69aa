"""One PostgreSQL over one data folder, as a direct child of the supervisor."""

import contextlib
import ctypes
import fcntl
import locale
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cdp.errors import DatabaseUnavailable
from cdp.postgres.account import environment, settle
from cdp.postgres.binaries import copy_binaries, find_binaries, release
from cdp.postgres.home import Home, lock, open_private, read_port, reason
from cdp.postgres.memory import buffer_megabytes

# A fast shutdown writes what shared_buffers hold. One that is asked for in the midst of a recovery
# may never end (PostgreSQL 15); after a quick one, the next start recovers.
STOP_SECONDS = 15
ORPHAN_SECONDS = 3  # what a process gets to end after SIGQUIT or SIGKILL
START_ATTEMPTS = 3  # postgres may be killed, or another program take the port, while it starts
# Below what systems give to outgoing connections: a client that calls a stopped server again and
# again could be given the server's own port.
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 50

SETTINGS = """\
# Written at every start; ALTER SYSTEM overrides it.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
work_mem = 32MB
maintenance_work_mem = 256MB
min_dynamic_shared_memory = 64MB    # a container's /dev/shm is small
effective_cache_size = 2GB
random_page_cost = 1.1
jit = off
max_wal_size = 4GB
min_wal_size = 256MB
checkpoint_timeout = 15min
password_encryption = 'scram-sha-256'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
"""
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"


class Server:
    """The server of a home: set up when made, then started and stopped."""

    def __init__(self, files: Home) -> None:
        self._files = files
        self._base, self._account = settle(files)
        # Held as long as we live: a copy of a home would point at the same data.
        if not lock(open_private(self._base / "data.lock"), fcntl.LOCK_EX):
            raise DatabaseUnavailable(
                f"The data in {self._base} are in use by another home.",
                todo=f"Remove {files.location}, and this home gets a database of its own.",
            )
        self._data = self._base / "data"
        self._port = read_port(files.port)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._release, self._binaries = self._choose_binaries()
        self._set_up()

    def _choose_binaries(self) -> tuple[tuple[int, ...], Path]:
        version = self._data / "PG_VERSION"
        major = int(version.read_text()) if version.exists() else None
        binaries = find_binaries(major)
        if major not in (None, release(binaries)[0]):
            raise DatabaseUnavailable(
                f"The database in {self._data} is of PostgreSQL {major}, the programs in"
                f" {binaries} are of PostgreSQL {release(binaries)[0]}.",
                todo=f"Install PostgreSQL {major}, or set CDP_HOME to a new folder.",
            )
        programs = (binaries / "postgres", binaries / "initdb")
        if all(self._account.can_run(program) for program in programs):
            return release(binaries), binaries
        return release(binaries), copy_binaries(binaries, self._base)

    def _set_up(self) -> None:
        """Make the data folder and its password if there is none; write the settings."""
        if not self._data.exists():
            self._initialise()
        elif not self._files.password.exists():
            raise DatabaseUnavailable(
                f"{self._files.password} is missing, the password of {self._data}.",
                todo="Put it back, or set CDP_HOME to a new folder.",
            )
        # Beside the data folder, whose owner could plant links there for root to follow.
        buffers = f"shared_buffers = {buffer_megabytes()}MB\n"
        settings = f"{SETTINGS}{buffers}wal_compression = {self._compression()}\n"
        for name, text in (("postgresql.conf", settings), ("pg_hba.conf", ACCESS)):
            (self._base / name).write_text(text)
            (self._base / name).chmod(0o644)

    def _compression(self) -> str:
        """lz4 where postgres was built with it, else PostgreSQL's own.

        After a checkpoint whoever writes to a page first logs all of it: by PostgreSQL's own method
        that takes as much of the processor as all else that a small batch is.
        """
        ask = (self._binaries / "postgres", "-C", "wal_compression", "-D", self._data)
        done = self._account.run(*ask, "-c", "wal_compression=lz4")
        return "on" if done.returncode else "lz4"

    def _initialise(self) -> None:
        """Make the data folder aside, so that it appears complete or not at all."""
        password = secrets.token_urlsafe(24)
        _write_private(self._files.password, password)
        staging = self._base / "new"
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        secret = staging / "password"
        try:
            _write_private(secret, password)
            self._account.admit_group(staging, 0o770)
            self._account.admit_group(secret, 0o640)
            self._run(
                self._binaries / "initdb",
                f"--pgdata={staging / 'data'}",
                "--username=cdp",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--data-checksums",
                "--encoding=UTF8",
                *self._locale(),
            )
            postgres = self._binaries / "postgres"
            create = ("--single", "-D", staging / "data", "postgres")
            self._run(postgres, *create, text="CREATE DATABASE cdp\n")
            self._account.take(staging / "data")
            (staging / "data").rename(self._data)
        finally:
            shutil.rmtree(staging)

    def _locale(self) -> list[str]:
        """C.UTF-8: PostgreSQL's own since 17, else the C library's, else C."""
        name = "C.UTF-8"
        try:
            locale.setlocale(locale.LC_CTYPE, name)
        except locale.Error:
            name = "C"
        builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [f"--locale={name}", *(builtin if self._release >= (17,) else [])]

    def _run(self, *command: Path | str, text: str = "") -> None:
        done = self._account.named().run(*command, text=text)
        if done.returncode or "ERROR:" in done.stdout:
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL cannot be set up in {self._base}: {reason(done.stdout)}.",
                todo="Is the disk full? Else set CDP_DATABASE_URL to a server that runs already.",
            )

    def start(self) -> None:
        """Start postgres and wait until it is ready; on its former port if that is free.

        Raises DatabaseUnavailable.
        """
        begin = self._files.log.stat().st_size
        for _ in range(START_ATTEMPTS):
            self._clear()
            self._port = _free_port(self._port)
            process = self._process = self._spawn(self._port)
            while process.poll() is None:
                if self._is_ready(process.pid):
                    draft = self._files.folder / "ready.new"
                    draft.write_text(str(self._port))
                    draft.replace(self._files.ready)
                    return
                time.sleep(0.01)
        raise DatabaseUnavailable(
            f"The embedded PostgreSQL in {self._data} does not start:"
            f" {self._files.trouble(begin)}.",
            todo=f"Is the disk full? See {self._files.log}.",
        )

    def _clear(self) -> None:
        """End what a killed server left behind, and see that its pid file does no harm.

        Only called under the supervisor's lock: whatever works in our data folder is an orphan,
        and what it has not logged is lost anyway. The file stays, for by it postgres sees whether
        shared memory is still in use. But its first line may name a zombie or a stranger by now,
        which postgres would take for a server; our own pid, its parent's, it ignores.
        """
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (orphans := _working_in(self._data)) and time.monotonic() < deadline:
            for orphan in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(orphan, signal.SIGKILL)
            time.sleep(0.02)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(self._data / "postmaster.pid", os.O_RDWR | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "r+") as stale:
                lines = [str(os.getpid()), *stale.read().splitlines()[1:]]
                stale.seek(0)
                stale.write("\n".join(lines) + "\n")
                stale.truncate()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        command: list[Path | str] = [self._binaries / "postgres", "-D", self._data]
        command += ["-p", str(port)]
        command += ["-c", f"config_file={self._base / 'postgresql.conf'}"]
        command += ["-c", f"hba_file={self._base / 'pg_hba.conf'}"]
        process = subprocess.Popen(  # noqa: S603 - PostgreSQL itself
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            cwd="/",
            env=environment(),
            user=self._account.user,
            group=self._account.group,
            extra_groups=self._account.groups,
            preexec_fn=_die_with_parent() if sys.platform == "linux" else None,
        )
        if sys.platform != "linux":  # its standard input ends when we do
            self._watchdog = subprocess.Popen(  # noqa: S603 - a constant
                ["/bin/sh", "-c", 'cat; kill -QUIT "$1"', "sh", str(process.pid)],
                stdin=subprocess.PIPE,
            )
        return process

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def is_running(self) -> bool:
        """Whether postgres still lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End postgres: in good order, else at once, else by force."""
        for how, patience in (
            (signal.SIGINT, STOP_SECONDS),
            (signal.SIGQUIT, ORPHAN_SECONDS),
            (signal.SIGKILL, ORPHAN_SECONDS),
        ):
            if self._process and self._process.poll() is None:
                self._process.send_signal(how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
        if self._watchdog:
            self._watchdog.kill()


def _die_with_parent() -> Callable[[], None]:
    """For a new child: the kernel is to end it as soon as we die, however we die."""
    parent, prctl, set_parent_death_signal = os.getpid(), ctypes.CDLL(None).prctl, 1

    def ask() -> None:
        prctl(set_parent_death_signal, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _working_in(data: Path) -> list[int]:
    """Pids of the postgres processes of a data folder; elsewhere than on Linux the first alone."""
    if sys.platform != "linux":
        table = subprocess.run(
            ["/bin/ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in table if f"postgres -D {data} -p" in line]
    pids = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it is gone, or another account's
            program = (process / "exe").readlink().name.removesuffix(" (deleted)")
            if program == "postgres" and (process / "cwd").readlink() == data:
                pids.append(int(process.name))
    return pids


def _free_port(wished: int | None) -> int:
    former = [wished] if wished is not None and wished in PORTS else []
    for port in [*former, *secrets.SystemRandom().sample(PORTS, PORT_ATTEMPTS)]:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise DatabaseUnavailable(
        f"None of {PORT_ATTEMPTS} ports of 127.0.0.1 from {PORTS.start} to {PORTS.stop} is free.",
        todo="End what holds them, then try again.",
    )


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(0o600, exist_ok=False)
    path.write_text(text)
