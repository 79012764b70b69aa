"""What of a customer a decision changes: every attribute, trait and segment, before and after."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeAlias

from sqlalchemy import ARRAY, BigInteger, any_, select

from cdp.attributes import ATTRIBUTES, Attribute
from cdp.fields import camel_case
from cdp.query import AS_OF, whenever
from cdp.related import segments_of
from cdp.statements import Statement, compiled, given
from cdp.traits.catalog import CATALOG
from cdp.values import CustomerId
from cdp.versions import Driver
from cdp.workspace import Workspace

SEGMENTS: Final = "segments"  # the path in GraphQL

Values: TypeAlias = Mapping[CustomerId, Mapping[str, object]]
"""Of each customer what is told, by its path in GraphQL."""


@dataclass(frozen=True, slots=True)
class TraitChange:
    """An attribute or trait of a customer that becomes another; None where it is not known.

    `name` is the path in GraphQL, such as `purchases.netSpend`; `segments` is the list of slugs.
    """

    customer_id: CustomerId
    name: str
    before: object
    after: object


async def values_of(
    driver: Driver, customer_ids: Collection[CustomerId], workspace: Workspace, at: datetime
) -> Values:
    """Every attribute, every trait and the segments of the given customers, as of `at`."""
    names, statement = _all_of_a_customer(workspace)
    asked = {"ids": list(customer_ids), AS_OF: at}
    return {
        CustomerId(customer_id): dict(zip(names, values, strict=True))
        for customer_id, *values in await statement.fetch(driver, asked)
    }


def differences(before: Values, after: Values) -> list[TraitChange]:
    """What becomes another for the customers that there are after it."""
    nobody: Mapping[str, object] = {}
    return [
        TraitChange(customer_id, name, before.get(customer_id, nobody).get(name), value)
        for customer_id, values in sorted(after.items())
        for name, value in values.items()
        if before.get(customer_id, nobody).get(name) != value
    ]


@lru_cache(maxsize=4)  # the settings in force, and those before them
def _all_of_a_customer(workspace: Workspace) -> tuple[Sequence[str], Statement]:
    """Every attribute and trait of the customers `ids`: the paths in GraphQL, and the query."""
    scope = whenever(workspace)
    columns = {
        **{_path(one): scope.customer.c[one.name] for one in ATTRIBUTES},
        **{
            f"{group.name}.{camel_case(each.name)}": each.shown(scope)
            for group in CATALOG
            for each in group.traits
        },
        SEGMENTS: segments_of(scope),
    }
    ids = any_(given("ids", ARRAY(BigInteger)))
    query = select(scope.customer.c.id, *columns.values()).where(scope.customer.c.id == ids)
    return tuple(columns), compiled(query)


def _path(attribute: Attribute) -> str:
    """As GraphQL names it, which has the parts of the address in an object."""
    within = "address." if attribute.composite == "address" else ""
    return f"{within}{camel_case(attribute.name)}"
