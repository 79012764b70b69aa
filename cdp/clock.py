"""How time alone changes whether a condition holds: not at all, with the day, or at any moment."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.functions import Function

from cdp.traits.trait import Scope

SHARE_OF_WINDOW: Final = 100
"""A condition on the last N may be told late by N / 100: nobody notices half an hour in 30 days."""

SHORTEST_LAG_SECONDS: Final = 60  # however short the window: everybody is looked at each time
LONGEST_LAG_SECONDS: Final = 3_600  # however long the window


@dataclass(frozen=True, slots=True)
class Clock:
    """When time alone can change a condition.

    `is_daily`: when the workspace's day ends. `lag_seconds`: at any moment, and being late by as
    many seconds is good enough; None: at no moment within the day.
    """

    is_daily: bool = False
    lag_seconds: int | None = None

    def __or__(self, other: "Clock") -> "Clock":
        """Of two conditions together."""
        lags = [one for one in (self.lag_seconds, other.lag_seconds) if one is not None]
        return Clock(self.is_daily or other.is_daily, min(lags, default=None))

    def next_after(self, moment: datetime, timezone: str) -> datetime | None:
        """When to look again; None where time alone changes nothing."""
        found = []
        if self.is_daily:
            local = moment.astimezone(ZoneInfo(timezone))
            tomorrow = local.date() + timedelta(days=1)
            found.append(datetime.combine(tomorrow, time(), ZoneInfo(timezone)))
        if self.lag_seconds is not None:
            found.append(moment + timedelta(seconds=self.lag_seconds))
        return min(found, default=None)


def clock_of(
    expression: ColumnElement[Any], scope: Scope, window_seconds: int | None = None
) -> Clock:
    """What an expression over a scope asks of the clock, read from the expression itself.

    `window_seconds` is how far back it looks from the moment, where it does.
    """
    found = Clock()
    waiting: list[ClauseElement] = [expression]
    while waiting:
        node = waiting.pop()
        if node is scope.as_of:
            found |= Clock(lag_seconds=_lag(window_seconds))
        elif isinstance(node, Function) and node.name == "date" and _reads(node, scope):
            found |= Clock(is_daily=True)
        else:
            waiting += _children(node)
    return found


def _reads(node: ClauseElement, scope: Scope) -> bool:
    return node is scope.as_of or any(_reads(child, scope) for child in _children(node))


def _children(node: ClauseElement) -> list[ClauseElement]:
    return list(node.get_children())


def _lag(window_seconds: int | None) -> int:
    wanted = (window_seconds or 0) // SHARE_OF_WINDOW
    return max(SHORTEST_LAG_SECONDS, min(wanted, LONGEST_LAG_SECONDS))
