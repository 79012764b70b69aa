"""Consents in the graph: how a customer stands, why, and finding customers by it."""

import pytest

from tests.schema.client import Graph
from tests.schema.test_read import ANN

pytestmark = pytest.mark.anyio

STANDING = """
query ($who: IdentifierInput) { customer(identifier: $who) { consents {
  channel purpose status since contactPoint source evidence
  statements { status at contactPoint source event evidence holds isOwn profile { source key } }
} } }
"""


async def test_consents_tell_how_a_customer_stands_and_why(graph: Graph) -> None:
    marketing, profiling = (await graph.read(STANDING, who=ANN))["customer"]["consents"]
    assert marketing == {
        "channel": "email",
        "purpose": "marketing",
        "status": "GRANTED",
        "since": marketing["since"],
        "contactPoint": "ann@example.com",
        "source": "newsletter",
        "evidence": "Ann ticked the box",
        "statements": [
            {
                "status": "GRANTED",
                "at": marketing["since"],
                "contactPoint": "ann@example.com",
                "source": "newsletter",
                "event": None,
                "evidence": "Ann ticked the box",
                "holds": True,
                "isOwn": True,
                "profile": {"source": "newsletter", "key": "email:ann@example.com"},
            }
        ],
    }
    assert (profiling["channel"], profiling["purpose"]) == ("email", "profiling")
    assert profiling["status"] == "WITHDRAWN"


@pytest.mark.parametrize("role", ["frontend", "analyst"])
async def test_masked_role_reads_how_a_customer_stands_but_not_where_or_how_it_is_known(
    graph: Graph, role: str
) -> None:
    marketing, _ = (await graph.read(STANDING, role, who=ANN))["customer"]["consents"]
    (statement,) = marketing["statements"]
    assert (marketing["status"], marketing["source"]) == ("GRANTED", "newsletter")
    assert statement["profile"] == {"source": "newsletter", "key": None}
    for shown in (marketing, statement):
        assert (shown["contactPoint"], shown["evidence"]) == (None, None)


@pytest.mark.parametrize(
    ("filter_", "names"),
    [
        ('consent: {channel: "email", purpose: "marketing", status: GRANTED}', ["Ann Miller"]),
        ('consent: {channel: "EMAIL", purpose: " Marketing", status: DENIED}', ["Bo Øster"]),
        ('consent: {purpose: "profiling"}', ["Ann Miller"]),
        ("consent: {status: WITHDRAWN}", ["Ann Miller"]),
        ('consent: {channel: "email", purpose: "profiling", status: GRANTED}', []),
        ("consent: {}", ["Ann Miller", "Bo Øster"]),
        ('not: {consent: {purpose: "marketing"}}', [None, None]),
    ],
)
async def test_customers_are_found_by_how_they_stand(
    graph: Graph, filter_: str, names: list[str | None]
) -> None:
    query = "{ customers(filter: {%s}) { nodes { name } } }" % filter_  # noqa: UP031  braces
    found = (await graph.read(query))["customers"]["nodes"]
    assert [customer["name"] for customer in found] == names
    assert "errors" not in await graph.answer(query, "frontend")


@pytest.mark.parametrize("given", ['{kind: "email"}', "{status: SILENT}", "null"])
async def test_consent_that_cannot_be_asked_for_is_refused(graph: Graph, given: str) -> None:
    query = "{ customers(filter: {consent: %s}) { totalCount } }" % given  # noqa: UP031  braces
    assert (await graph.refusal(query))[0] == "BAD_REQUEST"
