"""A case in the support queue, as the source that keeps it tells of it."""

import strawberry

from cdp import tables
from schema.declare import Declared
from schema.edges import Arguments, Leaf, Row, Scene, Slice, column, planned
from schema.ids import global_id
from schema.scalars import DateTime
from schema.types.connection import connection
from schema.types.records import newest_first, shown_key, source_name


@strawberry.type(description="A case in the support queue.")
class Ticket:
    """A row of ticket."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("Ticket", row.table.c.source_id, shown_key(row))),
        "Unique among tickets; good as a key of a list. Another when masked.",
    )
    source: str = planned(Leaf(source_name), "The name of the source that tells of it.")
    subject: str | None = column("subject", "What it is about. Personal: may be masked.")
    status: str | None = column("status", "As the source tells it.")
    priority: str | None = column("priority", "As the source tells it.")
    channel: str | None = column("channel", "How the customer wrote.")
    opened_at: DateTime = column("opened_at", "When it was opened.")
    first_response_at: DateTime | None = column(
        "first_response_at", "When it was first answered; null before."
    )
    resolved_at: DateTime | None = column(
        "resolved_at", "When it was resolved; null before. One that was opened again may keep it."
    )


TicketConnection: Declared = connection("Ticket", Ticket, "A page of tickets, newest first.")


def customer_tickets(customer: Row | None, _: Scene, arguments: Arguments) -> Slice:
    """A customer's tickets, the one opened last first."""
    assert customer is not None
    return newest_first(
        customer,
        arguments,
        tables.ticket,
        type_name="Ticket",
        tag="tickets",
        occurred="opened_at",
    )
