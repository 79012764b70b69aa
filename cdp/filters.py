"""A customer filter (the JSON of GraphQL's CustomerFilter, and of a stored segment) as SQL.

A filter is an object; all its members must hold, and the empty one holds for everybody. `and` and
`or` take a list of filters, `not` takes one. Every condition is either true or false of a customer,
never unknown: `not` is the exact opposite of what it wraps, also where values are null.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
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
from sqlalchemy.dialects.postgresql import aggregate_order_by

from cdp.bearers import identified_by
from cdp.clauses import Clause, Filter
from cdp.clock import Clock, clock_of
from cdp.consent import Asked, consents, read_status
from cdp.errors import BadInput, Forbidden
from cdp.fields import (
    ATTRIBUTE_OPERATORS,
    CONSENT_MEMBERS,
    COUNT,
    FIELDS,
    GROUPS,
    QUANTIFIERS,
    RELATIONS,
    Entry,
    Field,
    Relation,
)
from cdp.operands import duration_seconds, read_list, read_text
from cdp.operators import FieldType, Operation
from cdp.related import count_of, is_member, records_of, segments_exist, some_of
from cdp.rows import channel_of, purpose_of
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

MAX_DEPTH: Final = 10  # filters within filters; no person reads a deeper one
MAX_CLAUSES: Final = 100  # conditions in all; each costs PostgreSQL a look at every customer

_NESTING: Final = ("and", "or", "not")
_OTHERS: Final = ("segments", "attribute", "identifier", "consent")
SEGMENT_OPERATORS: Final = ("in", "notIn")
_NUMBER: Final = r"^\s*[+-]?[0-9]{1,100}(\.[0-9]{1,100})?\s*$"


def read_filter(
    given: object, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> Filter:
    """A filter (JSON; None: no filter) over `scope.customer`.

    Raises BadInput, whose `path` names the place in the filter, and Forbidden where a reader who
    may not see personal data names it.
    """
    reading = _Reading(scope, workspace, may_see_personal)
    condition = true() if given is None else reading.filter(given, "", 1)
    return Filter(
        condition,
        reading.clauses,
        reading.clock,
        frozenset(reading.segments),
        reading.asks_consent,
    )


def predicate(
    given: object, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> ColumnElement[bool]:
    """The filter as a condition on `scope.customer`; put it into WHERE. Raises as `read_filter`.

    The statement itself fails where the filter names a segment that there is not: a slug with a
    typing error would leave out nobody. `cdp.database` and the graph tell it as BadInput.
    """
    read = read_filter(given, scope, workspace=workspace, may_see_personal=may_see_personal)
    return and_(*segments_exist(read.segments), read.condition)


def parse_filter(text: str | None) -> object:
    """A filter written as text; None for no text. Raises BadInput for what is no JSON."""
    if text is None:
        return None
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The filter is not JSON: {error}.", todo="Write {...} in quotes.") from None


@dataclass(slots=True)
class _Reading:
    """One filter being read: what it is read against, and what there has been of it.

    `conditions` counts them all, `personal` those on personal data; `within` is how many lists of
    records stand around: only outside of all of them is a clause about the customer.
    """

    scope: Scope
    workspace: Workspace
    may_see_personal: bool
    clock: Clock = field(default_factory=Clock)
    clauses: list[Clause] = field(default_factory=list)
    segments: set[str] = field(default_factory=set)
    asks_consent: bool = False
    conditions: int = 0
    personal: int = 0
    within: int = 0

    def filter(self, given: object, path: str, depth: int) -> ColumnElement[bool]:
        """All members of an object hold for the customer."""

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name in FIELDS:
                return self._compare(FIELDS[name], self.scope, value, place)
            if name in GROUPS:
                return self._group(GROUPS[name], value, place)
            if name in RELATIONS:
                return self._relation(RELATIONS[name], value, place, depth + 1)
            if name == "segments":
                return self._segments(value, place)
            if name == "attribute":
                return self._attribute(value, place)
            if name == "identifier":
                return self._identifier(value, place)
            if name == "consent":
                return self._consent(value, place)
            raise _unknown(name, place, (*_NESTING, *FIELDS, *GROUPS, *RELATIONS, *_OTHERS))

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
            if name in _NESTING:
                conditions.append(self._nested(name, value, place, depth + 1, member))
            else:
                conditions.append(member(name, value, place))
        return and_(true(), *conditions)

    def _nested(
        self,
        name: str,
        given: object,
        path: str,
        depth: int,
        member: Callable[[str, object, str], ColumnElement[bool]],
    ) -> ColumnElement[bool]:
        """`and`, `or`, `not`: a clause that stands before those it is made of."""
        position, personal = len(self.clauses), self.personal
        condition: ColumnElement[bool]
        if name == "not":
            condition = self._all(given, path, depth, member).is_not(True)
        else:
            filters = [
                self._all(item, f"{path}[{index}]", depth, member)
                for index, item in enumerate(read_list(given, path))
            ]
            condition = and_(true(), *filters) if name == "and" else or_(false(), *filters)
        is_personal = self.personal > personal
        self._note(path, given, condition, is_personal=is_personal, position=position)
        return condition

    def _note(
        self,
        path: str,
        asked: object,
        holds: ColumnElement[bool],
        value: ColumnElement[Any] | None = None,
        *,
        is_personal: bool,
        position: int | None = None,
    ) -> None:
        """A clause about the customer; the last one, unless it has a `position`."""
        if not self.within:
            clause = Clause(path, asked, holds, value, is_personal)
            self.clauses.insert(len(self.clauses) if position is None else position, clause)

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
        self,
        relation: Relation,
        given: object,
        path: str,
        depth: int,
        around: FromClause | None = None,
    ) -> ColumnElement[bool]:
        """Of the records of a customer, or of the record `around`."""
        conditions = []
        for name, value, place in _members(given, path):
            if name == COUNT:
                conditions.append(self._counted(relation, value, place, depth, around))
            elif name in QUANTIFIERS:
                conditions.append(self._quantified(relation, name, value, place, depth, around))
            else:
                raise _unknown(name, place, (*QUANTIFIERS, COUNT))
        return and_(true(), *conditions)

    def _counted(
        self, relation: Relation, given: object, path: str, depth: int, around: FromClause | None
    ) -> ColumnElement[bool]:
        """How many records there are, or how many answer to `where`."""
        rows = records_of(relation, self.scope, around)
        personal = self.personal
        operators = {name: value for name, value, _ in _members(given, path)}
        holds: ColumnElement[bool] = true()
        if "where" in operators:
            where = operators.pop("where")
            entry = Entry(rows.rows, around, self.scope, self.workspace)
            holds = self._holds(relation, entry, where, f"{path}.where", depth)
        count = count_of(rows, holds, self.scope, around)
        self.within += 1
        condition = self._operators(count, FieldType.INTEGER, operators, path)
        self.within -= 1
        if any(_excludes_zero(name, value) for name, value in operators.items()):
            # Who has none is ruled out for all at once, before anybody's are counted.
            condition = and_(some_of(rows, holds, self.scope, around), condition)
        self._note(path, given, condition, count, is_personal=self.personal > personal)
        return condition

    def _quantified(
        self,
        relation: Relation,
        quantifier: str,
        given: object,
        path: str,
        depth: int,
        around: FromClause | None,
    ) -> ColumnElement[bool]:
        rows = records_of(relation, self.scope, around)
        personal = self.personal
        entry = Entry(rows.rows, around, self.scope, self.workspace)
        holds = self._holds(relation, entry, given, path, depth)
        asked = holds.is_not(True) if quantifier == "every" else holds
        some = some_of(rows, asked, self.scope, around)
        condition = some if quantifier == "some" else ~some
        count = rows.mine.where(asked).with_only_columns(func.count()).scalar_subquery()
        self._note(path, given, condition, count, is_personal=self.personal > personal)
        return condition

    def _holds(
        self, relation: Relation, entry: Entry, given: object, path: str, depth: int
    ) -> ColumnElement[bool]:
        """A filter of records, for one of them."""

        def member(name: str, value: object, place: str) -> ColumnElement[bool]:
            if name in relation.fields:
                return self._compare(relation.fields[name], entry, value, place)
            if name in relation.relations:
                inner = relation.relations[name]
                return self._relation(inner, value, place, depth + 1, entry.row)
            raise _unknown(name, place, (*_NESTING, *relation.fields, *relation.relations))

        self.within += 1
        condition = self._all(given, path, depth, member)
        self.within -= 1
        return condition

    def _segments(self, given: object, path: str) -> ColumnElement[bool]:
        """Who is in other segments, as they were found last."""
        conditions = []
        for name, value, place in _members(given, path):
            if name not in SEGMENT_OPERATORS:
                raise _unknown(name, place, SEGMENT_OPERATORS)
            slugs = [
                read_text(slug, f"{place}[{index}]")
                for index, slug in enumerate(read_list(value, place))
            ]
            self._count(place)
            self.segments.update(slugs)
            found = is_member(slugs, self.scope)
            condition = found if name == "in" else ~found
            self._note(place, value, condition, is_personal=False)
            conditions.append(condition)
        return and_(true(), *conditions)

    def _attribute(self, given: object, path: str) -> ColumnElement[bool]:
        """Of what sources said beyond the fixed attributes: any of it may be personal."""
        if not self.may_see_personal:
            raise _forbidden("attribute")
        self.personal += 1
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
            conditions.append(
                self._operators(read_as, type_, {name: value}, path, is_personal=True)
            )
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
        self.personal += value is not None
        self._count(path)
        try:
            found = identified_by(kind, value, workspace=self.workspace)
        except BadInput as error:
            raise BadInput(error.message, todo=error.todo, path=f"{path}.{error.path}") from None
        # EXISTS, and not IN: for a few customers theirs are looked up, for many all are gathered.
        theirs = found.where(found.selected_columns[0] == self.scope.customer.c.id)
        theirs = theirs.correlate(self.scope.customer)
        condition = exists(theirs)
        count = theirs.with_only_columns(func.count()).scalar_subquery()
        self._note(path, given, condition, count, is_personal=value is not None)
        return condition

    def _consent(self, given: object, path: str) -> ColumnElement[bool]:
        """How the customer stands to some channel and purpose is so, all members at once."""
        members = {name: (value, place) for name, value, place in _members(given, path)}
        if unknown := members.keys() - CONSENT_MEMBERS.keys():
            raise _unknown(min(unknown), f"{path}.{min(unknown)}", CONSENT_MEMBERS)
        self._count(path)
        channel, purpose = (
            literal(read(read_text(*members[name])), Text) if name in members else None
            for name, read in (("channel", channel_of), ("purpose", purpose_of))
        )
        asked = Asked(self.scope.as_of, channel=channel, purpose=purpose)
        stands = consents(asked).subquery()
        hers = consents(replace(asked, customer_id=self.scope.customer.c.id)).subquery()
        said = hers.c.channel.concat("/").concat(hers.c.purpose).concat(": ").concat(hers.c.status)
        all_said = select(func.string_agg(said, aggregate_order_by(literal(", "), said)))
        found = select(stands.c.customer_id)
        if "status" in members:
            found = found.where(stands.c.status == read_status(*members["status"]).value.lower())
        condition = self.scope.customer.c.id.in_(found)
        self.asks_consent = True
        self._note(path, given, condition, all_said.scalar_subquery(), is_personal=False)
        return condition

    def _compare(
        self, compared: Field[Any], row: object, given: object, path: str
    ) -> ColumnElement[bool]:
        if compared.is_personal and not self.may_see_personal:
            raise _forbidden(compared.name)
        self.personal += compared.is_personal
        condition = self._operators(
            compared.expression(row),
            compared.type,
            given,
            path,
            is_personal=compared.is_personal,
            spell=compared.spell,
            words=compared.words,
        )
        if not compared.follows_facts:
            self.clock |= clock_of(condition, self.scope, _window(given, path))
        return condition

    def _operators(
        self,
        expression: ColumnElement[Any],
        type_: FieldType,
        given: object,
        path: str,
        *,
        is_personal: bool = False,
        spell: Callable[[str], str] | None = None,
        words: Sequence[str] = (),
    ) -> ColumnElement[bool]:
        operation = Operation(expression, type_, self.scope, self.workspace, spell, words)
        conditions = []
        for name, value, place in _members(given, path):
            self._count(place)
            condition = operation.apply(name, value, place)
            self._note(place, value, condition, expression, is_personal=is_personal)
            conditions.append(condition)
        return and_(true(), *conditions)

    def _count(self, path: str) -> None:
        self.conditions += 1
        if self.conditions > MAX_CLAUSES:
            raise BadInput(f"The filter has more than {MAX_CLAUSES} conditions.", path=path)


def _window(given: object, path: str) -> int | None:
    """The shortest window, in seconds, that the operators of a field look back through."""
    if not isinstance(given, Mapping):
        return None
    durations = [given[name] for name in ("withinLast", "olderThan") if name in given]
    return min((duration_seconds(each, path) for each in durations), default=None)


def _excludes_zero(operator: str, operand: object) -> bool:
    """Whether a count of none surely fails; the operand has been read already."""
    match operator, operand:
        case ("gt", int(least)):
            return least >= 0
        case ("gte", int(least)):
            return least > 0
        case ("eq", int(wanted)):
            return wanted != 0
        case ("between", [int(least), _]):
            return least > 0
        case _:
            return False


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
