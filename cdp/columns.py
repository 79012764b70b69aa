"""The columns of a customer, as files and BI show them: each once, from attributes and catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Float, Text, cast

from cdp.attributes import ATTRIBUTES
from cdp.traits.catalog import CATALOG
from cdp.traits.trait import Scope
from cdp.writers import OutputColumn


@dataclass(frozen=True, slots=True)
class CustomerColumn:
    """A column, the expression that gives it, and whether it is personal data."""

    column: OutputColumn
    expression: ColumnElement[Any]
    is_personal: bool = False

    @property
    def labelled(self) -> ColumnElement[Any]:
        """The expression under the column's name."""
        return self.expression.label(self.column.name)


def customer_columns(scope: Scope) -> Sequence[CustomerColumn]:
    """Own columns of a customer, then every trait under `group_trait`."""
    c = scope.customer.c
    return [
        CustomerColumn(OutputColumn("id", int, "The customer."), c.id),
        *(
            CustomerColumn(
                OutputColumn(each.name, each.type, each.doc), c[each.name], each.is_personal
            )
            for each in ATTRIBUTES
        ),
        CustomerColumn(
            OutputColumn("attributes", str, "What sources said beyond these, as JSON."),
            cast(c.attributes, Text),
            is_personal=True,  # any of them may be
        ),
        CustomerColumn(
            OutputColumn("created_at", datetime, "When any source first knew them."), c.created_at
        ),
        CustomerColumn(
            OutputColumn("updated_at", datetime, "When this row was last folded."), c.updated_at
        ),
        *_traits(scope),
    ]


def _traits(scope: Scope) -> Sequence[CustomerColumn]:
    return [
        CustomerColumn(
            OutputColumn(f"{group.name}_{trait.name}", _plain(trait.type), trait.doc, trait.unit),
            _converted(trait.shown(scope), trait.type),
        )
        for group in CATALOG
        for trait in group.traits
    ]


def _plain(type_: type) -> type:
    return str if issubclass(type_, Enum) else type_


def _converted(expression: ColumnElement[Any], type_: type) -> ColumnElement[Any]:
    """As its column's type: PostgreSQL computes days and ratios in types of its own."""
    if issubclass(type_, Enum):
        return cast(expression, Text)
    if type_ is int:
        return cast(expression, BigInteger)
    return cast(expression, Float(53)) if type_ is float else expression
