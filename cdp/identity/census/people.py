"""Who everybody says that they are, by numbers."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cdp.identity.census.columns import Census, Flags, Integers, codes_of, numbers_of
from cdp.identity.evidence import CONTACT

_UNKNOWN = pa.scalar(np.iinfo(np.int32).min, pa.int32())


@dataclass(frozen=True, slots=True)
class People:
    """Of each place. `name`: equal where both names are; `number`: where the birth date is too."""

    name: Integers
    number: Integers
    is_named: Flags
    is_contact: Flags


def people_of(census: Census) -> People:
    """Number the names and persons."""
    given, givens = codes_of(census.people, "given")
    family, families = codes_of(census.people, "family")
    streams, stream_names = codes_of(census.people, "stream")
    day = census.people["birth_date"].cast(pa.int32()).fill_null(_UNKNOWN).to_numpy()
    born = np.unique(day, return_inverse=True)[1].astype(np.int64)
    name = numbers_of(given, family)
    return People(
        name=name,
        number=numbers_of(name, born),
        is_named=_are(givens, given) | _are(families, family),
        is_contact=np.array([one == CONTACT for one in stream_names], np.bool_)[streams],
    )


def _are(words: list[str], numbers: Integers) -> Flags:
    known: Flags = np.array([bool(word) for word in words], np.bool_)[numbers]
    return known
