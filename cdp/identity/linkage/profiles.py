"""What linkage reads of a source profile: one row of an Arrow table."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

_STRINGS: Final = pa.list_(pa.string())
_FIELDS: Final[Mapping[str, pa.DataType]] = {
    "profile_id": pa.int64(),
    "given": pa.string(),
    "family": pa.string(),
    "birth_date": pa.date32(),
    "gender": pa.string(),
    "street": pa.string(),
    "city": pa.string(),
    "postal_code": pa.string(),
    "country": pa.string(),
    "emails": _STRINGS,
    "phones": _STRINGS,
    "strong": _STRINGS,
}

PROFILES: Final = pa.schema(_FIELDS)
"""One row per source profile of the stream `customers`; null means not known, lists may be empty.

`given` and `family` are name keys (`cdp.identity.normalise.name_keys`), places as they are
written, emails and phones normalised, without values that join nobody; `strong` are identifiers of
unique kinds as `kind:value`, without the profile's own key.
"""
