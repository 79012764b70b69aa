"""API keys, and what each role may see and ask for; a key itself is told once and never stored."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import BadInput, NotFound
from cdp.tables import api_key, workspace

KEY_PREFIX: Final = "cdp_"  # lets a scanner for leaked secrets know one
KEY_BYTES: Final = 32
MASKING_PEPPER: Final = "masking_pepper"
"""The row of `workspace` with the secret of the hashes that masked roles see in place of keys."""

WITHOUT_KEY: Final = "local"
"""The name of whoever needs no key: a person at the machine itself."""

MAX_KEY_CHARACTERS: Final = 256  # a longer one is nobody's and not worth hashing
MAX_NAME_CHARACTERS: Final = 200
MAX_LISTED: Final = 10_000  # keys of one workspace, revoked ones included


class Role(Enum):
    """Who a key is for."""

    FRONTEND = "frontend"
    ANALYST = "analyst"
    STEWARD = "steward"
    CONNECTOR = "connector"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """Who asks, what is shown, and how much at once.

    `may_read_everything` goes beyond customers and segments: sources, syncs, reviews.
    `may_decide`: merges, splits, and all else that a steward changes; `may_ingest`: to hand records
    over. `most_first` bounds a page, of which a role that does not read has 0, and `most_cost` one
    operation. `name` is that of the key: what the
    viewer changes is kept under it.
    """

    role: Role
    may_read_customers: bool
    may_read_everything: bool
    may_see_personal: bool
    may_decide: bool
    may_ingest: bool
    most_first: int
    most_cost: int
    name: str = WITHOUT_KEY

    @property
    def is_masked(self) -> bool:
        """Whether personal data read as null and may not be named."""
        return not self.may_see_personal


VIEWERS: Final[Mapping[Role, Viewer]] = {
    viewer.role: viewer
    for viewer in (
        Viewer(
            role=Role.FRONTEND,
            may_read_customers=True,
            may_read_everything=False,
            may_see_personal=False,
            may_decide=False,
            may_ingest=False,
            most_first=100,
            most_cost=1_000,
        ),
        Viewer(
            role=Role.ANALYST,
            may_read_customers=True,
            may_read_everything=True,
            may_see_personal=False,
            may_decide=False,
            may_ingest=False,
            most_first=1_000,
            most_cost=10_000,
        ),
        Viewer(
            role=Role.STEWARD,
            may_read_customers=True,
            may_read_everything=True,
            may_see_personal=True,
            may_decide=True,
            may_ingest=False,
            most_first=250,
            most_cost=5_000,
        ),
        Viewer(
            role=Role.CONNECTOR,
            may_read_customers=False,
            may_read_everything=False,
            may_see_personal=False,
            may_decide=False,
            may_ingest=True,
            most_first=0,
            most_cost=1_000,
        ),
        Viewer(
            role=Role.ADMIN,
            may_read_customers=True,
            may_read_everything=True,
            may_see_personal=True,
            may_decide=True,
            may_ingest=True,
            most_first=1_000,
            most_cost=10_000,
        ),
    )
}
"""The roles, as viewers."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What is told about a stored key; `revoked_at` is null while it opens."""

    id: int
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None


async def create_key(connection: AsyncConnection, role: Role, name: str) -> tuple[KeyInfo, str]:
    """Store a new key and tell it, this once. Raises BadInput for a name that is no name."""
    name = name.strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise BadInput(f"{name[:40]!r} is no name for a key.", todo="Say what the key is for.")
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    await _keep_masking_pepper(connection)
    rows = await connection.execute(
        insert(api_key)
        .values(name=name, role=role.value, digest=_digest(key))
        .returning(api_key.c.id, api_key.c.created_at)
    )
    key_id, created_at = rows.one()
    return KeyInfo(key_id, name, role, created_at, None), key


async def _keep_masking_pepper(connection: AsyncConnection) -> None:
    """Made with the first key: before there is one, nobody is masked."""
    row = {"key": MASKING_PEPPER, "value": secrets.token_urlsafe(KEY_BYTES)}
    await connection.execute(upsert(workspace).values(row).on_conflict_do_nothing())


async def list_keys(connection: AsyncConnection) -> Sequence[KeyInfo]:
    """All keys, oldest first, revoked ones included."""
    rows = await connection.execute(
        select(
            api_key.c.id,
            api_key.c.name,
            api_key.c.role,
            api_key.c.created_at,
            api_key.c.revoked_at,
        )
        .order_by(api_key.c.id)
        .limit(MAX_LISTED)
    )
    return [
        KeyInfo(row.id, row.name, Role(row.role), row.created_at, row.revoked_at) for row in rows
    ]


async def revoke_key(connection: AsyncConnection, key_id: int) -> None:
    """Close a key for good; again changes nothing. Raises NotFound."""
    changed = await connection.execute(
        update(api_key)
        .where(api_key.c.id == key_id)
        .values(revoked_at=func.coalesce(api_key.c.revoked_at, func.now()))
    )
    if changed.rowcount == 0:
        raise NotFound(f"There is no key {key_id}.", todo="Run cdp key list.")


async def authenticate(connection: AsyncConnection, key: str) -> Viewer | None:
    """Who asks with a key; None where it is unknown or revoked."""
    if not key.startswith(KEY_PREFIX) or len(key) > MAX_KEY_CHARACTERS:
        return None
    rows = await connection.execute(
        select(api_key.c.role, api_key.c.name).where(
            api_key.c.digest == _digest(key), api_key.c.revoked_at.is_(None)
        )
    )
    found = rows.one_or_none()
    return None if found is None else replace(VIEWERS[Role(found.role)], name=found.name)


async def any_key_exists(connection: AsyncConnection) -> bool:
    """Whether a key was ever made, revoked ones too: then nobody enters without one."""
    return await connection.scalar(select(api_key.c.id).limit(1)) is not None


def _digest(key: str) -> bytes:
    """One way and quick: 32 random bytes need no slow hash, and each request pays it."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
