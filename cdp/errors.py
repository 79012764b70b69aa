"""The errors that a caller can expect, each with a stable code and what to do next."""

from collections.abc import Iterable


class CdpError(Exception):
    """A refusal: a stable `code`, one sentence with the values in it, and what to do next."""

    def __init__(self, code: str, message: str, *, todo: str = "") -> None:
        super().__init__(f"{message} {todo}".strip())
        self.code = code
        self.message = message
        self.todo = todo


class BadInput(CdpError):
    """Something that was given cannot be taken as it is."""

    def __init__(self, message: str, *, todo: str = "", path: str | None = None) -> None:
        super().__init__("BAD_REQUEST", message, todo=todo)
        self.path = path


class UnknownName(BadInput):
    """A name where only some are known, all of which it tells."""

    def __init__(self, name: str, known: Iterable[str], path: str) -> None:
        super().__init__(
            f"There is no {name[:80]!r} here.", todo=f"There are: {', '.join(known)}.", path=path
        )


class KeyReused(BadInput):
    """The caller's own name for an act names another one already."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"The key {key!r} belongs to another act.",
            todo="Use a new key for each act, the same one only to repeat it.",
            path="key",
        )
        self.code = "KEY_REUSED"


class AlreadyUndone(BadInput):
    """What an entry of the ledger did is not in force any more: there is nothing to take back."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__(message, todo=todo, path="mergeEventId")
        self.code = "ALREADY_UNDONE"


class Forbidden(CdpError):
    """The caller's role does not allow what was asked."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__("FORBIDDEN", message, todo=todo)


class NotFound(CdpError):
    """Nothing bears the given name or id."""

    def __init__(self, message: str, *, todo: str = "", path: str | None = None) -> None:
        super().__init__("NOT_FOUND", message, todo=todo)
        self.path = path


class DatabaseUnavailable(CdpError):
    """No PostgreSQL could be found, started or reached."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__("UNAVAILABLE", message, todo=todo)


class SettingsChanged(CdpError):
    """The workspace's settings are others than the caller read: what it writes would be wrong."""

    def __init__(self) -> None:
        super().__init__(
            "SETTINGS_CHANGED",
            "The settings of the workspace changed meanwhile, so nothing of this step was stored.",
            todo="Run it again: it goes on with the new ones.",
        )


class Fenced(CdpError):
    """Another runner moved the checkpoint on: this one must stop, its page is rolled back."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__("FENCED", message, todo=todo)
