"""Operations of the graph, generated: what hypothesis draws is a text and its variables."""

from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_composite_type,
)
from hypothesis import strategies as st

from tests.schema.client import Value
from tests.schema.ids import gid
from tests.schema.oracle import committed_schema

MAX_DEPTH: Final = 5
IDS: Final = [
    *(gid("Customer", number) for number in range(1, 9)),
    gid("Order", 1, "o1"),
    gid("Order", 1, "nope"),
    gid("Source", 1),
    gid("SourceProfile", 2),
    *(gid(name, 1) for name in ("MergeEvent", "IdentityDecision", "MatchReview")),
    *(gid("Segment", number) for number in (11, 12, 13, 14)),
]
UNKNOWN_TO_THE_ORACLE: Final = {
    *("cursor", "startCursor", "endCursor", "provenance", "why"),
    # Recomputed in tests of their own.
    *("retention", "business", "recommendations", "audiences", "freshness"),
}
SEGMENT_ARGUMENTS: Final = (
    {"filter"},
    {"slugs"},
    {"segmentSlug", "customerId"},
    {"id", "slug"},
)
SEGMENT_IDS: Final = st.sampled_from([gid("Segment", number) for number in range(10, 16)])
SLUGS: Final = st.sampled_from(["anns", "buyers", "danes", "guests"])

CITIES: Final = st.sampled_from(["York", "Aarhus", "Nowhere"])
FILTERS: Final = st.recursive(
    st.one_of(
        st.builds(lambda city: {"city": {"eq": city}}, CITIES),
        st.builds(lambda is_null: {"city": {"isNull": is_null}}, st.booleans()),
        st.builds(
            lambda amount: {"purchases": {"netSpend": {"gt": str(amount)}}},
            st.sampled_from([0, 20, 33, 1000]),
        ),
        st.just({}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda filters: {"and": filters}, st.lists(inner, max_size=3)),
        st.builds(lambda filters: {"or": filters}, st.lists(inner, max_size=3)),
        st.builds(lambda given: {"not": given}, inner),
    ),
    max_leaves=4,
)
ORDERS: Final = st.lists(
    st.fixed_dictionaries(
        {
            "field": st.sampled_from(["NAME", "PURCHASES_NET_SPEND", "CITY"]),
            "direction": st.sampled_from(["ASC", "DESC"]),
        }
    ),
    max_size=2,
)
SIZES: Final = st.sampled_from([0, 1, 2, 3, 25])
KINDS: Final = st.lists(
    st.sampled_from(["ORDER", "REFUND", "MESSAGE", "CONSENT", "TICKET"]), min_size=1, max_size=3
)
IDENTIFIERS: Final = st.sampled_from(
    [
        {"kind": "email", "value": "ann@example.com"},
        {"kind": "email", "value": "nobody@example.com"},
        {"kind": "loyalty_card", "value": "LC77"},
    ]
)

_TYPES: Final = {
    "filter": "CustomerFilter",
    "orderBy": "[CustomerOrder!]",
    "first": "Int",
    "last": "Int",
    "kinds": "[TimelineKind!]",
    "identifier": "IdentifierInput!",
    "id": "ID!",
    "ids": "[ID!]!",
    "slug": "String!",
    "slugs": "[String!]!",
    "segmentSlug": "String!",
    "customerId": "ID!",
    "if": "Boolean!",
}
_ENUMS: Final = {"field", "direction", "kinds"}


@dataclass
class Builder:
    """One operation being drawn."""

    draw: st.DrawFn
    variables: dict[str, tuple[str, Any]] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)
    aliases: int = 0
    directives: int = 0

    def one_of(self, *values: Value) -> Value:
        """One of the values."""
        return self.draw(st.sampled_from(values))

    def value(self, name: str, strategy: st.SearchStrategy[Any]) -> str:
        """An argument, as a literal or by way of a variable."""
        value = self.draw(strategy)
        if self.draw(st.booleans()):
            variable = f"v{len(self.variables)}"
            self.variables[variable] = (_TYPES[name], value)
            return f"{name}: ${variable}"
        return f"{name}: {_literal(value, name)}"

    def selection(self, type_name: str, depth: int) -> str:
        """Some fields of a type, here and there within fragments."""
        type_ = committed_schema().type_map[type_name]
        assert isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType))
        names = self.draw(
            st.lists(st.sampled_from(sorted(_fields(type_, depth))), min_size=1, max_size=5)
        )
        parts = [
            "__typename" if name == "__typename" else self.field(name, type_.fields[name], depth)
            for name in names
        ]
        if isinstance(type_, GraphQLInterfaceType) and depth > 0:
            possible = sorted(each.name for each in committed_schema().get_possible_types(type_))
            some = self.draw(st.lists(st.sampled_from(possible), max_size=3, unique=True))
            parts += [f"... on {name} {{ {self.selection(name, depth - 1)} }}" for name in some]
        return " ".join(self.wrapped(part, type_name) for part in parts)

    def wrapped(self, part: str, type_name: str) -> str:
        """A part as it is, or within a fragment or under a condition."""
        match self.one_of("bare", "bare", "bare", "inline", "spread", "condition"):
            case "inline":
                return f"... on {type_name} {{ {part} }}"
            case "spread":
                name = f"F{len(self.fragments)}"
                self.fragments.append(f"fragment {name} on {type_name} {{ {part} }}")
                return f"...{name}"
            case "condition" if self.directives < 8:
                self.directives += 1
                directive = self.one_of("skip", "include")
                return f"... @{directive}({self.value('if', st.booleans())}) {{ {part} }}"
            case _:
                return part

    def field(self, name: str, graphql_field: GraphQLField, depth: int) -> str:
        """One field, always under an alias: two of one name may have other arguments."""
        if self.aliases >= 28:
            return "__typename"
        self.aliases += 1
        given = self.arguments(set(graphql_field.args))
        text = f"a{self.aliases}: {name}{given}"
        type_ = get_named_type(graphql_field.type)
        if is_composite_type(type_):
            text += f" {{ {self.selection(type_.name, depth - 1)} }}"
        return text

    def arguments(self, known: set[str]) -> str:
        """Arguments for a field."""
        given: list[str] = []
        if "identifier" in known:
            choice = self.one_of("id", "identifier")
            ids = st.sampled_from(IDS[:8])
            given.append(self.value(choice, ids if choice == "id" else IDENTIFIERS))
        elif known in SEGMENT_ARGUMENTS:
            given += self.segment_arguments(known)
        elif known == {"id"}:
            given.append(self.value("id", st.sampled_from(IDS)))
        elif known == {"ids"}:
            given.append(self.value("ids", st.lists(st.sampled_from(IDS), max_size=5)))
        elif "filter" in known:
            given.append(self.value(self.one_of("first", "last"), SIZES))
            given.append(self.value("filter", FILTERS))
            given.append(self.value("orderBy", ORDERS))
        elif "first" in known:
            given.append(self.value("first", SIZES))
        if "kinds" in known and self.draw(st.booleans()):
            given.append(self.value("kinds", KINDS))
        return f"({', '.join(given)})" if given else ""

    def segment_arguments(self, known: set[str]) -> list[str]:
        """Arguments for a root field about segments."""
        if known == {"filter"}:  # which must be given: no variable that may be null
            return [f"filter: {_literal(self.draw(FILTERS), 'filter')}"]
        if known == {"slugs"}:
            return [self.value("slugs", st.lists(SLUGS, max_size=4))]
        if known == {"segmentSlug", "customerId"}:
            ids = st.sampled_from(IDS[:8])
            return [self.value("segmentSlug", SLUGS), self.value("customerId", ids)]
        choice = self.one_of("id", "slug")
        return [self.value(choice, SEGMENT_IDS if choice == "id" else SLUGS)]


def _fields(type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> set[str]:
    return {"__typename"} | {
        name
        for name, each in type_.fields.items()
        if name not in UNKNOWN_TO_THE_ORACLE
        and (depth > 0 or not is_composite_type(get_named_type(each.type)))
    }


def _literal(value: Value, name: str) -> str:
    if isinstance(value, dict):
        members = [f"{key}: {_literal(each, key)}" for key, each in value.items()]
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list):
        return f"[{', '.join(_literal(each, name) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if name in _ENUMS or not isinstance(value, str) else f'"{value}"'


@st.composite
def operations(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A valid operation within the limits, and the values of its variables."""
    builder = Builder(draw)
    body = builder.selection("Query", MAX_DEPTH)
    declared = ", ".join(f"${name}: {type_}" for name, (type_, _) in builder.variables.items())
    head = f"query ({declared})" if declared else "query"
    variables = {name: value for name, (_, value) in builder.variables.items()}
    return " ".join([f"{head} {{ {body} }}", *builder.fragments]), variables
