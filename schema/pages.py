"""A connection in SQL: its rows once, and over them edges, nodes, pageInfo and totalCount."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from graphql import FieldNode, GraphQLObjectType, get_named_type
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    cast,
    func,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by

from schema.edges import Branch, Slice
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
from schema.selection import Fields, Selection

COUNT_PRICE: Final = 10  # counting a whole list reads all of it

Build = Callable[[str, Any, list[FieldNode]], tuple[Columns, int]]
"""The columns of an object of a named type made of a row, and its price."""


@dataclass(frozen=True, slots=True)
class PlannedPage:
    """A connection: `value` over `rows` (None where no row is asked for), and its prices."""

    value: ColumnElement[Any]
    rows: FromClause | None
    fixed_price: int
    row_price: int


def plan_page(
    selection: Selection,
    type_: GraphQLObjectType,
    nodes: list[FieldNode],
    slice_: Slice,
    build: Build,
) -> PlannedPage:
    """Plan a connection of the given type."""
    return _Pager(selection, type_, slice_, build).plan(selection.fields(type_, nodes))


def number(value: int) -> ColumnElement[int]:
    """A literal: a plan for 25 rows is not the plan for 1,000."""
    return literal_column(str(value))


def own(query: Select[Any], branch: Branch) -> Select[Any]:
    """The query of a branch, correlated with everything around it."""
    return query.correlate_except(branch.row.table)


@dataclass(slots=True)
class _Pager:
    selection: Selection
    type_: GraphQLObjectType
    slice: Slice
    build: Build

    def plan(self, fields: Fields) -> PlannedPage:
        lists = {key: nodes for key, nodes in fields.items() if _name(nodes) in ("edges", "nodes")}
        info = self._info_fields(fields)
        more = "hasPreviousPage" if self.slice.is_backward else "hasNextPage"
        ends = bool(info & {"startCursor", "endCursor"})
        is_numbered = self.slice.is_backward or ends or more in info
        columns, row_price = self._columns(lists)
        rows, values = self._rows(lists, columns, ends=ends, is_numbered=is_numbered)
        fixed_price = 1
        parts: Columns = {}
        for key, nodes in fields.items():
            match _name(nodes):
                case "__typename":
                    parts[key] = constant(self.type_.name)
                case "pageInfo":
                    parts[key] = self._info(rows, nodes)
                case "totalCount":
                    parts[key] = self.slice.total()
                    fixed_price += COUNT_PRICE
                case _:
                    parts[key] = self._list(rows, values[key], is_numbered=is_numbered)
        is_read = bool(lists) or is_numbered
        return PlannedPage(pairs_object(parts), rows if is_read else None, fixed_price, row_price)

    def _info_fields(self, fields: Fields) -> set[str]:
        """What any pageInfo asks for."""
        return {
            _name(inner)
            for nodes in fields.values()
            if _name(nodes) == "pageInfo"
            for inner in self.selection.fields(self._object("pageInfo"), nodes).values()
        }

    def _object(self, name: str) -> GraphQLObjectType:
        named = get_named_type(self.type_.fields[name].type)
        assert isinstance(named, GraphQLObjectType)
        return named

    # Rows -----------------------------------------------------------------------------------

    def _columns(self, lists: Fields) -> tuple[list[dict[str, Columns]], int]:
        """Of each branch the columns of each list's items, and the price of the dearest row."""
        found: list[dict[str, Columns]] = []
        dearest = 0
        for branch in self.slice.branches:
            items: dict[str, Columns] = {}
            price = 0
            for key, nodes in lists.items():
                items[key], cost = (
                    self.build(branch.type_name, branch.row, nodes)
                    if _name(nodes) == "nodes"
                    else self._edge(branch, nodes)
                )
                price += cost
            found.append(items)
            dearest = max(dearest, price)
        return found, dearest

    def _edge(self, branch: Branch, nodes: list[FieldNode]) -> tuple[Columns, int]:
        type_ = self._object("edges")
        columns: Columns = {}
        price = 0
        for key, group in self.selection.fields(type_, nodes).items():
            match _name(group):
                case "__typename":
                    columns[key] = constant(type_.name)
                case "cursor":
                    columns[key] = self.slice.cursor(branch)
                case _:
                    node, cost = self.build(branch.type_name, branch.row, group)
                    columns[key] = row_object(node)
                    price += cost
        return columns, price

    def _rows(
        self, lists: Fields, columns: list[dict[str, Columns]], *, ends: bool, is_numbered: bool
    ) -> tuple[FromClause, Columns]:
        """The rows of the page (and one more, where they are numbered), and each list's item."""
        limit = self.slice.size + (1 if is_numbered else 0)
        only = columns[0].get(next(iter(lists), "")) if len(columns) == len(lists) == 1 else None
        if only is not None and not is_numbered and is_row(only):
            bare = self._query(self.slice.branches[0], only, limit).subquery()
            return bare, {next(iter(lists)): whole_row(bare)}
        labels = {key: f"list_{position}" for position, key in enumerate(lists)}
        queries: list[Select[Any]] = []
        for branch, items in zip(self.slice.branches, columns, strict=True):
            row = {labels[key]: row_object(item) for key, item in items.items()}
            if ends:
                row["cursor"] = self.slice.cursor(branch)
            queries.append(self._query(branch, row or {"present": number(1)}, limit))
        rows: Subquery = (
            queries[0].subquery() if len(queries) == 1 else self._merged(queries, limit)
        )
        if is_numbered:
            rows = select(rows, func.row_number().over().label("number")).subquery()
        return rows, {key: rows.c[label] for key, label in labels.items()}

    def _query(self, branch: Branch, columns: Columns, limit: int) -> Select[Any]:
        query = branch.query.add_columns(*labelled(columns)).limit(number(limit))
        if len(self.slice.branches) > 1:
            keys = self.slice.order(branch)
            query = query.add_columns(*(key.label(f"key_{at}") for at, key in enumerate(keys)))
        return own(query, branch)

    def _merged(self, queries: list[Select[Any]], limit: int) -> Subquery:
        """The first rows of several types, in one order: all keys fall."""
        union = union_all(*queries).subquery()
        keys = [column.desc() for column in union.c if column.key.startswith("key_")]
        return select(union).order_by(*keys).limit(number(limit)).subquery()

    # Values over the rows -------------------------------------------------------------------

    def _list(
        self, rows: FromClause, value: ColumnElement[Any], *, is_numbered: bool
    ) -> ColumnElement[Any]:
        if not is_numbered:
            return func.coalesce(func.json_agg(value), EMPTY_LIST)
        position = rows.c.number.desc() if self.slice.is_backward else rows.c.number
        items = func.json_agg(aggregate_order_by(value, position))
        return func.coalesce(items.filter(rows.c.number <= number(self.slice.size)), EMPTY_LIST)

    def _info(self, rows: FromClause, nodes: list[FieldNode]) -> ColumnElement[Any]:
        type_ = self._object("pageInfo")
        more = func.count() > number(self.slice.size)
        inner: ColumnElement[bool] = literal_column("true" if self.slice.is_inner else "false")
        backward = self.slice.is_backward
        parts: Columns = {}
        for key, group in self.selection.fields(type_, nodes).items():
            match _name(group):
                case "hasNextPage":
                    parts[key] = inner if backward else more
                case "hasPreviousPage":
                    parts[key] = more if backward else inner
                case "startCursor":
                    parts[key] = self._end(rows, is_first=not backward)
                case "endCursor":
                    parts[key] = self._end(rows, is_first=backward)
                case _:
                    parts[key] = constant(type_.name)
        return pairs_object(parts)

    def _end(self, rows: FromClause, *, is_first: bool) -> ColumnElement[Any]:
        """The cursor of the first or the last of the rows, as they came."""
        ordered = aggregate_order_by(rows.c.cursor, rows.c.number)
        cursors = func.array_agg(ordered, type_=ARRAY(Text))
        last = cast(func.least(func.count(), number(self.slice.size)), Integer)
        return cursors[number(1) if is_first else last]


def _name(nodes: list[FieldNode]) -> str:
    return nodes[0].name.value
