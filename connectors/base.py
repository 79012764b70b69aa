"""What every connector is: a source that yields pages, and errors named for the next act."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from cdp.delivery import Delivery
from cdp.errors import BadInput, CdpError
from cdp.values import Json

Kind: TypeAlias = Literal["ecommerce", "pos", "email", "social", "generic"]
Values: TypeAlias = Mapping[str, str]
"""A source's settings by name, with secrets already read from where they lie."""

HIDDEN: Final = "***"
MAX_SECRET_BYTES: Final = 64 * 1024  # a key file; anything longer is another file


class Retry(Exception):
    """The same request may succeed later: the runner waits and goes on from the last commit.

    `after_seconds` is the wait that the vendor asked for; None or 0 where it asked for none.
    """

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class Skip(Exception):
    """One object cannot be taken: it goes to the dead letters with its reason, the rest go on.

    Where it is no object of a list but the answer itself, nothing more of that list can be read.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class Abort(CdpError):
    """Nothing further can be had from this source until a person acts.

    `status` and `answer` are what the vendor said, where it was the vendor who refused. One that
    `is_of_one_list` leaves the source's other lists to be read.
    """

    def __init__(
        self, message: str, *, todo: str = "", status: int | None = None, answer: object = None
    ) -> None:
        super().__init__("SOURCE_REFUSED", message, todo=todo)
        self.status = status
        self.answer = answer

    @property
    def is_of_one_list(self) -> bool:
        """Whether the key was taken and one list refused: it may not be read, or is not there."""
        return self.status in (403, 404)


@dataclass(frozen=True, slots=True)
class Page:
    """One response of a source, mapped. `cursor` is where to resume after this page."""

    deliveries: Sequence[Delivery]
    cursor: Json


class Source(Protocol):
    """A system outside, ready to be read."""

    @property
    def connector(self) -> str:
        """The name of its connector."""
        ...

    @property
    def streams(self) -> tuple[str, ...]:
        """The source's own lists, in the order in which they are best read: people first."""
        ...

    def pages(self, stream: str, cursor: Json) -> AsyncIterator[Page]:
        """Read a list from `cursor` (None: from its start) up to now; always ends.

        Holds nothing between two pages that its cursor does not tell, so that it can be dropped
        and started again from the cursor of any page. Raises Retry or Abort.
        """
        ...

    async def check(self) -> str:
        """One sentence on what answers there. Raises Retry or Abort."""
        ...

    async def close(self) -> None:
        """Let go of connections; the source is not used after that."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that a source of this connector can be told."""

    name: str
    doc: str
    is_required: bool = False
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class Connector:
    """What there is to know of a connector before a source is built with it.

    `stays_open` is false where building a source is what looks for news, as in a folder of files.
    """

    name: str
    kind: Kind
    doc: str
    settings: tuple[Setting, ...]
    build: Callable[[Values], Source]
    stays_open: bool = True


def check_settings(connector: Connector, settings: Mapping[str, str]) -> None:
    """Raises BadInput for a setting that the connector does not know, or one that is missing."""
    known = {setting.name: setting for setting in connector.settings}
    for name in settings:
        if name not in known:
            raise BadInput(
                f"The connector {connector.name} has no setting {name!r}.",
                todo=f"It has: {', '.join(known)}.",
            )
    for setting in connector.settings:
        if setting.is_required and not settings.get(setting.name):
            raise BadInput(
                f"The connector {connector.name} needs the setting {setting.name!r}.",
                todo=f"Give --set {setting.name}=...: {setting.doc}.",
            )


def read_values(connector: Connector, settings: Mapping[str, str]) -> Values:
    """Check a source's settings and read its secrets; raises BadInput naming what is at fault."""
    check_settings(connector, settings)
    secrets = {setting.name for setting in connector.settings if setting.is_secret}
    return {
        name: read_secret(name, value) if name in secrets else value
        for name, value in settings.items()
        if value
    }


def shown(connector: Connector, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings as they may be shown: of a secret only where it lies, never what it is."""
    secrets = {setting.name for setting in connector.settings if setting.is_secret}
    return {
        name: HIDDEN if name in secrets and not is_elsewhere(value) else value
        for name, value in settings.items()
    }


def account_of(connector: Connector, settings: Mapping[str, str]) -> Mapping[str, str]:
    """What tells one account of a vendor from another: every setting but the secrets."""
    secrets = {setting.name for setting in connector.settings if setting.is_secret}
    return {name: value for name, value in settings.items() if value and name not in secrets}


def read_secret(name: str, value: str) -> str:
    """`env:NAME` and `file:PATH` are read at use; anything else is the secret itself.

    White space around it, such as the end of a line, is no part of it. Raises BadInput, which names
    the place and never the secret, where nothing can be read there.
    """
    scheme, _, place = value.partition(":")
    if scheme == "env":
        found = os.environ.get(place, "").strip()
        if not found:
            raise BadInput(
                f"The setting {name!r} is to be read from the variable {place}, which is not set.",
                todo=f"Set {place}.",
            )
        return found
    if scheme == "file":
        try:
            with Path(place).open("rb") as file:
                found = file.read(MAX_SECRET_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise BadInput(f"The setting {name!r} is to be read from {place}: {reason}.") from None
        if not found:
            raise BadInput(f"The setting {name!r} is to be read from {place}, which is empty.")
        return found
    return value.strip()


def is_elsewhere(value: str) -> bool:
    """Whether a secret's setting says only where it lies."""
    return value.startswith(("env:", "file:"))
