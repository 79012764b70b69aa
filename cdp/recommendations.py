"""Recommendations: which articles the same customers buy, and what follows for one of them.

Two articles are a pair where more customers bought both than chance would have it. The lift is
n * both / (one * other): how many bought both, per as many as if the one said nothing of the other,
of the n customers who bought any. Few customers make a high lift by accident, so pairs are scored
by the lift that would be left one standard deviation below (of a count, its root):
lift * (1 - 1 / root of both). Association by lift: Brin, Motwani, Ullman and Tsur, Dynamic Itemset
Counting and Implication Rules for Market Basket Data, SIGMOD 1997.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Select,
    Text,
    and_,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    select,
    table,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.order_days import qualifies
from cdp.tables import article, article_pair, order_line, product, sales_order, source_profile
from cdp.workspace import Workspace

LEAST_CUSTOMERS: Final = 3  # who bought both; two are chance
MAX_PAIRS: Final = 20  # kept of each article, the best
MAX_ARTICLES: Final = 100
"""Of one customer, the latest: a walk-in account that buys everything says nothing of taste, and
makes as many pairs as the square of this."""

MAX_ORDERS: Final = 500  # of one customer, the latest, that a recommendation looks at
REFRESH_LOCK: Final = 7_365_010  # any number, the same for all who count pairs

_BOUGHT: Final = table(
    "bought",
    column("customer_id"),
    column("code", Text),
    column("title", Text),
    column("category", Text),
    schema="pg_temp",
)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many articles have a pair, and how many pairs are kept."""

    articles: int
    pairs: int


# What was bought ------------------------------------------------------------------------------


def _code(
    source_id: ColumnElement[Any], key: ColumnElement[Any], *skus: ColumnElement[Any]
) -> ColumnElement[str]:
    """What makes an article the same in every source: its SKU; without one its product's key."""
    sku = func.coalesce(*(func.nullif(func.btrim(each), "") for each in skus), null())
    return func.coalesce(
        literal("sku:", Text).concat(sku),
        literal("product:", Text).concat(cast(source_id, Text)).concat(":").concat(key),
        type_=Text,
    )


def _counts(
    order: FromClause, workspace: Workspace, as_of: ColumnElement[datetime]
) -> ColumnElement[bool]:
    """The order is there, and qualifies."""
    return and_(order.c.deleted_at.is_(None), qualifies(order, workspace, as_of))


def _articles_in(orders: FromClause) -> tuple[FromClause, ColumnElement[str], FromClause]:
    """The lines of orders (`source_id`, `key`), the code of a line's article, and the line."""
    line, sold = order_line.alias(), product.alias()
    joined = orders.join(
        line,
        and_(
            line.c.source_id == orders.c.source_id,
            line.c.order_key == orders.c.key,
            line.c.deleted_at.is_(None),
            func.coalesce(line.c.quantity, 1) > 0,  # what was given back is no purchase
        ),
    ).outerjoin(sold, and_(sold.c.source_id == line.c.source_id, sold.c.key == line.c.product_id))
    code = _code(line.c.source_id, line.c.product_id, line.c.sku, sold.c.sku)
    return joined, code, line


# Counting -------------------------------------------------------------------------------------


async def refresh(connection: AsyncConnection, workspace: Workspace) -> Counted:
    """Count all pairs anew from the orders of everybody; readers see the former until it commits.

    A function of the records alone: twice gives the same. Costs a pass over all lines.
    """
    await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({REFRESH_LOCK})")
    await connection.exec_driver_sql(
        "CREATE TEMPORARY TABLE bought (customer_id bigint, code text, title text, category text)"
        " ON COMMIT DROP"
    )
    rows = _bought_by_all(workspace)
    await connection.execute(insert(_BOUGHT).from_select(list(rows.selected_columns.keys()), rows))
    await connection.exec_driver_sql("ANALYZE pg_temp.bought")
    await connection.execute(delete(article_pair))
    await connection.execute(delete(article))
    pairs = _best_pairs()
    names = list(pairs.selected_columns.keys())
    kept = await connection.execute(insert(article_pair).from_select(names, pairs))
    told = _articles_of_pairs()
    names = list(told.selected_columns.keys())
    articles = await connection.execute(insert(article).from_select(names, told))
    await connection.exec_driver_sql("DROP TABLE pg_temp.bought")
    return Counted(articles.rowcount, kept.rowcount)


def _bought_by_all(workspace: Workspace) -> Select[Any]:
    """One row per customer and article, of each customer the latest MAX_ARTICLES."""
    o, profile = sales_order.c, source_profile.alias()
    orders = (
        select(o.source_id, o.key, o.placed_at, profile.c.customer_id)
        .join(profile, profile.c.id == o.source_profile_id)
        .where(_counts(sales_order, workspace, func.now()))
        .offset(0)  # once per order, not per line
        .subquery("orders")
    )
    joined, code, line = _articles_in(orders)
    each = (
        select(
            orders.c.customer_id,
            code.label("code"),
            func.max(line.c.title).label("title"),
            func.max(line.c.category).label("category"),
            func.max(orders.c.placed_at).label("at"),
        )
        .select_from(joined)
        .where(code.is_not(None))
        .group_by(orders.c.customer_id, code)
        .subquery("each")
    )
    e = each.c
    place = func.row_number().over(partition_by=e.customer_id, order_by=[e.at.desc(), e.code])
    ranked = select(each, place.label("place")).subquery("ranked")
    r = ranked.c
    return select(r.customer_id, r.code, r.title, r.category).where(r.place <= MAX_ARTICLES)


def _best_pairs() -> Select[Any]:
    """The rows of `article_pair`: each pair both ways round, the best of each article.

    What is sold no more leads to others, and nothing leads to it.
    """
    people = select(func.count(_BOUGHT.c.customer_id.distinct())).scalar_subquery()
    sold = (
        select(_BOUGHT.c.code, func.count().label("customers"))
        .group_by(_BOUGHT.c.code)
        .having(func.count() >= LEAST_CUSTOMERS)
        .cte("sold")
    )
    one, other = _BOUGHT.alias("one"), _BOUGHT.alias("other")
    both = (
        select(one.c.code.label("left"), other.c.code.label("right"), func.count().label("both"))
        .select_from(
            one.join(
                other,
                and_(other.c.customer_id == one.c.customer_id, other.c.code > one.c.code),
            )
        )
        .where(one.c.code.in_(select(sold.c.code)), other.c.code.in_(select(sold.c.code)))
        .group_by(one.c.code, other.c.code)
        .having(func.count() >= LEAST_CUSTOMERS)
        .cte("both")
    )
    left, right = sold.alias("left"), sold.alias("right")
    count = cast(both.c.both, Double)
    lift = count * people / (left.c.customers * right.c.customers)
    scored = (
        select(
            both.c.left,
            both.c.right,
            both.c.both,
            lift.label("lift"),
            (lift * (1 - 1 / func.sqrt(count))).label("score"),
        )
        .select_from(
            both.join(left, left.c.code == both.c.left).join(right, right.c.code == both.c.right)
        )
        .cte("scored")
    )
    c = scored.c
    ways = union_all(
        select(c.left.label("code"), c.right.label("other_code"), c.both, c.lift, c.score),
        select(c.right, c.left, c.both, c.lift, c.score),
    ).subquery("ways")
    w = ways.c
    rank = func.row_number().over(partition_by=w.code, order_by=[w.score.desc(), w.other_code])
    ranked = (
        select(
            w.code,
            rank.label("rank"),
            w.other_code,
            w.both.label("customers"),
            w.lift,
            w.score,
        )
        .where(w.score > 1, w.other_code.not_in(_withdrawn()))
        .subquery("ranked")
    )
    return select(ranked).where(ranked.c.rank <= MAX_PAIRS)


def _withdrawn() -> Select[Any]:
    """The codes of articles that no source sells any more: each of their records was deleted.

    What has no record is known from lines alone, and may well be sold.
    """
    p = product.c
    code = _code(p.source_id, p.key, p.sku)
    return select(code).group_by(code).having(func.bool_and(p.deleted_at.is_not(None)))


def _articles_of_pairs() -> Select[Any]:
    """The rows of `article`, as a product's record tells them, else as the lines do.

    Of several records of one article the first source's speaks, then the first key.
    """
    p = product.c
    record_code = _code(p.source_id, p.key, p.sku)
    records = (
        select(record_code.label("code"), p.title, p.category, p.price, p.currency)
        .ext(distinct_on(record_code))
        .where(p.deleted_at.is_(None))
        .order_by(record_code, p.source_id, p.key)
        .subquery("records")
    )
    b = _BOUGHT.c
    bought = (
        select(
            b.code,
            func.max(b.title).label("title"),
            func.max(b.category).label("category"),
            func.count().label("customers"),
        )
        .where(b.code.in_(select(article_pair.c.code)))
        .group_by(b.code)
        .subquery("bought")
    )
    r = records.c
    sku = func.nullif(func.regexp_replace(bought.c.code, "^product:.*$", ""), "")
    return select(
        bought.c.code,
        func.substr(sku, len("sku:") + 1).label("sku"),
        func.coalesce(r.title, bought.c.title).label("title"),
        func.coalesce(r.category, bought.c.category).label("category"),
        r.price,
        r.currency,
        bought.c.customers,
    ).select_from(bought.outerjoin(records, r.code == bought.c.code))


# For one customer -----------------------------------------------------------------------------


def recommended(
    profiles: Select[Any], workspace: Workspace, as_of: ColumnElement[datetime], count: int
) -> Select[Any]:
    """What the owner of the given profiles (ids, correlated) may want next, the best first.

    One row per article that was not bought yet and pairs with one that was: `other_code`, `score`,
    and because of which purchase: `code`, `bought_at`, `lift`, `customers`. Of several purchases
    the one of the best score, then the latest, then the first in the alphabet.
    """
    bought, also = (_bought_by(profiles, workspace, as_of) for _ in range(2))
    pair = article_pair.alias()
    because = (
        select(
            pair.c.other_code,
            pair.c.score,
            pair.c.lift,
            pair.c.customers,
            pair.c.computed_at,
            bought.c.code,
            bought.c.bought_at,
        )
        .ext(distinct_on(pair.c.other_code))
        .select_from(
            bought.join(pair, pair.c.code == bought.c.code).outerjoin(
                also, also.c.code == pair.c.other_code
            )
        )
        .where(also.c.code.is_(None))
        .order_by(pair.c.other_code, pair.c.score.desc(), bought.c.bought_at.desc(), bought.c.code)
        .subquery()
    )
    return select(because).order_by(because.c.score.desc(), because.c.other_code).limit(count)


def _bought_by(
    profiles: Select[Any], workspace: Workspace, as_of: ColumnElement[datetime]
) -> FromClause:
    """The articles in the latest orders of the owner of some profiles, each with when it was."""
    order = sales_order.alias()
    orders = (
        select(order.c.source_id, order.c.key, order.c.placed_at)
        .where(order.c.source_profile_id.in_(profiles), _counts(order, workspace, as_of))
        .order_by(order.c.placed_at.desc(), order.c.source_id, order.c.key)
        .limit(MAX_ORDERS)
        .subquery()
    )
    joined, code, _ = _articles_in(orders)
    return (
        select(code.label("code"), func.max(orders.c.placed_at).label("bought_at"))
        .select_from(joined)
        .where(code.is_not(None))
        .group_by(code)
        .subquery()
    )
