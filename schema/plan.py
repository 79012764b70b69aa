"""Turns an operation into statements: a query into one, a change or a feed into those it needs."""

from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
)
from sqlalchemy import ColumnElement, FromClause, Text, cast, func, select

from cdp.errors import BadInput, Forbidden
from schema.deeds import Deed
from schema.edges import Page, Root, Roots, Scene
from schema.feeds import Feed, after_number, batch_size
from schema.nodes import Nodes
from schema.objects import Columns, constant, pairs_object, row_object
from schema.pages import number, own
from schema.selection import Selection
from schema.statement import Statement, Step, Steps, Telling, compiled
from schema.visit import Visit, edge_of

DEED_PRICE: Final = 10  # a change locks, clusters and folds before its payload is read


def plan(
    selection: Selection, operation: OperationDefinitionNode, scene: Scene, *, is_walked: bool
) -> Statement:
    """Plan a query. `is_walked`: an executor will walk the answer, and wants its types.

    Raises BadInput and Forbidden for arguments that cannot be taken.
    """
    visit = Visit(selection, scene, is_walked)
    query = selection.schema.query_type
    assert query is not None
    columns: Columns = {}
    fields: list[_RootField] = []
    for key, nodes in selection.fields(query, [operation]).items():
        name = nodes[0].name.value
        if name == "__typename":
            columns[key] = constant(query.name)
        elif not name.startswith("__"):
            found = _root_field(visit, query.fields[name], nodes)
            columns[key] = found.value
            fields.append(found)
    price = sum(each.price for each in fields)
    # What a page did not find costs nothing in the end.
    actual = number(price)
    pages = [each.page for each in fields if each.page is not None]
    for page in pages:
        actual = actual - number(page.row_price) * page.rows.c.spared
    root = select(_bytes(pairs_object(columns)).label("data"), actual.label("actual"))
    root = root.select_from(*(page.rows for page in pages))
    reads_all = any(each.reads_all for each in fields)
    return compiled(root, visit.getters, price, reads_all=reads_all)


def plan_steps(
    selection: Selection, operation: OperationDefinitionNode, scene: Scene, *, is_walked: bool
) -> Steps:
    """Plan a mutation, whole, before anything of it is done: each payload is a statement.

    Raises Forbidden for what the role may not do, and as `plan` does.
    """
    mutation = selection.schema.mutation_type
    assert mutation is not None
    return {
        key: _step(Visit(selection, scene, is_walked), mutation, nodes)
        for key, nodes in selection.fields(mutation, [operation]).items()
    }


def plan_telling(
    selection: Selection, operation: OperationDefinitionNode, scene: Scene, *, is_walked: bool
) -> Telling:
    """Plan a subscription, as `plan` does. Raises BadInput where all that it asks is skipped."""
    assert not is_walked, "no feed leads to what is loaded"
    subscription = selection.schema.subscription_type
    assert subscription is not None
    fields = selection.fields(subscription, [operation])
    if not fields:
        raise BadInput("The subscription asks for nothing.")
    ((key, nodes),) = fields.items()  # a valid one has a single field
    graphql_field = subscription.fields[nodes[0].name.value]
    feed = edge_of(graphql_field)
    assert isinstance(feed, Feed), nodes[0].name.value
    visit = Visit(selection, scene, is_walked)
    return Telling(feed, _batch(visit, feed, graphql_field, key, nodes), graphql_field, nodes[0])


@dataclass(frozen=True, slots=True)
class _CountedPage:
    """The rows of a page, the price of each, and in `rows.c.spared` how many it did not find."""

    rows: FromClause
    row_price: int


@dataclass(frozen=True, slots=True)
class _RootField:
    """A field of a query. `page`: where rows that were not found cost nothing in the end."""

    value: ColumnElement[Any]
    price: int
    page: _CountedPage | None = None
    reads_all: bool = False


def _root_field(visit: Visit, graphql_field: GraphQLField, nodes: list[FieldNode]) -> _RootField:
    arguments = visit.arguments(graphql_field, nodes[0])
    edge = edge_of(graphql_field)
    match edge:
        case Root(branch, finding, reads_all):
            value, price = visit.one(branch(visit.scene, arguments), nodes)
            return _RootField(value, finding + price, reads_all=reads_all)
        case Roots(branch):
            return _RootField(*visit.many(branch(visit.scene, arguments), nodes))
        case Nodes():
            return _RootField(*visit.nodes(edge, arguments, nodes))
        case Page(slice_):
            page, size = visit.page(slice_(None, visit.scene, arguments), graphql_field, nodes)
            price = page.fixed_price + page.row_price * size
            if page.rows is None:
                return _RootField(select(page.value).scalar_subquery(), price)
            spared = number(size) - func.least(func.count(), number(size))
            found = select(page.value.label("value"), spared.label("spared"))
            rows = found.select_from(page.rows).subquery()
            return _RootField(rows.c.value, price, _CountedPage(rows, page.row_price))
        case _:
            raise AssertionError(f"{nodes[0].name.value} is no edge of the root")


def _step(visit: Visit, mutation: GraphQLObjectType, nodes: list[FieldNode]) -> Step | None:
    """One field of a mutation, with the statement of its payload; None for `__typename`."""
    name = nodes[0].name.value
    if name == "__typename":
        return None
    graphql_field = mutation.fields[name]
    deed = edge_of(graphql_field)
    assert isinstance(deed, Deed), name
    if not deed.may(visit.scene.viewer):
        raise Forbidden(f"{name} is not for the role {visit.scene.viewer.role.value}.")
    row = deed.row(visit.scene)
    columns, cost = visit.columns(get_named_type(graphql_field.type).name, row, nodes)
    price = DEED_PRICE + cost
    root = select(_bytes(row_object(columns)).label("data"), number(price).label("actual"))
    payload = compiled(root.select_from(row.table), visit.getters, price)
    return Step(deed, payload, graphql_field, nodes[0])


def _batch(
    visit: Visit, feed: Feed, graphql_field: GraphQLField, key: str, nodes: list[FieldNode]
) -> Statement:
    """The next changes of a feed, each under the key of the answer."""
    arguments = visit.arguments(graphql_field, nodes[0])
    branch = feed.branch(visit.scene, arguments, after_number())
    columns, price = visit.columns(branch.type_name, branch.row, nodes)
    size = batch_size(price, visit.scene.viewer.most_cost)
    data = _bytes(row_object({key: row_object(columns)}))
    query = branch.query.add_columns(feed.number(branch).label("number"), data.label("data"))
    return compiled(own(query, branch).limit(number(size)), visit.getters, price)


def _bytes(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """JSON as it goes to the client."""
    return func.convert_to(cast(value, Text), constant("UTF8"))
