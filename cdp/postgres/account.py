"""Whom the embedded server's processes run as, and where that account can have its files."""

import os
import pwd
import secrets
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from cdp.errors import DatabaseUnavailable
from cdp.postgres.home import Home

# Numbers that no distribution hands out (Debian: 60000 and up on request only; systemd: 60578 to
# 61183 unused) and that a container's 16-bit map still holds. Not the account `postgres`: it may
# own a server of the machine, which is none of our business, nor we of its.
ACCOUNTS = range(60715, 60735)
OUTSIDE = Path("/var/lib/cdp")  # for root whose home the server's account cannot enter


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged number where we are root (postgres refuses root), else ourselves: None."""

    user: int | None = None
    group: int | None = None
    groups: tuple[int, ...] | None = None

    def run(self, *command: Path | str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program to its end; both its outputs are in `stdout`."""
        return subprocess.run(  # noqa: S603 - PostgreSQL's own programs
            command,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd="/",
            env=environment(),
            user=self.user,
            group=self.group,
            extra_groups=self.groups,
        )

    def can_run(self, program: Path) -> bool:
        """Whether the account reaches a program and the libraries that it needs."""
        try:
            return self.run(program, "--version").returncode == 0
        except PermissionError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Whether the account may pass through a folder and all its parents."""
        return self.run("/bin/sh", "-c", 'test -x "$1"', "sh", folder).returncode == 0

    def named(self) -> Self:
        """Return the account for `initdb` and `postgres --single`, which insist on a name.

        For root it is `nobody` with our group, without which no other process of `nobody` gets at
        what is made. The server itself needs no name.
        """
        if self.user is None:
            return self
        return replace(self, user=pwd.getpwnam("nobody").pw_uid)

    def admit_group(self, path: Path, mode: int) -> None:
        """Let the account's group use what root made; a plain user's stays as it is."""
        if self.group is not None:
            os.chown(path, -1, self.group)
            path.chmod(mode)

    def take(self, folder: Path) -> None:
        """Own a folder that the named account made, with all that is in it."""
        if self.user is not None and self.group is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, self.user, self.group, follow_symlinks=False)


def environment() -> dict[str, str]:
    """Our environment without what would steer PostgreSQL or its language."""
    steering = ("PG", "LC_", "LANG", "TZ")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return kept | {"LC_ALL": "C"}


def settle(files: Home) -> tuple[Path, Account]:
    """Return the folder that holds the server's files, and the account that they belong to.

    Where the account of root's server may not pass through the home's parents, that is a folder of
    its own below /var/lib/cdp. A plain user's server is in the home, and stays that user's even if
    root starts it. Raises DatabaseUnavailable.
    """
    if os.geteuid() != 0:
        return files.folder, Account()
    base = Path(files.location.read_text()) if files.location.exists() else files.folder
    data = base / "data"
    account = _owner(data) if data.exists() else _unused()
    if account.can_enter(base):
        return base, account
    if data.exists():
        raise DatabaseUnavailable(
            f"{data} belongs to account {account.user}, which may not pass to it.",
            todo="Put CDP_HOME where others may pass, or set it to a new folder.",
        )
    return _settle_outside(files), account


def _owner(data: Path) -> Account:
    status = data.stat()
    return Account(status.st_uid, status.st_gid, ())


def _unused() -> Account:
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    number = next(number for number in ACCOUNTS if number not in taken)
    return Account(number, number, ())


def _settle_outside(files: Home) -> Path:
    base = OUTSIDE / secrets.token_hex(8)
    for folder in (OUTSIDE, base):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)
    files.location.write_text(str(base))
    return base
