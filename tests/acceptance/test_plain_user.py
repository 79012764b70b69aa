"""The demo of a plain user: no root, a home of its own, a checkout that it may only read."""

import os
import pwd
import shutil
import site
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.acceptance.running import PATIENCE_SECONDS, ROOT, environment

PACKAGES = ("cdp", "schema", "connectors", "migrations")
NEEDED = "import asyncpg, click, duckdb, httptools, msgspec, numpy, pyarrow, sqlalchemy, uvicorn"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a plain user")


@pytest.fixture
def checkout(open_folder: Path) -> Path:
    """A copy of the checkout that everybody may read, compiled as it is for us."""
    copy = open_folder / "a checkout"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return copy


def run_as(
    account: int, home: Path, checkout: Path, python: str, *arguments: str
) -> "subprocess.CompletedProcess[str]":
    """Run an interpreter as a plain account, with the packages of this one."""
    return subprocess.run(  # noqa: S603 (our own command)
        [python, *arguments],
        user=account,
        group=account,
        extra_groups=[],
        cwd=home,
        env={
            **environment(),
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join([str(checkout), *site.getsitepackages()]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_demo_of_a_plain_user_has_its_own_postgresql(open_folder: Path, checkout: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    home = open_folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody, nobody)
    python = _reachable(nobody, home, checkout)
    demo = ("-m", "cdp", "demo", "--no-serve", "--customers", "100", "--json")
    said = run_as(nobody, home, checkout, python, *demo)
    assert said.returncode == 0, said.stderr
    summary = msgspec.json.decode(said.stdout, type=dict[str, object])
    assert isinstance(summary["customers"], int)
    assert summary["customers"] > 50
    assert (home / ".cdp" / "postgres" / "data").stat().st_uid == nobody
    # The next command starts that server again, and finds what the demo has left.
    after = run_as(nobody, home, checkout, python, "-m", "cdp", "source", "list")
    assert after.returncode == 0, after.stderr
    assert isinstance(summary["sources"], dict)
    assert all(name in after.stdout for name in summary["sources"])


def _reachable(account: int, home: Path, checkout: Path) -> str:
    """An interpreter that the account can run with the packages of this one; skips if none."""
    for python in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            if run_as(account, home, checkout, python, "-c", NEEDED).returncode == 0:
                return python
        except OSError:
            continue
    pytest.skip("no interpreter here, or not its packages, can be reached by a plain account")
