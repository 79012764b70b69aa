"""Figures of the whole business: who may read them, and the moment as of which they are asked."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, func
from sqlalchemy import DateTime as Instant
from strawberry.types.arguments import StrawberryArgument

from cdp.business.moment import Moment
from cdp.errors import Forbidden
from cdp.operands import read_as_of
from schema.edges import Arguments, Row, Scene, argument, is_given
from schema.objects import constant
from schema.scalars import DateTime

AS_OF: Final[StrawberryArgument] = argument(
    "as_of",
    DateTime | None,
    "Nothing that happened later counts: orders, refunds, messages, points. Which profiles are one"
    " customer is as we know it now. A day alone is the end of it, in the workspace's time zone."
    " The moment of the request unless told, or where told of one that is still to come.",
)
AS_OF_LATE: Final[Mapping[str, Callable[[Any], Hashable]]] = {"asOf": is_given}


def scene_at(scene: Scene, arguments: Arguments) -> Scene:
    """The scene as of the argument `asOf`. Raises Forbidden, and BadInput for what is no moment."""
    if not scene.viewer.may_read_everything:
        raise Forbidden(f"The role {scene.viewer.role.value} does not read the business.")
    given = arguments.later(
        "asOf", Instant(timezone=True), lambda text: read_as_of(text, "asOf", scene.workspace)
    )
    if given is None:
        return scene
    return replace(scene, as_of=func.least(given, scene.as_of), is_past=True)


def moment_in(scene: Scene) -> Moment:
    """The scene's moment, as the domain asks for it."""
    return Moment(scene.as_of, scene.is_past, scene.workspace)


def currency_of(row: Row) -> ColumnElement[str]:
    """The workspace's currency, whatever the row."""
    return constant(row.scene.workspace.currency)
