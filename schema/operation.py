"""From a request's text to its statement, remembered on two levels.

The text and the operation's name give a validated operation; the role, the workspace and the shape
of the variables give its statement. What shapes it are the variables in arguments that an edge
reads while it is planned, and those of @skip and @include; other values are bound each time.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

import msgspec
from graphql import (
    ArgumentNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLField,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    TypeInfo,
    TypeInfoVisitor,
    VariableNode,
    Visitor,
    validate,
    visit,
)
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from cdp.errors import BadInput
from cdp.keys import Viewer
from cdp.survivorship_rules import Survivorship
from cdp.workspace import Workspace
from schema.edges import SHAPES, Loaded, Scene
from schema.errors import MAX_ERRORS
from schema.limits import check_operation, read_document, require_text
from schema.plan import plan, plan_steps, plan_telling
from schema.selection import Selection
from schema.statement import Statement, Steps, Telling, request_moment
from schema.visit import edge_of

MAX_OPERATIONS: Final = 1_000  # remembered texts; a frontend has some dozens
MAX_STATEMENTS: Final = 200  # remembered shapes of one operation, each of its own plan
MAX_TEXT: Final = 50_000  # characters of a text that is remembered

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Refused(Exception):
    """A document that is not valid, or variables that do not fit it."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors)
        self.errors = errors


class Remembered(Generic[Key, Value]):
    """The entries used last, as many as were allowed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key) -> Value | None:
        """The entry, which counts as used now."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: Key, value: Value) -> None:
        """Remember; forget what was not used for longest."""
        self._entries[key] = value
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Bound:
    """An argument that holds a variable, of which only a part shapes the statement."""

    graphql_field: GraphQLField
    node: FieldNode
    name: str
    shape: Callable[[Any], Hashable]


@dataclass(frozen=True, slots=True)
class Operation:
    """A validated operation.

    `is_walked`: an executor must walk the answer, for introspection or what is loaded.
    `has_rows`: something of it comes from the database.
    """

    schema: GraphQLSchema
    document: DocumentNode
    definition: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    is_walked: bool
    has_rows: bool
    shaping: tuple[str, ...]
    bound: tuple[_Bound, ...]
    statements: Remembered[Hashable, Statement] = field(
        default_factory=lambda: Remembered(MAX_STATEMENTS)
    )
    steps_of: Remembered[Hashable, Steps] = field(
        default_factory=lambda: Remembered(MAX_STATEMENTS)
    )
    tellings: Remembered[Hashable, Telling] = field(
        default_factory=lambda: Remembered(MAX_STATEMENTS)
    )

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something; else it reads."""
        return self.definition.operation is OperationType.MUTATION

    @property
    def is_subscription(self) -> bool:
        """Whether it waits for what is to come."""
        return self.definition.operation is OperationType.SUBSCRIPTION

    def variables(self, given: Mapping[str, Any]) -> VariableValues:
        """The variables, coerced. Raises Refused."""
        values = get_variable_values(
            self.schema,
            self.definition.variable_definitions or (),
            dict(given),
            max_errors=MAX_ERRORS,
            hide_suggestions=True,
        )
        if isinstance(values, list):
            raise Refused(values)
        return values

    def statement(self, asked: "Asked") -> Statement:
        """The statement of a query. Raises BadInput and Forbidden."""
        return self._planned(self.statements, plan, asked)

    def steps(self, asked: "Asked") -> Steps:
        """The steps of a mutation. Raises BadInput and Forbidden."""
        return self._planned(self.steps_of, plan_steps, asked)

    def telling(self, asked: "Asked") -> Telling:
        """The field of a subscription, planned. Raises BadInput and Forbidden."""
        return self._planned(self.tellings, plan_telling, asked)

    def _planned(
        self, known: Remembered[Hashable, Value], make: Callable[..., Value], asked: "Asked"
    ) -> Value:
        key = (
            asked.viewer.role,
            asked.workspace,
            asked.survivorship,
            tuple(_frozen(asked.given.get(name, _ABSENT)) for name in self.shaping),
            tuple(_shape(bound, asked.variables) for bound in self.bound),
        )
        found = known.get(key)
        if found is None:
            found = make(
                Selection(self.schema, self.fragments, asked.variables),
                self.definition,
                Scene(request_moment(), asked.workspace, asked.viewer, asked.survivorship),
                is_walked=self.is_walked,
            )
            known.put(key, found)
        return found


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan depends on beside its operation; `given` are the variables as they came."""

    given: Mapping[str, Any]
    variables: VariableValues
    viewer: Viewer
    workspace: Workspace
    survivorship: Survivorship


class Operations:
    """The operations of a schema, remembered by their text."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._known: Remembered[tuple[str, str | None], Operation] = Remembered(MAX_OPERATIONS)

    def read(self, text: str, name: str | None) -> Operation:
        """The operation of that name in a document. Raises BadInput, GraphQLError and Refused."""
        known = self._known.get((text, name))
        if known is not None:
            return known
        document = read_document(text)
        fragments = {
            node.name.value: node
            for node in document.definitions
            if isinstance(node, FragmentDefinitionNode)
        }
        operations = [
            node for node in document.definitions if isinstance(node, OperationDefinitionNode)
        ]
        for operation in operations:
            check_operation(operation, fragments)
        errors = validate(self._schema, document, max_errors=MAX_ERRORS, hide_suggestions=True)
        if errors:
            raise Refused(errors)
        found = _analysed(self._schema, document, _named(operations, name), fragments)
        if len(text) <= MAX_TEXT:
            self._known.put((text, name), found)
        return found


def _named(operations: list[OperationDefinitionNode], name: str | None) -> OperationDefinitionNode:
    if name is None:
        if len(operations) != 1:
            raise BadInput(
                f"The document has {len(operations)} operations.", todo="Give operationName."
            )
        return operations[0]
    for operation in operations:
        if operation.name is not None and operation.name.value == name:
            return operation
    raise BadInput(f"The document has no operation {name[:80]!r}.")


def _analysed(
    schema: GraphQLSchema,
    document: DocumentNode,
    definition: OperationDefinitionNode,
    fragments: Mapping[str, FragmentDefinitionNode],
) -> Operation:
    type_info = TypeInfo(schema)
    analysis = _Analysis(type_info)
    for node in (definition, *fragments.values()):
        visit(node, TypeInfoVisitor(type_info, analysis))
    return Operation(
        schema,
        document,
        definition,
        fragments,
        is_walked=analysis.is_walked,
        has_rows=analysis.has_rows,
        shaping=tuple(sorted(analysis.shaping)),
        bound=tuple(analysis.bound),
    )


class _Analysis(Visitor):
    """One look at a valid document: which variables shape it, and what else must answer it."""

    def __init__(self, type_info: TypeInfo) -> None:
        super().__init__()
        self._type_info = type_info
        self._declared: set[int] = set()
        self.shaping: set[str] = set()
        self.bound: list[_Bound] = []
        self.is_walked = False
        self.has_rows = False

    def enter_variable_definition(self, *_: object) -> object:
        """A declaration is no use."""
        return self.SKIP

    def enter_field(self, node: FieldNode, *_: object) -> None:
        """Note what a field needs, and which of its arguments are bound late."""
        if node.name.value in ("__schema", "__type"):
            self.is_walked = True
            return
        graphql_field = self._type_info.get_field_def()
        if graphql_field is None or edge_of(graphql_field) is None:
            return
        self.has_rows = True
        self.is_walked |= isinstance(edge_of(graphql_field), Loaded)
        shapes = graphql_field.extensions["strawberry-definition"].metadata.get(SHAPES, {})
        for argument in node.arguments or ():
            shape = shapes.get(argument.name.value)
            if shape is not None:
                self._declared.add(id(argument))
                if _has_variable(argument):
                    self.bound.append(_Bound(graphql_field, node, argument.name.value, shape))

    def enter_argument(self, node: ArgumentNode, *_: object) -> object:
        """An argument that is bound late does not shape the statement by its value."""
        return self.SKIP if id(node) in self._declared else None

    def enter_string_value(self, node: StringValueNode, *_: object) -> None:
        """An escape can write what no text can have."""
        require_text(node.value)

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        """Any other use of a variable does."""
        self.shaping.add(node.name.value)


class _VariableFinder(Visitor):
    is_found = False

    def enter_variable(self, *_: object) -> None:
        self.is_found = True


def _has_variable(node: ArgumentNode) -> bool:
    finder = _VariableFinder()
    visit(node, finder)
    return finder.is_found


_ABSENT: Final = "\0absent"


def _frozen(value: object) -> Hashable:
    """A value as a key; text is told from a number by its type."""
    if value is None or isinstance(value, (str, bool, int)):
        return value if isinstance(value, str) else (type(value), value)
    return msgspec.json.encode(value, order="sorted")


def _shape(bound: _Bound, variables: VariableValues) -> Hashable:
    try:
        value = get_argument_values(bound.graphql_field, bound.node, variables).get(bound.name)
    except GraphQLError:
        return None  # the planner meets the same error, unless @skip spares it
    return bound.shape(value)
