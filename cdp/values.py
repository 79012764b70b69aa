"""Small types that travel through the whole domain."""

from typing import NewType, TypeAlias

SourceId = NewType("SourceId", int)
ProfileId = NewType("ProfileId", int)
"""Of a source profile; also the customer id that the profile reserves when it is first stored."""

CustomerId = NewType("CustomerId", int)
"""Of a customer: the smallest id among its source profiles."""

RunId = NewType("RunId", int)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
