"""Which fields a selection asks for: fragments, @skip and @include, aliases, merged by key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    is_abstract_type,
)
from graphql.execution.values import VariableValues, get_directive_values

Fields = dict[str, list[FieldNode]]


@dataclass(frozen=True, slots=True)
class Selection:
    """One validated operation with the values of its variables."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: VariableValues

    def fields(
        self, type_: GraphQLObjectType, nodes: Iterable[FieldNode | OperationDefinitionNode]
    ) -> Fields:
        """What the nodes ask of the type: the nodes of each key of the answer, in order."""
        found: Fields = {}
        visited: set[str] = set()
        for node in nodes:
            if node.selection_set is not None:
                self._collect(type_, node.selection_set, found, visited)
        return found

    def _collect(
        self,
        type_: GraphQLObjectType,
        selections: SelectionSetNode,
        found: Fields,
        visited: set[str],
    ) -> None:
        for node in selections.selections:
            if not self._is_included(node):
                continue
            if isinstance(node, FieldNode):
                key = node.alias.value if node.alias else node.name.value
                found.setdefault(key, []).append(node)
                continue
            fragment = self._fragment(node, visited)
            if fragment is not None and self._applies(fragment, type_):
                self._collect(type_, fragment.selection_set, found, visited)

    def _fragment(
        self, node: object, visited: set[str]
    ) -> FragmentDefinitionNode | InlineFragmentNode | None:
        """What a spread or an inline fragment stands for; None where it was seen already."""
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name in visited:
                return None
            visited.add(name)
            return self.fragments[name]
        assert isinstance(node, InlineFragmentNode)
        return node

    def _is_included(self, node: SelectionNode) -> bool:
        if not node.directives:
            return True
        skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
        if skip and skip["if"] is True:
            return False
        include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
        return not (include and include["if"] is False)

    def _applies(
        self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType
    ) -> bool:
        if fragment.type_condition is None:
            return True
        condition = self.schema.type_map[fragment.type_condition.name.value]
        return condition is type_ or (
            is_abstract_type(condition) and self.schema.is_sub_type(condition, type_)
        )
