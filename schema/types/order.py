"""An order with its lines and refunds, in its own currency."""

from typing import Annotated, Any, Final

import strawberry
from sqlalchemy import ColumnElement, FromClause, Integer, func, select

from cdp import tables
from cdp.money import digits_of_each, to_smallest_unit
from cdp.order_days import given_back
from cdp.rows import ORDER_STATUSES
from schema.declare import Declared, enumeration
from schema.edges import (
    Arguments,
    Branch,
    Leaf,
    Many,
    One,
    Row,
    Scene,
    Slice,
    column,
    planned,
    row_of,
)
from schema.ids import exact, global_id
from schema.scalars import DateTime, Decimal
from schema.types.connection import connection
from schema.types.node import Node
from schema.types.records import (
    customer_of_profile,
    is_alive,
    money,
    newest_first,
    source_name,
    upper,
)

MOST_LINES: Final = 2_500  # a wholesale order has a thousand

OrderStatus: Declared = enumeration(
    "OrderStatus",
    "How far an order has come. Spellings of the sources are translated to these; an unknown one"
    " counts as COMPLETED. CANCELLED, FAILED, VOIDED, DRAFT and TEST orders are in no sum.",
    {status.upper(): None for status in sorted(ORDER_STATUSES)},
)


def order_key(order: Row) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """What finds an order: the number of its source, and its key there."""
    return order.table.c.source_id, order.table.c.key


def _children(order: Row, table: FromClause) -> ColumnElement[bool]:
    """The rows of a table that belong to an order and still exist."""
    source_id, key = order_key(order)
    return (
        (table.c.source_id == source_id) & (table.c.order_key == key) & table.c.deleted_at.is_(None)
    )


def _lines(order: Row, _: Arguments) -> Branch:
    line = tables.order_line.alias()
    query = (
        select()
        .select_from(line)
        .where(_children(order, line))
        .order_by(func.length(line.c.line), line.c.line, line.c.key)
    )
    return Branch("OrderLine", row_of(line, order.scene), query)


def _line_count(order: Row) -> ColumnElement[Any]:
    line = tables.order_line.alias()
    return select(func.count()).where(_children(order, line)).scalar_subquery()


def _refunds(order: Row, _: Arguments) -> Branch:
    refund = tables.refund.alias()
    query = (
        select()
        .select_from(refund)
        .where(_children(order, refund))
        .order_by(refund.c.refunded_at, refund.c.key)
    )
    return Branch("Refund", row_of(refund, order.scene), query)


def _refunded(order: Row) -> ColumnElement[Any]:
    """What was given back by the time of the request, in the order's currency.

    To its smallest unit, since what was given back in another one has no end of digits; as finely
    as the total, where that is finer.
    """
    o = order.table.c
    amount = given_back(order.table, order.scene.workspace, order.scene.as_of)
    digits = func.greatest(digits_of_each(o.currency), func.min_scale(o.total), type_=Integer)
    return exact(to_smallest_unit(amount, digits))


def customer_of(row: Row) -> Branch:
    """The customer to whom a row's source profile belongs."""
    return customer_of_profile(row.table.c.source_profile_id, row.scene)


@strawberry.type(description="One position of an order.")
class OrderLine:
    """A row of order_line."""

    title: str | None = column("title", "What was bought, as the source named it.")
    sku: str | None = column("sku", "The stock-keeping unit.")
    category: str | None = column("category", "The category, as the source tells it.")
    product_id: str | None = column("product_id", "The product's key in the source.")
    quantity: Decimal | None = planned(
        money("quantity"), "How many, or how much of what is weighed."
    )
    unit_price: Decimal | None = planned(money("unit_price"), "Of one, in the order's currency.")
    discount: Decimal | None = planned(
        money("discount"), "Taken off the whole line, in the order's currency."
    )


@strawberry.type(description="Money given back on an order.")
class Refund:
    """A row of refund."""

    key: str = column("key", "The refund's id in its source.")
    refunded_at: DateTime | None = column("refunded_at", "When the money was given back.")
    amount: Decimal | None = planned(money("amount"), "In the refund's currency.")
    currency: str | None = column("currency", "ISO 4217.")
    reason: str | None = column("reason", "As the source tells it. Personal: may be masked.")


@strawberry.type(description="A purchase, in its own currency.")
class Order(Node):
    """A row of sales_order."""

    id: strawberry.ID = planned(
        Leaf(lambda row: global_id("Order", *order_key(row))), "Opaque and lasting."
    )
    source: str = planned(Leaf(source_name), "The name of the source that tells of it.")
    key: str = column("key", "The order's id in its source.")
    placed_at: DateTime = column("placed_at", "When it was placed.")
    status: OrderStatus = planned(upper("status", "completed"), "How far it has come.")
    channel: str | None = column("channel", "Where it was placed, such as `web` or a shop's name.")
    currency: str = column("currency", "ISO 4217, of all amounts of the order.")
    total: Decimal = planned(money("total"), "What was to be paid, before refunds.")
    refunded: Decimal = planned(
        Leaf(_refunded), "What was given back of it, at the rates of its day."
    )
    discount: Decimal | None = planned(money("discount"), "Taken off the order; in the total.")
    tax: Decimal | None = planned(money("tax"), "In the total, where the source tells it.")
    shipping: Decimal | None = planned(money("shipping"), "In the total, if the source tells it.")
    updated_at: DateTime | None = column("updated_at", "When the source changed it last.")
    line_count: int = planned(Leaf(_line_count), "How many lines it has.")
    lines: list[OrderLine] = planned(
        Many(_lines, MOST_LINES), f"What was bought; the first {MOST_LINES}."
    )
    refunds: list[Refund] = planned(Many(_refunds), "What was given back; at most 250.")
    customer: Annotated["Customer", strawberry.lazy("schema.types.customer")] | None = planned(  # type: ignore[name-defined]  # noqa: F821
        One(customer_of), "Who bought; null for an order that names nobody."
    )


OrderConnection: Declared = connection("Order", Order, "A page of orders, newest first.")


def customer_orders(customer: Row | None, _: Scene, arguments: Arguments) -> Slice:
    """A customer's orders, newest first."""
    assert customer is not None
    return newest_first(
        customer,
        arguments,
        tables.sales_order,
        type_name="Order",
        tag="orders",
        occurred="placed_at",
    )


def find_order(scene: Scene, wanted: FromClause) -> Branch:
    """Orders by source and key."""
    order = tables.sales_order.alias()
    query = (
        select()
        .select_from(order, wanted)
        .where(
            order.c.source_id == wanted.c.part_0,
            order.c.key == wanted.c.part_1,
            is_alive(order, "placed_at", scene.as_of),
        )
    )
    return Branch("Order", row_of(order, scene), query)
