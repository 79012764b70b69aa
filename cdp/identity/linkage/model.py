"""A linkage model: everything that a run learned, so that a later run scores the same way."""

from collections.abc import Mapping

import msgspec


class Frequencies(msgspec.Struct, frozen=True):
    """How often names are borne: of `profiles`, so many with a name, and each name's times."""

    profiles: int
    given_count: int
    family_count: int
    given: Mapping[str, int]
    family: Mapping[str, int]
