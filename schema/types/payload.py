"""What every payload of a mutation has: the refusals that a caller can expect."""

from typing import Final

import strawberry
from sqlalchemy import Text, select
from sqlalchemy.dialects.postgresql import JSONB

from schema.deeds import ERRORS
from schema.edges import Arguments, Branch, Many, Row, column, planned
from schema.objects import items


@strawberry.type(
    description="Why a mutation did nothing, told to be shown. All of it was refused, or none."
)
class UserError:
    """An item of the payload's errors."""

    code: str = column(
        "code",
        "`BAD_REQUEST`: the input cannot be taken. `NOT_FOUND`: it names something that there is"
        " not, or no longer. `BUSY`: too many are writing; try again. What else a mutation can be"
        " refused for, its payload names.",
    )
    message: str = column("message", "A sentence for a person, with what to do next.")
    path: list[str] | None = column(
        "path",
        "The part of the input at fault, from field to field and from place to place in a list,"
        ' such as `["input", "filter", "or", "1", "country"]`; null if it is none.',
    )


def _errors(payload: Row, _: Arguments) -> Branch:
    listed = items(payload.table.c[ERRORS], {"code": Text(), "message": Text(), "path": JSONB()})
    query = select().select_from(listed).order_by(listed.c.position)
    return Branch("UserError", Row(listed, "user_error", payload.scene), query)


USER_ERRORS: Final = planned(
    Many(_errors), "Why nothing was done, if so; empty where it was. Look here first."
)
