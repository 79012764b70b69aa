"""Refusals as GraphQL errors: one closed list of codes; what is unexpected stays inside."""

import logging
import secrets
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from graphql import GraphQLError
from sqlalchemy.exc import DBAPIError

from cdp.database import refusal_in
from cdp.errors import CdpError, DatabaseUnavailable
from schema.metrics import ERRORS

CODES: Final = frozenset(
    {
        "BAD_REQUEST",
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "NOT_FOUND",
        "COST_LIMIT",
        "RATE_LIMITED",
        "TIMEOUT",
        "UNAVAILABLE",
        "INTERNAL",
    }
)

STATUS: Final = {
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "TIMEOUT": 504,
    "UNAVAILABLE": 503,
    "INTERNAL": 500,
}
"""The status of an answer without data, where the client asked for one that tells; else 400."""

MAX_ERRORS: Final = 10  # of one answer: nobody reads on

_log = logging.getLogger(__name__)


class CostLimit(CdpError):
    """An operation asks for more than the role may have at once."""

    def __init__(self, requested: int, limit: int) -> None:
        super().__init__(
            "COST_LIMIT",
            f"The operation costs {requested}, your role may spend {limit}.",
            todo="Ask for smaller pages or fewer lists within lists.",
        )
        self.requested = requested


class Unauthenticated(CdpError):
    """No key, or one that opens nothing."""

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__("UNAUTHENTICATED", message, todo=todo)


AWAY: Final = (
    DatabaseUnavailable,
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)
"""What is raised while the database does not answer: whoever can wait may go on soon."""


def error_body(error: BaseException) -> dict[str, Any]:
    """One error as the answer tells it."""
    code, message = _told(refusal_in(error) or error)
    ERRORS.labels(code).inc()
    body: dict[str, Any] = {"message": message, "extensions": {"code": code}}
    path = getattr(error, "path", None)
    if isinstance(path, str) and path:
        body["extensions"]["argument"] = path
    return _placed(body, error) if isinstance(error, GraphQLError) else body


def walk_error_bodies(errors: Sequence[GraphQLError]) -> list[dict[str, Any]]:
    """What went wrong after a document was found valid: never the caller's fault by itself."""
    return [
        _placed(error_body(error.original_error or RuntimeError(error.message)), error)
        for error in errors[:MAX_ERRORS]
    ]


def error_bodies(errors: Sequence[BaseException]) -> list[dict[str, Any]]:
    """Several errors, as many as anybody reads."""
    return [error_body(error) for error in errors[:MAX_ERRORS]]


def _placed(body: dict[str, Any], error: GraphQLError) -> dict[str, Any]:
    """With the place in the document and in the answer, where there is one."""
    if error.locations:
        body["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path:
        body["path"] = list(error.path)
    return body


def _told(error: BaseException) -> tuple[str, str]:
    match error:
        case GraphQLError():
            return "BAD_REQUEST", error.message
        case DatabaseUnavailable():
            _log.error("The database failed: %s", error)
            return "UNAVAILABLE", "The database does not answer. Try again soon."
        case CdpError() if error.code in CODES:
            return error.code, str(error)
        case RecursionError():
            return "BAD_REQUEST", "The operation is nested too deep."
        case asyncpg.QueryCanceledError() | TimeoutError():
            return "TIMEOUT", "The operation took too long. Ask for less at once."
        case DBAPIError() if error.orig is not None:
            return _told(error.orig.__cause__ or error.orig)
        case OSError() | asyncpg.InterfaceError() | asyncpg.PostgresConnectionError():
            _log.error("The database does not answer: %s", error)
            return "UNAVAILABLE", "The database does not answer. Try again soon."
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return "UNAVAILABLE", "Others were changing the same. Try again."
        case asyncpg.CannotConnectNowError() | asyncpg.TooManyConnectionsError():
            _log.error("The database takes no connection: %s", error)
            return "UNAVAILABLE", "The database takes no connection. Try again soon."
        case _:
            number = secrets.token_hex(6)
            _log.error("Unexpected error %s", number, exc_info=error)
            return "INTERNAL", f"Something went wrong. The log knows it as {number}."
