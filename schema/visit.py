"""The visitor over the edges: what a selection asks of a row, as columns with their price."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, cast

from graphql import FieldNode, GraphQLField, GraphQLObjectType, get_named_type
from graphql.execution.values import VariableValues, get_argument_values
from sqlalchemy import ColumnElement, bindparam, func, literal_column, select
from sqlalchemy.types import TypeEngine

from cdp.errors import BadInput
from cdp.keyset import DEFAULT_SIZE
from schema.deeds import Deed
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
    Row,
    Scene,
    Slice,
    Value,
)
from schema.feeds import Feed
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
from schema.statement import Getter

CHILDREN_PRICE: Final = 3  # how many rows a list without pages mostly has


def edge_of(graphql_field: GraphQLField) -> Edge | Nodes | Deed | Feed | None:
    """The edge that a field of the schema declares; None for those of introspection."""
    definition = graphql_field.extensions.get("strawberry-definition")
    edge = None if definition is None else definition.metadata.get(EDGE)
    return cast("Edge | Nodes | Deed | Feed | None", edge)


@dataclass(slots=True)
class Visit:
    """One walk over one operation; collects on the way what requests will bring.

    `is_walked`: an executor will walk the answer, and wants its types.
    """

    selection: Selection
    scene: Scene
    is_walked: bool
    getters: dict[str, Getter] = field(default_factory=dict)

    def arguments(self, graphql_field: GraphQLField, node: FieldNode) -> "FieldArguments":
        """What one field of the operation was given."""
        return FieldArguments(self, graphql_field, node)

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
        arguments = self.arguments(graphql_field, nodes[0])
        match edge:
            case Leaf(value, price):
                return value(row), price
            case Embedded():
                columns, price = self.columns(get_named_type(graphql_field.type).name, row, nodes)
                return row_object(columns), price
            case One(branch, finding):
                found, price = self.one(branch(row), nodes)
                return found, finding + price
            case OneBy(branch, finding):
                found, price = self.one(branch(row, arguments), nodes)
                return found, finding + price
            case Many(branch, most):
                return self.many(branch(row, arguments), nodes, most)
            case Page(slice_):
                page, size = self.page(slice_(row, self.scene, arguments), graphql_field, nodes)
                query = select(page.value)
                if page.rows is not None:
                    query = query.select_from(page.rows).correlate_except(page.rows)
                    # One row, also where nothing of the selection is an aggregate.
                    query = query.group_by(literal_column("()"))
                return query.scalar_subquery(), page.fixed_price + page.row_price * size
            case _:
                raise AssertionError(f"{nodes[0].name.value} is no edge of a row")

    def one(self, branch: Branch, nodes: list[FieldNode]) -> tuple[ColumnElement[Any], int]:
        """The first of the rows as an object, null where there is none; and its price."""
        columns, price = self.columns(branch.type_name, branch.row, nodes)
        if not is_row(columns):
            query = branch.query.add_columns(row_object(columns)).limit(number(1))
            return own(query, branch).scalar_subquery(), price
        row = own(branch.query.add_columns(*labelled(columns)).limit(number(1)), branch).subquery()
        found = select(func.row_to_json(whole_row(row))).correlate_except(row)
        return found.scalar_subquery(), price

    def many(
        self, branch: Branch, nodes: list[FieldNode], most: int = MAX_CHILDREN
    ) -> tuple[ColumnElement[Any], int]:
        """The rows as a list, and its price."""
        columns, price = self.columns(branch.type_name, branch.row, nodes)
        if not is_row(columns):
            columns = {"item": pairs_object(columns)}
        query = branch.query.add_columns(*labelled(columns)).limit(number(most))
        rows = own(query, branch).subquery()
        item = rows.c.item if list(columns) == ["item"] else whole_row(rows)
        found = select(func.coalesce(func.json_agg(item), EMPTY_LIST)).correlate_except(rows)
        return found.scalar_subquery(), price * CHILDREN_PRICE

    def page(
        self, slice_: Slice, graphql_field: GraphQLField, nodes: list[FieldNode]
    ) -> tuple[PlannedPage, int]:
        """A page of rows as a connection, and how many it holds at most."""
        type_ = get_named_type(graphql_field.type)
        assert isinstance(type_, GraphQLObjectType)
        return plan_page(self.selection, type_, nodes, slice_, self.columns), slice_.size

    def nodes(
        self, edge: Nodes, arguments: "FieldArguments", nodes: list[FieldNode]
    ) -> tuple[ColumnElement[Any], int]:
        """What ids name, and its price."""
        return found_nodes(edge, self.scene, arguments, partial(self.columns, nodes=nodes))


@dataclass(slots=True)
class FieldArguments:
    """The arguments of one field in one operation."""

    visit: Visit
    graphql_field: GraphQLField
    node: FieldNode

    def now(self, name: str) -> Value:
        """The value, which shapes the statement; None where it was not given."""
        return self._values(self.visit.selection.variables).get(name)

    def later(
        self, name: str, sql_type: TypeEngine[Any], convert: Callable[[Any], object]
    ) -> ColumnElement[Any] | None:
        """A value that `convert` makes of the argument for each request; None if not given."""
        if self.now(name) is None:
            return None
        key = f"later_{len(self.visit.getters)}"
        self.visit.getters[key] = lambda given: convert(self._values(given.variables)[name])
        return bindparam(key, None, type_=sql_type)

    def page_size(self, name: str = "first") -> int:
        """How many rows a page has, within what the viewer's role allows. Raises BadInput."""
        most = self.visit.scene.viewer.most_first
        size = self.now(name)
        if size is None:
            return min(DEFAULT_SIZE, most)
        if not 0 <= size <= most:
            raise BadInput(f"{name} is {size}.", todo=f"Ask for 0 to {most}.", path=name)
        return int(size)

    def _values(self, variables: VariableValues) -> Mapping[str, Any]:
        return get_argument_values(self.graphql_field, self.node, variables)
