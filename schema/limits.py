"""How much one request may ask, counted before anything is validated: cheap to refuse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSyntaxError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    parse,
)

from cdp.errors import BadInput

MAX_BODY_BYTES: Final = 1_000_000
BODY_SECONDS: Final = 30.0  # enough for the largest body over a line of 300 kbit/s
MAX_TOKENS: Final = 2_000
MAX_COMMENTS: Final = 2_000
MAX_DEPTH: Final = 12
MAX_ALIASES: Final = 30
MAX_DIRECTIVES: Final = 10
MAX_ROOT_FIELDS: Final = 20
MAX_VALUES: Final = 250  # of one list that is given

EXECUTION_SECONDS: Final = 10  # the reader's own statement timeout is shorter

_INTROSPECTION: Final = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class _Size:
    """What a selection holds, its fragments included."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0
    fields: int = 0


def read_document(text: str) -> DocumentNode:
    """Parse a document of bearable size. Raises BadInput."""
    require_text(text)
    try:
        return parse(
            text,
            max_lexical_tokens=MAX_TOKENS,
            max_comments=MAX_COMMENTS,
            allow_empty_selection_sets=False,
        )
    except GraphQLSyntaxError as error:
        raise GraphQLError(error.message, source=error.source, positions=error.positions) from None
    except RecursionError:
        raise BadInput("The document is nested too deep.") from None


def check_operation(
    operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> None:
    """Refuse an operation that asks too much. Raises BadInput. Introspection is exempt."""
    counter = _Counter(fragments)
    size = counter.count(operation.selection_set)
    size_of = {
        "levels": (size.depth, MAX_DEPTH),
        "aliases": (size.aliases, MAX_ALIASES),
        "directives": (size.directives + len(operation.directives or ()), MAX_DIRECTIVES),
        "root fields": (size.fields, MAX_ROOT_FIELDS),
    }
    for what, (found, most) in size_of.items():
        if found > most:
            raise BadInput(f"The operation has {found} {what}; {most} are the most.")


class _Counter:
    """Counts each fragment once: chains of spreads would take exponential time otherwise."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self.fragments = fragments
        self.known: dict[str, _Size] = {}

    def count(self, selections: SelectionSetNode | None) -> _Size:
        depth = aliases = directives = fields = 0
        for node in selections.selections if selections is not None else ():
            directives += len(node.directives or ())
            inner, is_field = self._inner(node)
            depth = max(depth, inner.depth + is_field)
            aliases += inner.aliases
            directives += inner.directives
            if isinstance(node, FieldNode):
                aliases += node.alias is not None
                fields += 1
            else:
                fields += inner.fields
        return _Size(depth, aliases, directives, fields)

    def _inner(self, node: SelectionNode) -> tuple[_Size, int]:
        """What lies below a node, and whether the node is a level of its own."""
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value), 0
        if isinstance(node, FieldNode):
            if node.name.value in _INTROSPECTION:
                return _Size(), 1
            return self.count(node.selection_set), 1
        assert isinstance(node, InlineFragmentNode)
        return self.count(node.selection_set), 0

    def _fragment(self, name: str) -> _Size:
        if name not in self.known:
            self.known[name] = _Size()  # a fragment within itself: validation refuses it
            fragment = self.fragments.get(name)
            if fragment is not None:
                self.known[name] = self.count(fragment.selection_set)
        return self.known[name]


def require_text(value: object) -> None:
    """Refuse text that PostgreSQL cannot hold, and lists beyond measure. Raises BadInput."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            if "\0" in item or not _is_unicode(item):
                raise BadInput("Text holds a character that no text can have: NUL or a surrogate.")
        elif isinstance(item, dict):
            rest += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            if len(item) > MAX_VALUES:
                raise BadInput(f"A list has {len(item)} values; {MAX_VALUES} are the most.")
            rest += item


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
