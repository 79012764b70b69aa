"""What can be worked out of a page without the database, such as while it is busy with another."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from cdp.delivery import Deleted, Delivery, Received, Refused
from cdp.identity.people import Claims, claims_of
from cdp.records import CustomerRecord, OrderRecord
from cdp.rows import Row, line_rows, profile_row, row_of
from cdp.unheard import refuse_unheard
from cdp.values import SourceId
from cdp.versions import Version, version_of


@dataclass(frozen=True, slots=True)
class Ahead:
    """The versions of a page by stream, in the order of their arrival, and what cannot be taken.

    What was worked out of them is found by `id()` of the version: its row (`row_of`, of a customer
    `profile_row`), of an order the rows of its lines, of a customer what it claims. Who looks for
    what is not here works it out; the outcome is the same.
    """

    versions: Mapping[str, list[Version]]
    refused: list[Refused]
    rows: dict[int, Row] = field(default_factory=dict)
    lines: dict[int, list[Row]] = field(default_factory=dict)
    claims: dict[int, Claims] = field(default_factory=dict)


def look_at(deliveries: Iterable[Delivery], region: str) -> Ahead:
    """The versions alone, which are always needed, and what cannot be taken in this region."""
    versions: dict[str, list[Version]] = defaultdict(list)
    refused: list[Refused] = []
    for one in deliveries:
        delivery = refuse_unheard(one, region) if isinstance(one, Received) else one
        if isinstance(delivery, Refused):
            refused.append(delivery)
            continue
        stream = delivery.stream if isinstance(delivery, Deleted) else delivery.record.stream
        versions[stream].append(version_of(delivery))
    return Ahead(versions, refused)


def work_ahead(
    deliveries: Iterable[Delivery], source_id: SourceId, source_name: str, region: str
) -> Ahead:
    """All there is to work out, for a page that brings news."""
    ahead = look_at(deliveries, region)
    for stream, versions in ahead.versions.items():
        for version in versions:
            record, name = version.record, id(version)
            if isinstance(record, CustomerRecord):
                ahead.claims[name] = claims_of(record, source_name, region)
                ahead.rows[name] = profile_row(source_id, version)
                continue
            if isinstance(record, OrderRecord):
                ahead.lines[name] = line_rows(source_id, record)
            ahead.rows[name] = row_of(source_id, stream, version)
    return ahead
