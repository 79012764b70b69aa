"""Small types that travel through the whole domain."""

from typing import Final, NewType, TypeAlias

SourceId = NewType("SourceId", int)
ProfileId = NewType("ProfileId", int)
"""Of a source profile; also the customer id that the profile reserves when it is first stored."""

CustomerId = NewType("CustomerId", int)
"""Of a customer: the smallest id among its source profiles."""

RunId = NewType("RunId", int)

MAX_ACT_KEY: Final = 200
"""Characters of a caller's own name for an act, under which it is done once."""

MAX_REASON: Final = 500
"""Characters of why somebody acts."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
