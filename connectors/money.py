"""Amounts that a vendor writes as whole numbers of the smallest unit of a currency."""

from decimal import Decimal
from typing import Final

from connectors.base import Skip
from connectors.reading import Item

# ISO 4217, list one of 2024-06-25: the currencies whose smallest unit is not a hundredth.
NO_DECIMALS: Final = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
THREE_DECIMALS: Final = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])
FOUR_DECIMALS: Final = frozenset(["CLF", "UYW"])


def from_minor(amount: int, currency: str) -> Decimal:
    """1234 of EUR is 12.34, of JPY 1234, of KWD 1.234."""
    code = currency.upper()
    decimals = (
        0
        if code in NO_DECIMALS
        else 3
        if code in THREE_DECIMALS
        else 4
        if code in FOUR_DECIMALS
        else 2
    )
    return Decimal(amount).scaleb(-decimals)


def minor_money(item: Item, *path: str) -> Decimal | None:
    """The amount of `{"amount": 1234, "currency": "EUR"}` at the path; None where there is none.

    In whole units: 12.34. Raises Skip for an amount without a currency.
    """
    money = item.item(*path)
    amount = money.number("amount")
    if amount is None:
        return None
    currency = money.text("currency")
    if currency is None:
        raise Skip("An amount without its currency.", ".".join(path))
    return from_minor(amount, currency)
