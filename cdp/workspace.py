"""Settings of the whole workspace: currency, region for phone numbers, time zone of its days."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import BadInput


@dataclass(frozen=True, slots=True)
class Workspace:
    """The settings in force. A change of `currency` or `timezone` asks for facts folded anew."""

    currency: str = "EUR"
    region: str = "GB"
    timezone: str = "UTC"


KEYS: tuple[str, ...] = tuple(asdict(Workspace()))


async def read_workspace(
    connection: AsyncConnection, overrides: Mapping[str, str] | None = None
) -> Workspace:
    """What is stored, under what the environment says; raises BadInput for a value out of range."""
    rows = await connection.execute(select(tables.workspace.c.key, tables.workspace.c.value))
    stored = {key: value for key, value in rows if key in KEYS}
    given = {key: check_value(key, value) for key, value in (overrides or {}).items()}
    return Workspace(**{**stored, **given})


async def write_setting(connection: AsyncConnection, key: str, value: str | None) -> None:
    """Store one setting; None brings back its default. Raises BadInput."""
    if value is None:
        await connection.execute(
            delete(tables.workspace).where(tables.workspace.c.key == _known(key))
        )
        return
    row = {"key": key, "value": check_value(key, value)}
    await connection.execute(
        insert(tables.workspace)
        .values(row)
        .on_conflict_do_update(index_elements=["key"], set_={"value": row["value"]})
    )


def check_value(key: str, value: str) -> str:
    """The value in its canonical spelling. Raises BadInput."""
    match _known(key):
        case "currency":
            if len(value) != 3 or not value.isascii() or not value.isalpha():
                raise BadInput(f"{value!r} is not a currency.", todo="Give ISO 4217, such as EUR.")
            return value.upper()
        case "region":
            if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
                raise BadInput(f"{value!r} is not a region.", todo="Give ISO 3166, such as GB.")
            return value.upper()
        case _:
            try:
                return ZoneInfo(value).key
            except (ZoneInfoNotFoundError, ValueError):
                raise BadInput(
                    f"{value!r} is not a time zone.", todo="Give one such as Europe/Berlin."
                ) from None


def _known(key: str) -> str:
    if key not in KEYS:
        raise BadInput(f"There is no setting {key!r}.", todo=f"There are: {', '.join(KEYS)}.")
    return key
