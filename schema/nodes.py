"""Finding nodes by their global ids: of which types there are, and how each finds its rows."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    column,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.types import TypeEngine

from cdp.errors import BadInput
from schema.edges import Arguments, Branch, Row, Scene
from schema.ids import decode_id, source_and_key, whole
from schema.objects import EMPTY_LIST, Columns, row_object

MAX_IDS: Final = 250  # of one `nodes`: as many as any list that is given

Build = Callable[[str, Row], tuple[Columns, int]]


@dataclass(frozen=True, slots=True)
class NodeType:
    """A type with global ids: what an id holds, and how its rows are found.

    `find(scene, wanted)` gives the branch of the rows that `wanted` names: it has the columns
    `position` and `part_0`, ... as `parse` reads them from an id, and must be in the query's FROM.
    """

    name: str
    parts: Sequence[TypeEngine[Any]]
    parse: Callable[[str], tuple[Any, ...]]
    find: Callable[[Scene, FromClause], Branch]


def number_parts(rest: str) -> tuple[Any, ...]:
    """An id that is a row's number."""
    return (whole(rest),)


def record_parts(rest: str) -> tuple[Any, ...]:
    """An id that is a source's number and a record's key."""
    return source_and_key(rest)


NUMBER: Final = (BigInteger(),)
RECORD: Final = (BigInteger(), Text())


@dataclass(frozen=True, slots=True)
class Nodes:
    """The edge: nodes in the order of their ids, null where there is none; one or a list."""

    types: Mapping[str, NodeType]
    argument: str
    is_list: bool


def shape(ids: object) -> Hashable:
    """What of the ids shapes the statement: their types, and for the price how many they are."""
    return type_names(ids), len(_texts(ids))


def type_names(ids: object) -> tuple[str, ...]:
    """The types that ids name. Raises BadInput."""
    return tuple(sorted({decode_id(text)[0] for text in _texts(ids)}))


def found_nodes(
    edge: Nodes, scene: Scene, arguments: Arguments, build: Build
) -> tuple[ColumnElement[Any], int]:
    """The nodes as JSON, and the price. Raises BadInput for what is no id."""
    ids = _texts(arguments.now(edge.argument))
    if len(ids) > MAX_IDS:
        raise BadInput(f"{len(ids)} ids; {MAX_IDS} are the most.", path=edge.argument)
    queries: list[Select[Any]] = []
    dearest = 0
    for name in type_names(ids):
        if name not in edge.types:
            raise BadInput(f"{name[:80]!r} is no type of node.", todo="Use an id of an answer.")
        wanted = _wanted(edge, edge.types[name], arguments)
        branch = edge.types[name].find(scene, wanted)
        columns, price = build(branch.type_name, branch.row)
        dearest = max(dearest, price)
        queries.append(
            branch.query.add_columns(wanted.c.position, row_object(columns).label("node"))
        )
    if not queries:
        return EMPTY_LIST, 0
    found = (queries[0] if len(queries) == 1 else union_all(*queries)).subquery()
    if not edge.is_list:
        return select(found.c.node).scalar_subquery(), dearest
    count = arguments.later(edge.argument, Integer(), len)
    series = func.generate_series(1, count).table_valued(column("position", Integer))
    slots = series.render_derived(name="slots")
    nodes = func.json_agg(aggregate_order_by(found.c.node, slots.c.position))
    value = select(func.coalesce(nodes, EMPTY_LIST)).select_from(
        slots.outerjoin(found, found.c.position == slots.c.position)
    )
    return value.scalar_subquery(), dearest * len(ids)


def _texts(ids: object) -> Sequence[str]:
    return [ids] if isinstance(ids, str) else list(ids) if isinstance(ids, (list, tuple)) else []


def _wanted(edge: Nodes, node_type: NodeType, arguments: Arguments) -> FromClause:
    """The ids of one type, as rows of their position and their parts."""

    def part(index: int) -> Callable[[Any], list[object]]:
        def read(ids: object) -> list[object]:
            decoded = [(at, *decode_id(text)) for at, text in enumerate(_texts(ids), 1)]
            return [
                at if index < 0 else node_type.parse(rest)[index]
                for at, name, rest in decoded
                if name == node_type.name
            ]

        return read

    types = (Integer(), *node_type.parts)
    arrays = [
        arguments.later(edge.argument, ARRAY(type_), part(index))
        for index, type_ in enumerate(types, -1)
    ]
    names = ("position", *(f"part_{index}" for index in range(len(node_type.parts))))
    columns = [column(name, type_) for name, type_ in zip(names, types, strict=True)]
    wanted = func.unnest(*arrays).table_valued(*columns)
    return wanted.render_derived(name=f"wanted_{node_type.name.lower()}")
