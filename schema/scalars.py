"""The scalars of the graph: moments, days, exact decimals and JSON, as text that loses nothing."""

from collections.abc import Mapping
from decimal import Decimal as PythonDecimal
from typing import Final, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

DateTime = NewType("DateTime", str)
Date = NewType("Date", str)
Decimal = NewType("Decimal", str)
Json = NewType("Json", object)
BigInt = NewType("BigInt", int)

MAX_SHOWN: Final = 80  # characters of what was given: enough to find it


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"{_shown(value)} is not text. Write it in quotes.")
    return value


def _decimal(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _no_decimal(value)
    try:
        return str(PythonDecimal(str(value)))
    except ArithmeticError:
        raise _no_decimal(value) from None


def _no_decimal(value: object) -> GraphQLError:
    return GraphQLError(f'{_shown(value)} is not a decimal number. Write "129.90".')


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


SCALARS: Final[Mapping[object, ScalarDefinition]] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="A moment as ISO 8601 with its offset: `2026-01-31T12:00:00+00:00`. As input"
        " also a day alone, which stands for its start in the workspace's time zone, and as `asOf`"
        " for its end.",
        parse_value=_text,
    ),
    Date: strawberry.scalar(
        name="Date", description="A day as ISO 8601: `2026-01-31`.", parse_value=_text
    ),
    Decimal: strawberry.scalar(
        name="Decimal",
        description='An exact decimal number, given as text: `"129.90"`. Do not read money into'
        " a float. Money that was computed in the workspace's currency has the decimal places of"
        " its smallest unit, rounded half away from zero; filters and orders go by what was"
        " computed. As input also a number.",
        parse_value=_decimal,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number that may be beyond the 32 bits of Int, as a JSON number: points"
        " and their sums. Exact in JavaScript up to 2^53.",
    ),
    Json: strawberry.scalar(name="JSON", description="Any JSON value, as it is."),
}
