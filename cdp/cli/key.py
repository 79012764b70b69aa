"""`cdp key`: the API's keys; each is printed once, when it is made."""

import click

from cdp.cli.session import Session, runs
from cdp.keys import KeyInfo, Role, create_key, list_keys, revoke_key


@click.group("key")
def key() -> None:
    """Make, list and revoke the keys of the API."""


@key.command("create")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What the key opens.",
)
@click.option("--name", help="What the key is for (default: its role).")
@runs
async def create(session: Session, role: str, name: str | None) -> None:
    """Make a key and print it, this once."""
    async with session.database() as database, database.transaction() as connection:
        info, secret = await create_key(connection, Role(role), role if name is None else name)
    session.show({**_described(info), "key": secret}, secret)
    session.console.print(
        f"Key {info.id} ({info.role.value}). It is not stored and cannot be shown again."
    )


@key.command("list")
@runs
async def list_(session: Session) -> None:
    """List the keys, without what opens."""
    async with session.database() as database, database.read_only() as connection:
        keys = await list_keys(connection)
    lines = [
        f"{info.id}\t{info.role.value}\t{info.name}\t{info.created_at:%Y-%m-%d}\t"
        + (f"revoked {info.revoked_at:%Y-%m-%d}" if info.revoked_at else "in use")
        for info in keys
    ]
    session.show([_described(info) for info in keys], "\n".join(lines) or "No keys.")


@key.command("revoke")
@click.argument("key_id", metavar="ID", type=click.IntRange(1, 2**31 - 1))
@runs
async def revoke(session: Session, key_id: int) -> None:
    """Close a key for good."""
    async with session.database() as database, database.transaction() as connection:
        await revoke_key(connection, key_id)
    session.show({"revoked": key_id}, f"Key {key_id} is revoked.")


def _described(info: KeyInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "role": info.role.value,
        "created_at": info.created_at,
        "revoked_at": info.revoked_at,
    }
