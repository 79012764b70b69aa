"""A customer filter (the JSON of GraphQL's CustomerFilter, and of a stored segment) as SQL.

A filter is an object; all its members must hold, and the empty one holds for everybody. `and` and
`or` take a list of filters, `not` takes one. Every condition is either true or false of a customer,
never unknown: `not` is the exact opposite of what it wraps, also where values are null.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from cdp import tables
from cdp.consent import Asked, consents, read_status
from cdp.errors import BadInput, Forbidden
from cdp.fields import (
    ATTRIBUTE_OPERATORS,
    CONSENT_MEMBERS,
    FIELDS,
    GROUPS,
    QUANTIFIERS,
    RELATIONS,
    Field,
    Relation,
)
from cdp.identity.normalise import IDENTIFIER_FAMILIES, normalise
from cdp.operators import FieldType, Operation, read_list, read_text
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MAX_DEPTH: Final = 10  # filters within filters; no person reads a deeper one
MAX_CLAUSES: Final = 100  # conditions in all; each costs PostgreSQL a look at every customer

_NESTING: Final = ("and", "or", "not")
_OWN_KEY: Final = "external"  # external:SOURCE
_NAMED_FAMILIES: Final = ("handle", _OWN_KEY)  # kinds that go on: handle:bluesky
_NUMBER: Final = r"^\s*[+-]?[0-9]{1,100}(\.[0-9]{1,100})?\s*$"

IDENTIFIER_KINDS: Final = tuple(
    f"{family}:NAME" if family in _NAMED_FAMILIES else family for family in IDENTIFIER_FAMILIES
)


def predicate(
    given: object, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> ColumnElement[bool]:
    """The filter as a condition on `scope.customer`; put it into WHERE.

    `given` is JSON (None: no filter). Raises BadInput, whose `path` names the place in the filter,
    and Forbidden where a reader who may not see personal data names it.
    """
    if given is None:
        return true()
    return _Reading(scope, workspace, may_see_personal).filter(given, "", 1)


def identified_by(kind: str, value: str | None, *, workspace: Workspace) -> Select[int]:
    """The ids of customers who carry, or once carried, an identifier of the kind.

    `value` may have any spelling; None asks for any value. Raises BadInput for an unknown kind.
    """
    family, _, name = read_text(kind, "kind").partition(":")
    if family not in IDENTIFIER_FAMILIES or (name != "") != (family in _NAMED_FAMILIES):
        raise BadInput(
            f"There is no kind of identifier {kind!r}.",
            todo=f"There are: {', '.join(IDENTIFIER_KINDS)}.",
            path="kind",
        )
    identifier, profile = tables.identifier.alias(), tables.source_profile.alias()
    found = (
        select(profile.c.customer_id)
        .join(identifier, identifier.c.source_profile_id == profile.c.id)
        .where(identifier.c.kind == kind)
    )
    if value is None:
        return found
    return found.where(identifier.c.value.in_(spellings(kind, value, workspace=workspace)))


def spellings(kind: str, value: str, *, workspace: Workspace) -> Sequence[str]:
    """What an identifier of the kind, as anybody may spell it, can be stored as; maybe nothing.

    A source's own key of a person is evidence just as the source wrote it, whatever it looks like.
    """
    text = read_text(value, "value")
    if kind.startswith(f"{_OWN_KEY}:"):
        return sorted({text, text.strip()})
    normal = normalise(kind, text, workspace.region)
    return [] if normal is None else [normal]


@dataclass(slots=True)
class _Reading:
    """One filter being read: what it is read against, and how much of it there has been."""

    scope: Scope
    workspace: Workspace
    may_see_personal: bool
    clauses: int = 0

    def filter(self, given: object, path: str, depth: int) -> ColumnElement[bool]:
        """All members of an object hold for the customer."""

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name in FIELDS:
                return self._compare(FIELDS[name], self.scope, value, place)
            if name in GROUPS:
                return self._group(GROUPS[name], value, place)
            if name in RELATIONS:
                return self._relation(RELATIONS[name], value, place, depth + 1)
            if name == "attribute":
                return self._attribute(value, place)
            if name == "identifier":
                return self._identifier(value, place)
            if name == "consent":
                return self._consent(value, place)
            own = ("attribute", "identifier", "consent")
            known = (*_NESTING, *FIELDS, *GROUPS, *RELATIONS, *own)
            raise _unknown(name, place, known)

        return self._all(given, path, depth, member)

    def _all(
        self,
        given: object,
        path: str,
        depth: int,
        member: Callable[[str, object, str], ColumnElement[bool]],
    ) -> ColumnElement[bool]:
        """All members of an object hold; `and`, `or`, `not` nest it, the rest is `member`'s."""
        if depth > MAX_DEPTH:
            raise BadInput(f"The filter is nested more than {MAX_DEPTH} deep.", path=path)
        conditions: list[ColumnElement[bool]] = []
        for name, value, place in _members(given, path):
            if name == "not":
                conditions.append(self._all(value, place, depth + 1, member).is_not(True))
            elif name in _NESTING:
                filters = [
                    self._all(item, f"{place}[{index}]", depth + 1, member)
                    for index, item in enumerate(read_list(value, place))
                ]
                both = and_(true(), *filters) if name == "and" else or_(false(), *filters)
                conditions.append(both)
            else:
                conditions.append(member(name, value, place))
        return and_(true(), *conditions)

    def _group(
        self, fields: Mapping[str, Field[Scope]], given: object, path: str
    ) -> ColumnElement[bool]:
        conditions = []
        for name, value, place in _members(given, path):
            if name not in fields:
                raise _unknown(name, place, fields)
            conditions.append(self._compare(fields[name], self.scope, value, place))
        return and_(true(), *conditions)

    def _relation(
        self, relation: Relation, given: object, path: str, depth: int
    ) -> ColumnElement[bool]:
        conditions = []
        for name, value, place in _members(given, path):
            if name == "count":
                _, mine = self._records(relation, func.count())
                conditions.append(
                    self._operators(mine.scalar_subquery(), FieldType.INTEGER, value, place)
                )
            elif name in QUANTIFIERS:
                conditions.append(self._quantified(relation, name, value, place, depth))
            else:
                raise _unknown(name, place, (*QUANTIFIERS, "count"))
        return and_(true(), *conditions)

    def _quantified(
        self, relation: Relation, quantifier: str, given: object, path: str, depth: int
    ) -> ColumnElement[bool]:
        rows, mine = self._records(relation, true())

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name not in relation.fields:
                raise _unknown(name, place, (*_NESTING, *relation.fields))
            return self._compare(relation.fields[name], rows, value, place)

        holds = self._all(given, path, depth, member)
        found = exists(mine.where(holds.is_not(True) if quantifier == "every" else holds))
        return found if quantifier == "some" else ~found

    def _records(
        self, relation: Relation, what: ColumnElement[Any]
    ) -> tuple[FromClause, Select[Any]]:
        """A fresh alias of the relation's table, and `what` of the customer's rows in it."""
        rows, profile = relation.table.alias(), tables.source_profile.alias()
        mine = (
            select(what)
            .select_from(rows.join(profile, profile.c.id == rows.c.source_profile_id))
            .where(
                profile.c.customer_id == self.scope.customer.c.id,
                rows.c.deleted_at.is_(None),
                rows.c[relation.occurred] <= self.scope.as_of,
            )
            .correlate(self.scope.customer)
        )
        return rows, mine

    def _attribute(self, given: object, path: str) -> ColumnElement[bool]:
        """Of what sources said beyond the fixed attributes: any of it may be personal."""
        if not self.may_see_personal:
            raise _forbidden("attribute")
        members = {name: (value, place) for name, value, place in _members(given, path)}
        if "name" not in members:
            raise BadInput(f"{path} has no name.", path=path)
        value_as_text = self.scope.customer.c.attributes[read_text(*members.pop("name"))].astext
        value_as_number = case(
            (value_as_text.regexp_match(_NUMBER), cast(value_as_text, Numeric)), else_=None
        )
        conditions = []
        for name, (value, place) in members.items():
            if name not in ATTRIBUTE_OPERATORS:
                raise _unknown(name, place, ("name", *ATTRIBUTE_OPERATORS))
            type_, _ = ATTRIBUTE_OPERATORS[name]
            read_as = value_as_number if type_ is FieldType.NUMBER else value_as_text
            conditions.append(self._operators(read_as, type_, {name: value}, path))
        return and_(true(), *conditions)

    def _identifier(self, given: object, path: str) -> ColumnElement[bool]:
        members = {name: value for name, value, _ in _members(given, path)}
        if unknown := members.keys() - {"kind", "value"}:
            raise _unknown(min(unknown), f"{path}.{min(unknown)}", ("kind", "value"))
        if "kind" not in members:
            raise BadInput(f"{path} has no kind.", path=path)
        kind = read_text(members["kind"], f"{path}.kind")
        value = read_text(members["value"], f"{path}.value") if "value" in members else None
        if value is not None and not self.may_see_personal:
            raise _forbidden("identifier")
        self._count(path)
        try:
            found = identified_by(kind, value, workspace=self.workspace)
        except BadInput as error:
            raise BadInput(error.message, todo=error.todo, path=f"{path}.{error.path}") from None
        return self.scope.customer.c.id.in_(found)

    def _consent(self, given: object, path: str) -> ColumnElement[bool]:
        """How the customer stands to some channel and purpose is so, all members at once."""
        members = {name: (value, place) for name, value, place in _members(given, path)}
        if unknown := members.keys() - CONSENT_MEMBERS.keys():
            raise _unknown(min(unknown), f"{path}.{min(unknown)}", CONSENT_MEMBERS)
        self._count(path)
        channel, purpose = (
            literal(read_text(*members[name]).strip().lower(), Text) if name in members else None
            for name in ("channel", "purpose")
        )
        asked = Asked(self.scope.as_of, channel=channel, purpose=purpose)
        stands = consents(asked).subquery()
        found = select(stands.c.customer_id)
        if "status" in members:
            found = found.where(stands.c.status == read_status(*members["status"]).value.lower())
        return self.scope.customer.c.id.in_(found)

    def _compare(
        self, compared: Field[Any], row: object, given: object, path: str
    ) -> ColumnElement[bool]:
        if compared.is_personal and not self.may_see_personal:
            raise _forbidden(compared.name)
        return self._operators(compared.expression(row), compared.type, given, path)

    def _operators(
        self, expression: ColumnElement[Any], type_: FieldType, given: object, path: str
    ) -> ColumnElement[bool]:
        operation = Operation(expression, type_, self.scope, self.workspace)
        conditions = []
        for name, value, place in _members(given, path):
            self._count(place)
            conditions.append(operation.apply(name, value, place))
        return and_(true(), *conditions)

    def _count(self, path: str) -> None:
        self.clauses += 1
        if self.clauses > MAX_CLAUSES:
            raise BadInput(f"The filter has more than {MAX_CLAUSES} conditions.", path=path)


def _members(given: object, path: str) -> Iterable[tuple[str, object, str]]:
    """Name, value and path of each member of an object. Raises BadInput for anything else."""
    if given is None:
        raise BadInput(f"{path or 'The filter'} is null.", todo="Leave it out.", path=path)
    if not isinstance(given, Mapping):
        raise BadInput(f"{path or 'The filter'} is not an object.", path=path)
    return [(str(name), value, f"{path}.{name}".lstrip(".")) for name, value in given.items()]


def _unknown(name: str, path: str, known: Iterable[str]) -> BadInput:
    return BadInput(
        f"There is no {name[:80]!r} here.", todo=f"There are: {', '.join(known)}.", path=path
    )


def _forbidden(name: str) -> Forbidden:
    return Forbidden(f"{name} may hold personal data, which your role does not see.")
