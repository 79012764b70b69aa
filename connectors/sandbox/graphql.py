"""Executes GraphQL documents over plain JSON objects and counts their cost as Shopify does.

graphql-core parses, validates and coerces; this module turns the operation into closures, since an
emulator that resolves field by field spends seconds on pages that a real shop answers at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLIncludeDirective,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_argument_values,
    get_directive_values,
    get_variable_values,
    is_leaf_type,
    parse,
    validate,
)
from graphql.execution.values import VariableValues

from connectors.sandbox.listings import (
    CONNECTION_POINTS,
    Arguments,
    Listing,
    Resolvers,
    page_info,
    sized,
    sliced,
)
from connectors.sandbox.state import Item

Meter = list[float]
"""One number: the points that the execution has cost so far."""

Complete = Callable[[object, Meter], object]
"""Turns a source value into its JSON, adding its actual cost to the meter."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A document ready to run."""

    requested: int
    run: Callable[[], tuple[object, int]]
    """Returns the data and the actual cost."""


class _Compiled(NamedTuple):
    complete: Complete
    points: int


def parsed(schema: GraphQLSchema, text: str) -> DocumentNode:
    """Return the document, validated; GraphQLError with the first thing that is wrong."""
    return _parsed(schema, text)


@lru_cache(maxsize=256)
def _parsed(schema: GraphQLSchema, text: str) -> DocumentNode:
    document = parse(text)
    errors = validate(schema, document)
    if errors:
        raise errors[0]
    return document


def plan(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation_name: str | None,
    variables: Mapping[str, object],
    resolvers: Resolvers,
) -> Plan:
    """Return the operation ready to run with these variables; GraphQLError when it cannot."""
    operation = _operation(document, operation_name)
    if operation.operation is not OperationType.QUERY:
        raise GraphQLError("only queries are emulated")
    values = get_variable_values(schema, operation.variable_definitions or (), dict(variables))
    if isinstance(values, list):
        raise values[0]
    compiler = _Compiler(schema, document, values, resolvers)
    root = schema.query_type
    assert root is not None  # our own SDL names one
    compiled = compiler.object_of(root, [operation.selection_set], points=0)

    def run() -> tuple[object, int]:
        meter: Meter = [0.0]
        data = compiled.complete({}, meter)
        return data, ceil(meter[0])

    return Plan(compiled.points, run)


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is not None:
        operations = [o for o in operations if o.name is not None and o.name.value == name]
    if len(operations) != 1:
        raise GraphQLError("An operation name is required" if operations else "No such operation")
    return operations[0]


class _Compiler:
    """Turns selection sets into closures for one request."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: VariableValues,
        resolvers: Resolvers,
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._resolvers = resolvers
        self._fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }

    def object_of(
        self, kind: GraphQLObjectType, selections: list[SelectionSetNode], points: int = 1
    ) -> _Compiled:
        """Compile what is selected of an object; `points` is what the object itself costs."""
        fields: list[tuple[str, Callable[[Item, Meter], object]]] = []
        total = points
        for key, nodes in self._collected(kind, selections).items():
            run, cost = self._field(kind, nodes)
            fields.append((key, run))
            total += cost

        def complete(source: object, meter: Meter) -> object:
            assert isinstance(source, dict)  # put() checked the objects
            meter[0] += points
            return {key: run(source, meter) for key, run in fields}

        return _Compiled(complete, total)

    def _collected(
        self, kind: GraphQLObjectType, selections: list[SelectionSetNode]
    ) -> dict[str, list[FieldNode]]:
        """Group the selected fields by response key, fragments and directives applied."""
        found: dict[str, list[FieldNode]] = {}
        for node in self._nodes(kind, selections):
            key = node.alias.value if node.alias else node.name.value
            found.setdefault(key, []).append(node)
        return found

    def _nodes(
        self, kind: GraphQLObjectType, selections: list[SelectionSetNode]
    ) -> Iterator[FieldNode]:
        for selection_set in selections:
            for node in selection_set.selections:
                if not self._included(node):
                    continue
                if isinstance(node, FieldNode):
                    yield node
                elif isinstance(node, FragmentSpreadNode):
                    fragment = self._fragments[node.name.value]
                    if self._applies(fragment.type_condition.name.value, kind):
                        yield from self._nodes(kind, [fragment.selection_set])
                elif isinstance(node, InlineFragmentNode) and (
                    node.type_condition is None
                    or self._applies(node.type_condition.name.value, kind)
                ):
                    yield from self._nodes(kind, [node.selection_set])

    def _included(self, node: object) -> bool:
        assert isinstance(node, FieldNode | FragmentSpreadNode | InlineFragmentNode)
        skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
        include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
        return not (skip and skip["if"]) and (include is None or bool(include["if"]))

    @staticmethod
    def _applies(name: str, kind: GraphQLObjectType) -> bool:
        return name == kind.name or any(name == face.name for face in kind.interfaces)

    def _field(
        self, parent: GraphQLObjectType, nodes: list[FieldNode]
    ) -> tuple[Callable[[Item, Meter], object], int]:
        name = nodes[0].name.value
        if name == "__typename":
            return (lambda _source, _meter: parent.name), 0
        field = parent.fields.get(name)
        if field is None:
            raise GraphQLError("introspection cannot be mixed with data", nodes)
        arguments = get_argument_values(field, nodes[0], self._variables)
        selections = [node.selection_set for node in nodes if node.selection_set]
        bare = field.type.of_type if isinstance(field.type, GraphQLNonNull) else field.type
        if isinstance(bare, GraphQLObjectType) and bare.name.endswith("Connection"):
            return self._connection(parent, name, bare, arguments, selections)
        first = arguments.get("first")
        compiled = self._value(field.type, selections, f"{parent.name}.{name}")
        points = compiled.points * (sized(first) if isinstance(first, int) else 1)
        return self._reader(parent, name, field, arguments, compiled.complete), points

    def _reader(
        self,
        parent: GraphQLObjectType,
        name: str,
        field: GraphQLField,
        arguments: Arguments,
        complete: Complete,
    ) -> Callable[[Item, Meter], object]:
        special = self._resolvers.values.get((parent.name, name))
        if special is not None:
            return lambda source, meter: complete(special(source, arguments), meter)
        first = arguments.get("first")
        if isinstance(first, int):
            return lambda source, meter: complete(_head(source.get(name), first), meter)
        if isinstance(field.type, GraphQLNonNull) or not is_leaf_type(field.type):
            return lambda source, meter: complete(source.get(name), meter)
        serialize = self._resolvers.scalars.get(field.type.name)
        if serialize is not None:
            return lambda source, meter: complete(source.get(name), meter)
        return lambda source, _meter: source.get(name)

    def _value(
        self, kind: GraphQLOutputType, selections: list[SelectionSetNode], where: str
    ) -> _Compiled:
        """Compile a value of any type that is no connection."""
        if isinstance(kind, GraphQLNonNull):
            inner, points = self._value(kind.of_type, selections, where)

            def required(value: object, meter: Meter) -> object:
                if value is None:
                    raise GraphQLError(f"Cannot return null for non-nullable field {where}.")
                return inner(value, meter)

            return _Compiled(required, points)
        if isinstance(kind, GraphQLList):
            each, points = self._value(kind.of_type, selections, where)
            return _Compiled(_list_of(each), points)
        if isinstance(kind, GraphQLObjectType):
            whole, points = self.object_of(kind, selections)
            return _Compiled(
                lambda value, meter: None if value is None else whole(value, meter), points
            )
        if isinstance(kind, GraphQLInterfaceType):
            return self._interface(kind, selections)
        serialize = self._resolvers.scalars.get(kind.name)
        if serialize is None:
            return _Compiled(lambda value, _meter: value, 0)
        return _Compiled(lambda value, _meter: None if value is None else serialize(value), 0)

    def _interface(
        self, kind: GraphQLInterfaceType, selections: list[SelectionSetNode]
    ) -> _Compiled:
        """Compile for every type that it may turn out to be; it costs as much as the dearest."""
        options = {
            option.name: self.object_of(option, selections)
            for option in self._schema.get_possible_types(kind)
        }

        def complete(value: object, meter: Meter) -> object:
            if value is None:
                return None
            assert isinstance(value, dict)
            # gid://shopify/Customer/1 names its own type.
            return options[str(value["id"]).split("/")[3]].complete(value, meter)

        return _Compiled(complete, max(option.points for option in options.values()))

    def _connection(
        self,
        parent: GraphQLObjectType,
        name: str,
        kind: GraphQLObjectType,
        arguments: Arguments,
        selections: list[SelectionSetNode],
    ) -> tuple[Callable[[Item, Meter], object], int]:
        first = arguments.get("first")
        if not isinstance(first, int):
            raise GraphQLError(
                f"you must provide one of first or last to {name}",
                extensions={"code": "MISSING_PAGINATION_BOUNDARIES"},
            )
        if not 1 <= first <= 250:
            raise GraphQLError(f"first must be between 1 and 250 on {name}, got {first}")
        parts = [
            self._part(kind, key, nodes) for key, nodes in self._collected(kind, selections).items()
        ]
        points = CONNECTION_POINTS + sized(first) * sum(part.points for part in parts)
        listing = self._resolvers.listings.get((parent.name, name))

        def run(source: Item, meter: Meter) -> object:
            page = listing(arguments) if listing else sliced(source.get(name), arguments)
            before = meter[0]
            data = {part.key: part.complete(page, meter) for part in parts}
            if page.found:
                spent = meter[0] - before
                meter[0] = before + spent * sized(len(page.found)) / len(page.found)
            meter[0] += CONNECTION_POINTS
            return data

        return run, points

    def _part(self, kind: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> "_Part":
        """Compile one field of a connection: nodes, edges, pageInfo or __typename."""
        name = nodes[0].name.value
        if name == "__typename":
            return _Part(key, 0, lambda _page, _meter: kind.name)
        selections = [node.selection_set for node in nodes if node.selection_set]
        item_type = _named(kind.fields[name].type)
        if name == "pageInfo":
            info = self.object_of(item_type, selections, points=0)
            return _Part(key, 0, lambda page, meter: info.complete(page_info(page), meter))
        if name == "edges":
            edge = self.object_of(item_type, selections, points=0)
            return _Part(
                key,
                edge.points,
                lambda page, meter: [
                    edge.complete({"cursor": cursor, "node": node}, meter)
                    for cursor, node in page.found
                ],
            )
        node_of = self.object_of(item_type, selections)
        return _Part(
            key,
            node_of.points,
            lambda page, meter: [node_of.complete(node, meter) for _, node in page.found],
        )


class _Part(NamedTuple):
    key: str
    points: int
    complete: Callable[[Listing, Meter], object]


def _named(kind: GraphQLOutputType) -> GraphQLObjectType:
    while isinstance(kind, GraphQLNonNull | GraphQLList):
        kind = kind.of_type
    assert isinstance(kind, GraphQLObjectType)  # connections hold objects in our SDL
    return kind


def _head(value: object, first: int) -> object:
    return value[:first] if isinstance(value, list) else value


def _list_of(each: Complete) -> Complete:
    def complete(value: object, meter: Meter) -> object:
        if value is None:
            return None
        assert isinstance(value, list)  # put() checked the objects
        return [each(one, meter) for one in value]

    return complete
