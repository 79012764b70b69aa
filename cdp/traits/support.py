"""What a customer needed from the support queue, and how long it took."""

from typing import Any

from sqlalchemy import ColumnElement, Numeric, func

from cdp.traits.trait import Group, Scope, trait


def _hours(hours: ColumnElement[Any]) -> ColumnElement[float]:
    return func.round(hours, 1, type_=Numeric)


@trait(unit="count")
def ticket_count(s: Scope) -> ColumnElement[int]:
    """Cases that the customer opened; 0 without any."""
    return s.fact.c.ticket_count


@trait(unit="count")
def open_tickets(s: Scope) -> ColumnElement[int]:
    """Of them, those that are neither resolved nor, by their status, settled; 0 without any.

    A status such as `open` or `pending` has the last word: who opens a case again seldom takes back
    when it was resolved.
    """
    return s.fact.c.open_tickets


@trait(unit="hours")
def median_first_response_hours(s: Scope) -> ColumnElement[float]:
    """The median from opening to the first answer, of those answered; null without any.

    An answer dated before the opening is left out.
    """
    return _hours(s.fact.c.median_first_response_hours)


@trait(unit="hours")
def median_resolution_hours(s: Scope) -> ColumnElement[float]:
    """The median from opening to resolution, of those resolved and not open; null without any.

    A resolution dated before the opening is left out.
    """
    return _hours(s.fact.c.median_resolution_hours)


SERVICE = Group(
    "service",
    "What the customer needed from the support queue.",
    (ticket_count, open_tickets, median_first_response_hours, median_resolution_hours),
    streams=("tickets",),
)
