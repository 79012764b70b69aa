"""Reading customers: which ones (filter, search), in what order, which page; columns by choice."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Select,
    Text,
    any_,
    cast,
    false,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from cdp import tables
from cdp.bearers import identified_by
from cdp.errors import BadInput, Forbidden
from cdp.identity.normalise import MAX_WORD, fold
from cdp.keyset import Ordering, Page, continue_after, order_by
from cdp.operands import read_text
from cdp.statements import given
from cdp.traits.lookups import LookUps
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

WHOLE_KINDS: Final = ("email", "phone", "loyalty_card")
"""Kinds of identifier that the whole text of a search may be, however it is spelled."""

AS_OF: Final = "as_of"
MAX_SEARCH: Final = 320  # characters; the longest identifier
MAX_SEARCH_WORDS: Final = 10  # each is looked up by itself


def present(as_of: datetime, workspace: Workspace) -> Scope:
    """Customers as they are now; `as_of` is the moment of the request, with time zone."""
    return _present(literal(as_of, DateTime(timezone=True)), workspace)


def whenever(workspace: Workspace, lookups: LookUps | None = None) -> Scope:
    """The same at a moment that is given when the statement is run, as the parameter AS_OF."""
    return _present(given(AS_OF, DateTime(timezone=True)), workspace, lookups)


def _present(
    as_of: ColumnElement[datetime], workspace: Workspace, lookups: LookUps | None = None
) -> Scope:
    return Scope(
        customer=tables.scored_customer,
        fact=tables.scored_customer,
        as_of=as_of,
        timezone=workspace.timezone,
        money_digits=workspace.money_digits,
        lookups=lookups,
    )


def search(
    text: str, scope: Scope, *, workspace: Workspace, may_see_personal: bool
) -> ColumnElement[bool]:
    """Customers in whom each word of the text begins a word, or who bear the text as identifier.

    An email address, phone number or loyalty card finds its customer in any spelling, also where it
    is no longer the one shown. A text without a word finds nobody. Raises BadInput, and Forbidden
    for a reader who may not see personal data.
    """
    if not may_see_personal:
        raise Forbidden("Search looks at personal data, which your role does not see.")
    if len(read_text(text, "search")) > MAX_SEARCH or len(text.split()) > MAX_SEARCH_WORDS:
        raise BadInput(
            "The search is too long.",
            todo=f"Give at most {MAX_SEARCH_WORDS} words of {MAX_SEARCH} characters in all.",
            path="search",
        )
    terms = [term for word in text.split() if (term := _term(word))]
    query = cast(literal(" & ".join(terms), Text), TSQUERY)
    by_words = scope.customer.c.search.bool_op("@@")(query) if terms else false()
    bearers = (identified_by(kind, text, workspace=workspace) for kind in WHOLE_KINDS)
    # An array made once, so that both sides of OR can use an index.
    return or_(
        by_words,
        *(scope.customer.c.id == any_(func.array(ids.scalar_subquery())) for ids in bearers),
    )


def _term(word: str) -> str | None:
    """What a word matches: the start of an identifier, or the starts of its parts, as in names.

    Written as PostgreSQL reads a tsquery: quoted, nothing in the word is an operator. None for a
    word without a letter or digit.
    """
    parts = fold(word).split()
    if not parts:
        return None
    whole = _prefix(word.lower().removeprefix("@"))
    return f"({whole} | {' & '.join(_prefix(part) for part in parts)})"


def _prefix(text: str) -> str:
    escaped = text[:MAX_WORD].replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}':*"


def select_customers(
    columns: Sequence[ColumnElement[Any]],
    scope: Scope,
    *,
    where: Sequence[ColumnElement[bool]],
    ordering: Ordering,
    page: Page,
) -> Select[Any]:
    """One page of customers, in the order given; a backward page comes last to first.

    `where` comes from `cdp.filters.predicate` and `search`. To learn whether there are more, ask
    for a page that is one larger.
    """
    rest = continue_after(ordering, page, scope)
    return (
        select(*columns)
        .select_from(scope.customer)
        .where(*where, *(() if rest is None else (rest,)))
        .order_by(*order_by(ordering, page, scope))
        .limit(page.size)
    )


def count_customers(scope: Scope, *, where: Sequence[ColumnElement[bool]]) -> Select[int]:
    """How many customers there are, whatever the page."""
    return select(func.count()).select_from(scope.customer).where(*where)
