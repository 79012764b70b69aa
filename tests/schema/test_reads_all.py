"""Which statements PostgreSQL plans anew for their values: those that read all there is."""

import pytest

from cdp.keys import VIEWERS, Role
from cdp.survivorship_rules import DEFAULT
from cdp.workspace import Workspace
from schema.operation import Asked, Operations
from schema.root import build_schema

ONE = 'customer(id: "Q3VzdG9tZXI6MQ==") { name }'


@pytest.mark.parametrize(
    ("query", "reads_all"),
    [
        ("{ segmentPreview(filter: {}) { count } }", True),
        ("{ retention(period: MONTH) { earlierCustomers } }", True),
        ("{ business { purchases { orders } } }", True),
        (
            '{ customer(id: "Q3VzdG9tZXI6MQ==") { name } segmentPreview(filter: {}) { count } }',
            True,
        ),
        ('{ customer(id: "Q3VzdG9tZXI6MQ==") { name } }', False),
        ("{ customers(first: 10) { nodes { id } } }", False),
    ],
)
def test_what_reads_all_is_planned_for_its_values(query: str, reads_all: bool) -> None:  # noqa: FBT001  # a case
    operation = Operations(build_schema()._schema).read(query, None)  # noqa: SLF001  # no public name
    asked = Asked({}, operation.variables({}), VIEWERS[Role.ADMIN], Workspace(), DEFAULT)
    assert operation.statement(asked).reads_all is reads_all
