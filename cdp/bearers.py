"""Who bears an identifier: which kinds there are, how a value may be stored, whose it is."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Select, select

from cdp import tables
from cdp.errors import BadInput
from cdp.identity.normalise import IDENTIFIER_FAMILIES, normalise
from cdp.operands import read_text
from cdp.workspace import Workspace

_OWN_KEY: Final = "external"  # external:SOURCE
_NAMED_FAMILIES: Final = ("handle", _OWN_KEY)  # kinds that go on: handle:bluesky

IDENTIFIER_KINDS: Final = tuple(
    f"{family}:NAME" if family in _NAMED_FAMILIES else family for family in IDENTIFIER_FAMILIES
)


def identified_by(kind: str, value: str | None, *, workspace: Workspace) -> Select[int]:
    """The ids of customers who carry, or once carried, an identifier of the kind.

    `value` may have any spelling; None asks for any value. Raises BadInput for an unknown kind.
    """
    _check_kind(kind)
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
    Raises BadInput for an unknown kind.
    """
    _check_kind(kind)
    text = read_text(value, "value")
    if kind.startswith(f"{_OWN_KEY}:"):
        return sorted({text, text.strip()})
    normal = normalise(kind, text, workspace.region)
    return [] if normal is None else [normal]


def _check_kind(kind: str) -> None:
    family, _, name = read_text(kind, "kind").partition(":")
    if family not in IDENTIFIER_FAMILIES or (name != "") != (family in _NAMED_FAMILIES):
        raise BadInput(
            f"There is no kind of identifier {kind!r}.",
            todo=f"There are: {', '.join(IDENTIFIER_KINDS)}.",
            path="kind",
        )
