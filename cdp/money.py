"""Amounts of money to the smallest unit of their currency: one rule for whatever is computed."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Integer, Numeric, case, cast, func

HUNDREDTHS: Final = 2  # decimal places of nearly every currency

_WHOLE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THOUSANDTHS: Final = "BHD IQD JOD KWD LYD OMR TND"
_OTHER_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_WHOLE.split(), 0),
    **dict.fromkeys(_THOUSANDTHS.split(), 3),
}
"""Of the currencies whose smallest unit is not a hundredth, by ISO 4217."""


def digits_of(currency: str) -> int:
    """Decimal places of the currency's smallest unit."""
    return _OTHER_DIGITS.get(currency, HUNDREDTHS)


def digits_of_each(currency: ColumnElement[Any]) -> ColumnElement[int]:
    """The same in SQL, of a column of currencies."""
    return case(_OTHER_DIGITS, value=currency, else_=HUNDREDTHS)


def to_smallest_unit(
    amount: ColumnElement[Any], digits: int | ColumnElement[int]
) -> ColumnElement[Any]:
    """An amount of money as it is told: to so many decimal places, half away from zero."""
    places = digits if isinstance(digits, int) else cast(digits, Integer)
    return func.round(cast(amount, Numeric), places, type_=Numeric)
