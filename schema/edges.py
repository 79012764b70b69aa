"""What a field of the graph is in SQL: the small table of edges that the planner knows."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from sqlalchemy import Alias, ColumnElement, FromClause, Select, Table, null
from sqlalchemy.types import TypeEngine
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField
from strawberry.types.info import Info

from cdp.keys import Viewer
from cdp.survivorship_rules import Survivorship
from cdp.tables import customer, scored_customer
from cdp.traits.trait import Scope
from cdp.workspace import Workspace
from schema.declare import Declared
from schema.masking import is_open

EDGE: Final = "edge"  # under this name a field's metadata holds its edge

SHAPES: Final = "shapes"
"""Under this name: of arguments that are bound late, what of a value shapes the statement."""

MAX_CHILDREN: Final = 250
"""Rows of a list without pages; far more than one person has, so that no accident is unbounded."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What holds for a whole operation: the clock, the workspace, who looks, whom we believe.

    `is_past`: of fields below one that was asked as of an earlier moment; `as_of` is that moment.
    """

    as_of: ColumnElement[Any]
    workspace: Workspace
    viewer: Viewer
    survivorship: Survivorship
    is_past: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a selection may read it: what is not open is null for those who are masked."""

    table: FromClause
    name: str
    scene: Scene

    def __getitem__(self, column: str) -> ColumnElement[Any]:
        """The column, or null where it is masked."""
        if self.scene.viewer.is_masked and not is_open(self.name, column):
            return null()
        return self.table.c[column]

    @property
    def scope(self) -> Scope:
        """What a trait reads, for a row of `scored_customer`."""
        workspace = self.scene.workspace
        return Scope(
            self.table, self.table, self.scene.as_of, workspace.timezone, workspace.money_digits
        )


def row_of(alias: FromClause, scene: Scene) -> Row:
    """The row behind an alias of a table, or of `scored_customer`, which is a customer's."""
    assert isinstance(alias, Alias)
    if alias.element is scored_customer:
        return Row(alias, customer.name, scene)
    assert isinstance(alias.element, Table)
    assert alias.element is not customer, "its traits would miss the score"
    return Row(alias, alias.element.name, scene)


Value: TypeAlias = Any
"""An argument, coerced: its type is what the schema says."""


class Arguments(Protocol):
    """The arguments of one field, as the planner hands them to an edge."""

    def now(self, name: str) -> Value:
        """The value, which shapes the statement; None where it was not given."""

    def later(
        self, name: str, sql_type: TypeEngine[Any], convert: Callable[[Any], object]
    ) -> ColumnElement[Any] | None:
        """A bound value that `convert` makes of the argument each time; None where not given."""

    def page_size(self, name: str = "first") -> int:
        """How many rows a page has, within what the viewer's role allows. Raises BadInput."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar of the row; `price` where it takes more than the row to find it."""

    value: Callable[[Row], ColumnElement[Any]]
    price: int = 0


@dataclass(frozen=True, slots=True)
class Embedded:
    """An object made of the same row."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Rows of one type: their FROM, conditions and order in `query`, which has no columns yet."""

    type_name: str
    row: Row
    query: Select[Any]


@dataclass(frozen=True, slots=True)
class One:
    """An object of another row: the first of the branch, null where there is none.

    `price`: of finding the row, where it takes more than a look by a key.
    """

    branch: Callable[[Row], Branch]
    price: int = 0


@dataclass(frozen=True, slots=True)
class OneBy:
    """As One, by the arguments of the field."""

    branch: Callable[[Row, Arguments], Branch]
    price: int = 0


@dataclass(frozen=True, slots=True)
class Many:
    """A list of other rows, in the order of the branch; at most so many."""

    branch: Callable[[Row, Arguments], Branch]
    most: int = MAX_CHILDREN


@dataclass(frozen=True, slots=True)
class Slice:
    """One page of a list, whose rows may be of several types.

    `order` gives of a row the keys that order the list; the branches come in that order already.
    `cursor` tells where a row stands. `is_backward`: the rows come from the end of the list.
    `total` counts the whole list. `is_inner`: there are rows before this page (after it, where it
    is backward).
    """

    branches: Sequence[Branch]
    size: int
    order: Callable[[Branch], Sequence[ColumnElement[Any]]]
    cursor: Callable[[Branch], ColumnElement[Any]]
    total: Callable[[], ColumnElement[Any]]
    is_backward: bool = False
    is_inner: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A connection: edges, nodes, pageInfo, totalCount."""

    slice: Callable[[Row | None, Scene, Arguments], Slice]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a connection, of its edges or of its pageInfo: the page plans it."""


@dataclass(frozen=True, slots=True)
class Root:
    """An object found by the arguments of a root field; null where there is none.

    `price`: of finding it, where it takes more than a look by a key. `reads_all`: it looks at all
    customers, or at all that they did.
    """

    branch: Callable[[Scene, Arguments], Branch]
    price: int = 0
    reads_all: bool = False


@dataclass(frozen=True, slots=True)
class Roots:
    """A list of a root field."""

    branch: Callable[[Scene, Arguments], Branch]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Not in the statement: a resolver asks a DataLoader by `key`, which the statement gives."""

    key: Callable[[Row], ColumnElement[Any]]
    price: int = 5


@dataclass(frozen=True, slots=True)
class Carried:
    """A field of an object that a loader gave: its attribute of the same Python name."""


Edge = Leaf | Embedded | One | OneBy | Many | Page | Part | Root | Roots | Loaded | Carried


class PlannedField(StrawberryField):
    """A field whose value the statement has built already, under the key of the answer."""

    @property
    def is_basic_field(self) -> bool:
        """False, so that the executor hands over the path, which holds the key."""
        return False

    def get_result(self, source: Value, info: Info | None, args: list[Any], kwargs: Value) -> Value:
        """What the statement built."""
        assert info is not None
        return source[info.path.key]


class CarriedField(StrawberryField):
    """A field whose value stands in the object that a loader gave."""

    def get_result(self, source: Value, info: Info | None, args: list[Any], kwargs: Value) -> Value:
        """The attribute."""
        return getattr(source, self.python_name)


def carried(description: str) -> Declared:
    """A field of an object that a loader gave. Its type is the annotation beside it."""
    return CarriedField(description=description, metadata={EDGE: Carried()})


def planned(
    edge: object,
    description: str,
    arguments: Sequence[StrawberryArgument] = (),
    shapes: Mapping[str, Callable[[Any], Hashable]] | None = None,
) -> Declared:
    """A field that the planner compiles. Its type is the annotation beside it.

    `shapes` names the arguments that the edge reads with `later` alone, with what of a value shapes
    the statement: for most, whether there is one.
    """
    metadata = {EDGE: edge, SHAPES: shapes or {}}
    field = PlannedField(description=description, metadata=metadata)
    field.arguments = list(arguments)
    return field


def is_given(value: object) -> bool:
    """The shape of an argument of which only the presence matters."""
    return value is not None


def argument(name: str, annotation: Declared, description: str) -> StrawberryArgument:
    """An argument of a planned field, by its Python name."""
    return StrawberryArgument(name, None, StrawberryAnnotation(annotation), description=description)


def column(name: str, description: str) -> Declared:
    """A field that is a column of the row."""
    return planned(Leaf(lambda row: row[name]), description)
