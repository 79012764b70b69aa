"""Turns a selection into one statement whose JSON PostgreSQL builds: a visitor over the edges."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeAlias, cast

import asyncpg
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import (
    ColumnElement,
    DateTime,
    FromClause,
    Select,
    Text,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.types import TypeEngine

from cdp.errors import BadInput, Forbidden
from cdp.keys import Viewer
from cdp.keyset import DEFAULT_SIZE
from cdp.statements import Rendered, render
from cdp.survivorship_rules import Survivorship
from cdp.workspace import Workspace
from schema.deeds import INPUT, OUTCOME, Deed
from schema.edges import (
    EDGE,
    MAX_CHILDREN,
    Branch,
    Edge,
    Embedded,
    Leaf,
    Loaded,
    Many,
    One,
    OneBy,
    Page,
    Root,
    Roots,
    Row,
    Scene,
    Slice,
    Value,
)
from schema.feeds import AFTER, Feed, after_number, batch_size
from schema.nodes import Nodes, found_nodes
from schema.objects import (
    EMPTY_LIST,
    Columns,
    constant,
    is_row,
    labelled,
    pairs_object,
    row_object,
    whole_row,
)
from schema.pages import PlannedPage, number, own, plan_page
from schema.selection import Selection

CHILDREN_PRICE: Final = 3  # how many rows a list without pages mostly has
DEED_PRICE: Final = 10  # a change locks, clusters and folds before its payload is read


@dataclass(frozen=True, slots=True)
class Given:
    """What one request brings to a statement that is compiled already.

    `outcome`: of a mutation's field, what its use case gave back, as JSON. `after`: the number up
    to which the reader of a feed has come.
    """

    variables: VariableValues
    as_of: datetime
    outcome: str = "{}"
    after: int = 0


Getter = Callable[[Given], object]
Reader: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Statement:
    """An operation as one statement: a row of `data` (JSON in bytes) and `actual`, its cost.

    `reads_all`: it looks at all customers, or at all that they did.
    """

    sql: str
    getters: Sequence[Getter]
    price: int
    reads_all: bool = False

    def arguments(self, given: Given) -> list[object]:
        """The values of `$1`, `$2`, ... Raises BadInput for an id or a cursor that is none."""
        return [get(given) for get in self.getters]

    async def fetch(self, reader: Reader, given: Given) -> asyncpg.Record:
        """Its row.

        One that reads all is prepared anew each time, so that PostgreSQL plans it for the values:
        it would soon keep a plan for any, which expects few to answer and goes from each of them
        to the next table. What is asked often is prepared once.
        """
        arguments = self.arguments(given)
        # Not fetchrow: whoever asks PostgreSQL for the first row alone gets no parallel plan.
        if not self.reads_all:
            (row,) = await reader.fetch(self.sql, *arguments)
            return row
        async with reader.acquire() as connection:
            prepared = await connection.prepare(self.sql)
            (row,) = await prepared.fetch(*arguments)
        return row


@dataclass(frozen=True, slots=True)
class Step:
    """One field of a mutation: what it does, and the statement that reads its payload after."""

    deed: Deed
    payload: Statement
    field: GraphQLField
    node: FieldNode

    def input(self, variables: VariableValues) -> Mapping[str, Value]:
        """The input, coerced."""
        given: Mapping[str, Value] = get_argument_values(self.field, self.node, variables)[INPUT]
        return given


Steps = Mapping[str, Step | None]
"""A mutation's fields by their key of the answer, in order; None stands for `__typename`."""


@dataclass(frozen=True, slots=True)
class Telling:
    """The field of a subscription, and the statement that reads the next changes of its feed.

    The statement has a row for each: its `number`, and `data`, JSON in bytes. Its price is that of
    one change, of which it reads so many that they cost no more together than a query may.
    """

    feed: Feed
    batch: Statement
    field: GraphQLField
    node: FieldNode

    def arguments(self, variables: VariableValues) -> Mapping[str, Value]:
        """The arguments, coerced."""
        given: Mapping[str, Value] = get_argument_values(self.field, self.node, variables)
        return given


def edge_of(graphql_field: GraphQLField) -> Edge | Nodes | Deed | Feed | None:
    """The edge that a field of the schema declares; None for those of introspection."""
    definition = graphql_field.extensions.get("strawberry-definition")
    edge = None if definition is None else definition.metadata.get(EDGE)
    return cast("Edge | Nodes | Deed | Feed | None", edge)


def plan(
    selection: Selection,
    operation: OperationDefinitionNode,
    *,
    workspace: Workspace,
    survivorship: Survivorship,
    viewer: Viewer,
    is_walked: bool,
) -> Statement:
    """Plan an operation. `is_walked`: an executor will walk the answer, and wants its types.

    Raises BadInput and Forbidden for arguments that cannot be taken.
    """
    as_of = bindparam("as_of", None, type_=DateTime(timezone=True))
    planner = _Planner(selection, Scene(as_of, workspace, viewer, survivorship), is_walked)
    return planner.statement(operation)


def plan_steps(
    selection: Selection,
    operation: OperationDefinitionNode,
    *,
    workspace: Workspace,
    survivorship: Survivorship,
    viewer: Viewer,
    is_walked: bool,
) -> Steps:
    """Plan a mutation, whole, before anything of it is done: each payload is a statement.

    Raises Forbidden for what the role may not do, and as `plan` does.
    """
    as_of = bindparam("as_of", None, type_=DateTime(timezone=True))
    mutation = selection.schema.mutation_type
    assert mutation is not None
    steps: dict[str, Step | None] = {}
    for key, nodes in selection.fields(mutation, [operation]).items():
        name = nodes[0].name.value
        if name == "__typename":
            steps[key] = None
            continue
        graphql_field = mutation.fields[name]
        edge = edge_of(graphql_field)
        assert isinstance(edge, Deed), name
        if not edge.may(viewer):
            raise Forbidden(f"{name} is not for the role {viewer.role.value}.")
        planner = _Planner(selection, Scene(as_of, workspace, viewer, survivorship), is_walked)
        payload = planner.payload(edge, get_named_type(graphql_field.type).name, nodes)
        steps[key] = Step(edge, payload, graphql_field, nodes[0])
    return steps


def plan_telling(
    selection: Selection,
    operation: OperationDefinitionNode,
    *,
    workspace: Workspace,
    survivorship: Survivorship,
    viewer: Viewer,
    is_walked: bool,
) -> Telling:
    """Plan a subscription, as `plan` does. Raises BadInput where all that it asks is skipped."""
    assert not is_walked, "no feed leads to what is loaded"
    as_of = bindparam("as_of", None, type_=DateTime(timezone=True))
    subscription = selection.schema.subscription_type
    assert subscription is not None
    fields = selection.fields(subscription, [operation])
    if not fields:
        raise BadInput("The subscription asks for nothing.")
    ((key, nodes),) = fields.items()  # a valid one has a single field
    graphql_field = subscription.fields[nodes[0].name.value]
    edge = edge_of(graphql_field)
    assert isinstance(edge, Feed), nodes[0].name.value
    planner = _Planner(selection, Scene(as_of, workspace, viewer, survivorship), is_walked)
    batch = planner.batch(edge, key, FieldArguments(planner, graphql_field, nodes[0]), nodes)
    return Telling(edge, batch, graphql_field, nodes[0])


@dataclass(slots=True)
class _Planner:
    """One walk over one operation; collects on the way what requests will bring."""

    selection: Selection
    scene: Scene
    is_walked: bool
    getters: dict[str, Getter] = field(default_factory=dict)
    reads_all: bool = False

    def statement(self, operation: OperationDefinitionNode) -> Statement:
        """The whole operation."""
        query = self.selection.schema.query_type
        assert query is not None
        columns: Columns = {}
        pages: list[tuple[FromClause, int]] = []
        price = 0
        for key, nodes in self.selection.fields(query, [operation]).items():
            name = nodes[0].name.value
            if name == "__typename":
                columns[key] = constant(query.name)
            elif not name.startswith("__"):
                columns[key], cost, page = self._root_field(query.fields[name], nodes)
                price += cost
                pages += [] if page is None else [page]
        # What a page did not find costs nothing in the end.
        actual = number(price)
        for rows, each in pages:
            actual = actual - number(each) * rows.c.spared
        root = select(_bytes(pairs_object(columns)).label("data"), actual.label("actual"))
        return self._compiled(root.select_from(*(rows for rows, _ in pages)), price)

    def payload(self, deed: Deed, type_name: str, nodes: list[FieldNode]) -> Statement:
        """The payload of one field of a mutation."""
        row = deed.row(self.scene)
        columns, cost = self.columns(type_name, row, nodes)
        price = DEED_PRICE + cost
        root = select(_bytes(row_object(columns)).label("data"), number(price).label("actual"))
        return self._compiled(root.select_from(row.table), price)

    def batch(
        self, feed: Feed, key: str, arguments: "FieldArguments", nodes: list[FieldNode]
    ) -> Statement:
        """The next changes of a feed, each under the key of the answer."""
        branch = feed.branch(self.scene, arguments, after_number())
        columns, price = self.columns(branch.type_name, branch.row, nodes)
        size = batch_size(price, self.scene.viewer.most_cost)
        data = _bytes(row_object({key: row_object(columns)}))
        query = branch.query.add_columns(feed.number(branch).label("number"), data.label("data"))
        return self._compiled(own(query, branch).limit(number(size)), price)

    def _compiled(self, root: Select[Any], price: int) -> Statement:
        found = render(root)
        getters = [self._getter(found, name) for name in found.names]
        return Statement(found.text, getters, price, self.reads_all)

    def _getter(self, found: Rendered, name: str) -> Getter:
        """What gives the value of a bound parameter: the request, or else the plan itself."""
        if name == "as_of":
            return lambda given: given.as_of
        if name == OUTCOME:
            return lambda given: given.outcome
        if name == AFTER:
            return lambda given: given.after
        if name in self.getters:
            return self.getters[name]
        fixed = found.value(name)
        return lambda _: fixed

    def _root_field(
        self, graphql_field: GraphQLField, nodes: list[FieldNode]
    ) -> tuple[ColumnElement[Any], int, tuple[FromClause, int] | None]:
        """Value and price; of a page also its rows, with the price of each."""
        arguments = FieldArguments(self, graphql_field, nodes[0])
        edge = edge_of(graphql_field)
        match edge:
            case Root(branch, finding, reads_all):
                self.reads_all |= reads_all
                value, price = self._one(branch(self.scene, arguments), nodes)
                return value, finding + price, None
            case Roots(branch):
                return *self._many(branch(self.scene, arguments), nodes), None
            case Nodes():
                return *self._nodes(edge, arguments, nodes), None
            case Page(slice_):
                page, size = self._page(slice_(None, self.scene, arguments), graphql_field, nodes)
                price = page.fixed_price + page.row_price * size
                if page.rows is None:
                    return select(page.value).scalar_subquery(), price, None
                spared = number(size) - func.least(func.count(), number(size))
                rows = (
                    select(page.value.label("value"), spared.label("spared"))
                    .select_from(page.rows)
                    .subquery()
                )
                return rows.c.value, price, (rows, page.row_price)
            case _:
                raise AssertionError(f"{nodes[0].name.value} is no edge of the root")

    def columns(self, type_name: str, row: Row, nodes: Iterable[FieldNode]) -> tuple[Columns, int]:
        """The columns of an object made of a row, and its price."""
        type_ = self.selection.schema.type_map[type_name]
        assert isinstance(type_, GraphQLObjectType)
        found: Columns = {}
        price = 1
        for key, group in self.selection.fields(type_, nodes).items():
            name = group[0].name.value
            if name == "__typename":
                found[key] = constant(type_name)
                continue
            edge = edge_of(type_.fields[name])
            if isinstance(edge, Loaded):
                found[f"{name}:key"] = edge.key(row)
                price += edge.price
                continue
            assert edge is not None, name
            assert not isinstance(edge, (Deed, Feed)), name
            found[key], cost = self._field(edge, type_.fields[name], row, group)
            price += cost
        if self.is_walked:
            found[":type"] = constant(type_name)
        return found, price

    def _field(
        self, edge: Edge | Nodes, graphql_field: GraphQLField, row: Row, nodes: list[FieldNode]
    ) -> tuple[ColumnElement[Any], int]:
        """One field of a row: its value and its price."""
        arguments = FieldArguments(self, graphql_field, nodes[0])
        match edge:
            case Leaf(value, price):
                return value(row), price
            case Embedded():
                columns, price = self.columns(get_named_type(graphql_field.type).name, row, nodes)
                return row_object(columns), price
            case One(branch, finding):
                found, price = self._one(branch(row), nodes)
                return found, finding + price
            case OneBy(branch, finding):
                found, price = self._one(branch(row, arguments), nodes)
                return found, finding + price
            case Many(branch, most):
                return self._many(branch(row, arguments), nodes, most)
            case Page(slice_):
                page, size = self._page(slice_(row, self.scene, arguments), graphql_field, nodes)
                query = select(page.value)
                if page.rows is not None:
                    query = query.select_from(page.rows).correlate_except(page.rows)
                    # One row, also where nothing of the selection is an aggregate.
                    query = query.group_by(literal_column("()"))
                return query.scalar_subquery(), page.fixed_price + page.row_price * size
            case _:
                raise AssertionError(f"{nodes[0].name.value} is no edge of a row")

    def _one(self, branch: Branch, nodes: list[FieldNode]) -> tuple[ColumnElement[Any], int]:
        columns, price = self.columns(branch.type_name, branch.row, nodes)
        if not is_row(columns):
            query = branch.query.add_columns(row_object(columns)).limit(number(1))
            return own(query, branch).scalar_subquery(), price
        row = own(branch.query.add_columns(*labelled(columns)).limit(number(1)), branch).subquery()
        found = select(func.row_to_json(whole_row(row))).correlate_except(row)
        return found.scalar_subquery(), price

    def _many(
        self, branch: Branch, nodes: list[FieldNode], most: int = MAX_CHILDREN
    ) -> tuple[ColumnElement[Any], int]:
        columns, price = self.columns(branch.type_name, branch.row, nodes)
        if not is_row(columns):
            columns = {"item": pairs_object(columns)}
        query = branch.query.add_columns(*labelled(columns)).limit(number(most))
        rows = own(query, branch).subquery()
        item = rows.c.item if list(columns) == ["item"] else whole_row(rows)
        found = select(func.coalesce(func.json_agg(item), EMPTY_LIST)).correlate_except(rows)
        return found.scalar_subquery(), price * CHILDREN_PRICE

    def _page(
        self, slice_: Slice, graphql_field: GraphQLField, nodes: list[FieldNode]
    ) -> tuple[PlannedPage, int]:
        type_ = get_named_type(graphql_field.type)
        assert isinstance(type_, GraphQLObjectType)
        return plan_page(self.selection, type_, nodes, slice_, self.columns), slice_.size

    def _nodes(
        self, edge: Nodes, arguments: "FieldArguments", nodes: list[FieldNode]
    ) -> tuple[ColumnElement[Any], int]:
        return found_nodes(edge, self.scene, arguments, partial(self.columns, nodes=nodes))


def _bytes(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """JSON as it goes to the client."""
    return func.convert_to(sql_cast(value, Text), constant("UTF8"))


@dataclass(slots=True)
class FieldArguments:
    """The arguments of one field in one operation."""

    planner: _Planner
    graphql_field: GraphQLField
    node: FieldNode

    def now(self, name: str) -> Value:
        """The value, which shapes the statement; None where it was not given."""
        return self._values(self.planner.selection.variables).get(name)

    def later(
        self, name: str, sql_type: TypeEngine[Any], convert: Callable[[Any], object]
    ) -> ColumnElement[Any] | None:
        """A value that `convert` makes of the argument for each request; None if not given."""
        if self.now(name) is None:
            return None
        key = f"later_{len(self.planner.getters)}"
        self.planner.getters[key] = lambda given: convert(self._values(given.variables)[name])
        return bindparam(key, None, type_=sql_type)

    def page_size(self, name: str = "first") -> int:
        """How many rows a page has, within what the viewer's role allows. Raises BadInput."""
        most = self.planner.scene.viewer.most_first
        size = self.now(name)
        if size is None:
            return min(DEFAULT_SIZE, most)
        if not 0 <= size <= most:
            raise BadInput(f"{name} is {size}.", todo=f"Ask for 0 to {most}.", path=name)
        return int(size)

    def _values(self, variables: VariableValues) -> Mapping[str, Any]:
        return get_argument_values(self.graphql_field, self.node, variables)
