"""Settings of the whole workspace: currency, region for phone numbers, time zone of its days."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import phonenumbers
from sqlalchemy import Integer, Text, cast, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.errors import BadInput, SettingsChanged
from cdp.money import digits_of


@dataclass(frozen=True, slots=True)
class Workspace:
    """The settings in force. A change of `currency` or `timezone` asks for facts folded anew.

    A change of `horizon_days`, `discount_rate` (of a year: 0.1) or `margin` (the share of net spend
    that counts as value) asks for scores made anew. `revision` counts the changes of what is
    stored: who was told the settings of an older one must not write by them.
    """

    currency: str = "EUR"
    region: str = "GB"
    timezone: str = "UTC"
    horizon_days: int = 365
    discount_rate: float = 0.0
    margin: float = 1.0
    revision: int = field(default=0, compare=False)

    @property
    def money_digits(self) -> int:
        """Decimal places of the currency's smallest unit."""
        return digits_of(self.currency)


MONEY_LOCK: Final = 7_365_003  # any number, the same for all who ingest

REVISION: Final = "revision"
KEYS: tuple[str, ...] = tuple(name for name in asdict(Workspace()) if name != REVISION)


async def read_workspace(
    connection: AsyncConnection, overrides: Mapping[str, str] | None = None
) -> Workspace:
    """What is stored, under what the environment says; raises BadInput for a value out of range."""
    rows = await connection.execute(select(tables.workspace.c.key, tables.workspace.c.value))
    stored = {key: value for key, value in rows if key in KEYS or key == REVISION}
    given = {key: check_value(key, value) for key, value in (overrides or {}).items()}
    return _workspace({**stored, **given})


def _workspace(values: Mapping[str, str]) -> Workspace:
    """From canonical text."""
    return msgspec.convert(values, Workspace, strict=False)


async def take_turn(connection: AsyncConnection, *, alone: bool) -> None:
    """Wait for whoever changes what money is worth; `alone` for whoever does: rates, settings.

    Held until the transaction ends. Without it a rate and an order that arrive at the same moment
    would miss each other for ever.
    """
    lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    await connection.exec_driver_sql(f"SELECT {lock}({MONEY_LOCK})")


async def is_in_force(connection: AsyncConnection, workspace: Workspace) -> bool:
    """Whether these are still the settings; of use to who has its turn, and for as long."""
    c = tables.workspace.c
    revision = await connection.scalar(select(c.value).where(c.key == REVISION))
    return int(revision or 0) == workspace.revision


async def require_in_force(connection: AsyncConnection, workspace: Workspace) -> None:
    """Raise SettingsChanged where the settings are others by now; for who has its turn."""
    if not await is_in_force(connection, workspace):
        raise SettingsChanged


async def write_setting(connection: AsyncConnection, key: str, value: str | None) -> None:
    """Store one setting; None brings back its default. Raises BadInput.

    Whoever was told the old settings, such as a run under way, must read them anew: what it would
    write by them is refused with SettingsChanged.
    """
    await take_turn(connection, alone=True)
    following = cast(cast(tables.workspace.c.value, Integer) + 1, Text)
    await connection.execute(
        insert(tables.workspace)
        .values(key=REVISION, value="1")
        .on_conflict_do_update(index_elements=["key"], set_={"value": following})
    )
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


FOLDED_IN: Final = "folded_in"
"""Beside the settings: the currency and time zone of the days that a change of them has stored."""


def folded_in(currency: str, timezone: str) -> str:
    """How that is written."""
    return f"{currency} {timezone}"


async def note_folding(connection: AsyncConnection, workspace: Workspace) -> None:
    """Write down what all days are about to be folded in."""
    row = {"key": FOLDED_IN, "value": folded_in(workspace.currency, workspace.timezone)}
    await connection.execute(
        insert(tables.workspace)
        .values(row)
        .on_conflict_do_update(index_elements=["key"], set_={"value": row["value"]})
    )


def check_value(key: str, value: str) -> str:
    """The value in its canonical spelling. Raises BadInput."""
    match _known(key):
        case "currency":
            if value.upper() not in CURRENCIES:
                raise BadInput(f"{value!r} is not a currency.", todo="Give ISO 4217, such as EUR.")
            return value.upper()
        case "region":
            if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
                raise BadInput(f"{value!r} is not a region.", todo="Give ISO 3166, such as GB.")
            return value.upper()
        case "horizon_days" | "discount_rate" | "margin":
            return _check_number(key, value)
        case _:
            try:
                return ZoneInfo(value).key
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise BadInput(
                    f"{value!r} is not a time zone.", todo="Give one such as Europe/Berlin."
                ) from None


CURRENCIES: Final = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
    BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
    GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW
    KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD
    NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED
    VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()
)
"""What a workspace can count its money in: the currencies in circulation, by ISO 4217.

A record may be in any other: one that went out of use, or that a shop made up for its vouchers.
"""

_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "horizon_days": (1, 3_650),  # ten years: no model of a shop looks further
    "discount_rate": (0, 10),
    "margin": (0, 1),
}


def _check_number(key: str, value: str) -> str:
    low, high = _RANGES[key]
    is_whole = key == "horizon_days"
    try:
        number = int(value) if is_whole else float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        kind = "a whole number" if is_whole else "a number"
        raise BadInput(f"{value!r} is not {key}.", todo=f"Give {kind} from {low} to {high}.")
    return str(number)


def _known(key: str) -> str:
    if key not in KEYS:
        raise BadInput(f"There is no setting {key!r}.", todo=f"There are: {', '.join(KEYS)}.")
    return key
