"""API keys: told once, found by digest, closed for good."""

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.errors import BadInput, NotFound
from cdp.keys import (
    VIEWERS,
    Role,
    any_key_exists,
    authenticate,
    create_key,
    list_keys,
    revoke_key,
)
from cdp.tables import api_key

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("role", list(Role))
async def test_a_key_opens_as_the_role_it_was_made_for(
    connection: AsyncConnection, role: Role
) -> None:
    _, key = await create_key(connection, role, "shop window")
    viewer = await authenticate(connection, key)
    assert viewer is not None
    assert (viewer.role, viewer.name) == (role, "shop window")
    assert viewer.most_cost == VIEWERS[role].most_cost


async def test_the_key_itself_is_not_stored(connection: AsyncConnection) -> None:
    _, key = await create_key(connection, Role.ADMIN, "mine")
    row = (await connection.execute(select(api_key))).one()
    assert key.startswith("cdp_")
    assert key.encode() not in row.digest
    assert key not in str(tuple(row))


@pytest.mark.parametrize(
    "wrong",
    ["", "cdp_", "Bearer", "cdp_" + "a" * 43, "cdp_" + "a" * 10_000, "cdp_\0", "cdp_\ud800"],
)
async def test_what_is_no_key_opens_nothing(connection: AsyncConnection, wrong: str) -> None:
    await create_key(connection, Role.ADMIN, "mine")
    assert await authenticate(connection, wrong) is None


async def test_a_revoked_key_opens_nothing_and_stays_listed(connection: AsyncConnection) -> None:
    info, key = await create_key(connection, Role.STEWARD, "help desk")
    await revoke_key(connection, info.id)
    assert await authenticate(connection, key) is None
    (listed,) = await list_keys(connection)
    assert (listed.id, listed.role, listed.name) == (info.id, Role.STEWARD, "help desk")
    assert listed.revoked_at is not None


async def test_revoking_again_keeps_the_first_moment(connection: AsyncConnection) -> None:
    info, _ = await create_key(connection, Role.STEWARD, "help desk")
    await revoke_key(connection, info.id)
    before = await list_keys(connection)
    await revoke_key(connection, info.id)
    assert await list_keys(connection) == before


async def test_revoking_an_unknown_key_is_refused(connection: AsyncConnection) -> None:
    with pytest.raises(NotFound):
        await revoke_key(connection, 2_000_000_000)


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "two\nlines"])
async def test_a_key_has_a_name(connection: AsyncConnection, name: str) -> None:
    with pytest.raises(BadInput):
        await create_key(connection, Role.ADMIN, name)


async def test_any_key_exists_tells_a_revoked_one_too(connection: AsyncConnection) -> None:
    assert not await any_key_exists(connection)
    info, _ = await create_key(connection, Role.FRONTEND, "site")
    await revoke_key(connection, info.id)
    assert await any_key_exists(connection)


def test_every_role_has_its_viewer() -> None:
    assert set(VIEWERS) == set(Role)
    assert [role for role in Role if VIEWERS[role].may_see_personal] == [Role.STEWARD, Role.ADMIN]
    assert [role for role in Role if VIEWERS[role].may_decide] == [Role.STEWARD, Role.ADMIN]
    assert VIEWERS[Role.FRONTEND].most_first == 100
    assert VIEWERS[Role.FRONTEND].is_masked
    assert not VIEWERS[Role.CONNECTOR].may_read_customers
