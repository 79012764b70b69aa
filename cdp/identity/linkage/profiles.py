"""What linkage reads of a source profile: one row of an Arrow table."""

from typing import Final

import pyarrow as pa

PROFILES: Final = pa.schema(
    [
        pa.field("profile_id", pa.int64(), nullable=False),
        pa.field("given", pa.string()),
        pa.field("family", pa.string()),
        pa.field("birth_date", pa.date32()),
        pa.field("gender", pa.string()),
        pa.field("street", pa.string()),
        pa.field("city", pa.string()),
        pa.field("postal_code", pa.string()),
        pa.field("country", pa.string()),
        pa.field("emails", pa.list_(pa.string()), nullable=False),
        pa.field("phones", pa.list_(pa.string()), nullable=False),
        pa.field("strong", pa.list_(pa.string()), nullable=False),
    ]
)
"""One row per source profile of the stream `customers`; null means not known.

`given` and `family` are name keys (`cdp.identity.normalise.name_keys`), places are folded, emails
and phones normalised, without values that join nobody; `strong` are identifiers of unique kinds as
`kind:value`, without the profile's own key.
"""
