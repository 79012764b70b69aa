"""The schema as a whole: the committed SDL, its descriptions, and what each field declares."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import GraphQLEnumType, GraphQLField, GraphQLInputObjectType, GraphQLObjectType
from graphql.type import is_introspection_type
from sqlalchemy import Table

from cdp import tables
from cdp.fields import camel_case
from cdp.traits.catalog import CATALOG
from schema.edges import MAX_CHILDREN, Loaded
from schema.masking import OPEN, PERSONAL, is_open
from schema.root import build_schema, sdl
from schema.visit import edge_of

ROOT = Path(__file__).parents[2]
SCHEMA = build_schema()._schema  # noqa: SLF001  Strawberry has no public name for it

CONTRACT = {
    "Query": "node nodes customer customers segment segments segmentPreview segmentMembership"
    " segmentOverlap sources matchReviews identityRules retention business",
    "Mutation": "mergeCustomers splitCustomer undoMerge decideMatch createSegment updateSegment"
    " deleteSegment recordConsent earnPoints redeemPoints adjustPoints ingest",
    "IngestPayload": "new changed unchanged refused refusals errors",
    "MergeCustomersPayload": "customer customers mergeEvents changes traitChanges notes errors",
    "SplitCustomerPayload": "customers mergeEvents changes traitChanges notes errors",
    "UndoMergePayload": "customers mergeEvents changes traitChanges notes errors",
    "DecideMatchPayload": "customers mergeEvents changes traitChanges notes errors",
    "UserError": "code message path",
    "Customer": "id name firstName lastName email phone birthDate gender address language createdAt"
    " updatedAt attributes provenance identifiers sourceProfiles mergeHistory decisions"
    " matchReviews purchases rfm lifecycle segments orders timeline consents"
    " tickets loyaltyEntries recommendations",
    "Address": "street city region postalCode country",
    "Identifier": "kind value source firstSeenAt lastSeenAt",
    "SourceProfile": "source stream key record",
    "MergeEvent": "id at kind evidence actor reason decision undoes isUndone",
    "MergeEvidence": "kind value weight",
    "IdentityDecision": "kind action at actor reason retractedAt isOverruled left right",
    "MatchReview": "id kind value reason priority probability weight left right comparisons against"
    " openedAt",
    "MatchSide": "customer sourceProfiles",
    "MatchComparison": "name level weight",
    "IdentityRules": "version appliedAt actor reason kinds linkage document",
    "Segment": "slug name description owner isStatic filter memberCount customers changes error",
    "Ticket": "id source subject status priority channel openedAt firstResponseAt resolvedAt",
    "SegmentMembership": "segment enteredAt",
    "SegmentChange": "segment kind at cause customerId customer otherCustomerId",
    "SegmentPreview": "count percentage sample",
    "SegmentStanding": "segment customer isMember enteredAt exitedAt why",
    "RetentionGrid": "period asOf currency cohorts earlierCustomers",
    "RetentionCohort": "startsOn size cells",
    "RetentionCell": "index startsOn isComplete customers rate revenue",
    "BusinessMetrics": "asOf currency purchases retention cltv nps csat loyalty subscriptions"
    " campaigns",
    "BusinessPurchases": "buyers repeatPurchaseRate orders ordersPerCustomer netRevenue"
    " averageOrderValue",
    "BusinessRetention": "retentionRate churnRate",
    "BusinessCltv": "historic predicted predictedReason",
    "CampaignEffect": "key messages customers attributedOrders revenue cost roi",
    "CustomerConnection": "edges nodes pageInfo totalCount",
    "Rfm": "recencyDays frequency monetary",
    "Lifecycle": "stage",
}


def fields() -> Iterator[tuple[str, GraphQLField]]:
    for type_ in SCHEMA.type_map.values():
        if isinstance(type_, GraphQLObjectType) and not is_introspection_type(type_):
            for name, each in type_.fields.items():
                yield f"{type_.name}.{name}", each


def test_committed_sdl_is_what_the_code_says() -> None:
    assert (ROOT / "schema" / "schema.graphql").read_text(encoding="utf-8") == sdl()


@pytest.mark.parametrize("type_name", CONTRACT)
def test_names_that_others_rely_on_are_there(type_name: str) -> None:
    type_ = SCHEMA.type_map[type_name]
    assert isinstance(type_, GraphQLObjectType)
    assert set(CONTRACT[type_name].split()) <= set(type_.fields)


def test_every_field_compiles_or_is_declared_loaded() -> None:
    loaded = {name for name, each in fields() if isinstance(edge_of(each), Loaded)}
    assert loaded == {
        "Source.deadLetterCount",
        "IdentityRules.document",
        "SegmentStanding.why",
    }
    assert [name for name, each in fields() if edge_of(each) is None] == []


def test_everything_is_described() -> None:
    bare = [name for name, each in fields() if not each.description]
    for type_ in SCHEMA.type_map.values():
        if is_introspection_type(type_) or type_.name in (
            "ID",
            "Int",
            "Float",
            "String",
            "Boolean",
        ):
            continue
        if not type_.description:
            bare.append(type_.name)
        if isinstance(type_, GraphQLInputObjectType):
            bare += [
                f"{type_.name}.{n}" for n, each in type_.fields.items() if not each.description
            ]
    assert bare == []


def test_catalog_is_projected_whole() -> None:
    for group in CATALOG:
        name = camel_case(group.name)
        type_ = SCHEMA.type_map[group.type_name or name[0].upper() + name[1:]]
        assert isinstance(type_, GraphQLObjectType)
        assert list(type_.fields) == [camel_case(trait.name) for trait in group.traits]
        for trait in group.traits:
            described = type_.fields[camel_case(trait.name)].description
            assert described is not None
            assert trait.doc in described


def test_sort_enum_names_every_trait() -> None:
    type_ = SCHEMA.type_map["CustomerOrderField"]
    assert isinstance(type_, GraphQLEnumType)
    for group in CATALOG:
        for trait in group.traits:
            assert f"{group.name}_{trait.name}".upper() in type_.values


@pytest.mark.parametrize("module", ["plan", "pages", "edges", "operation", "traits", "selection"])
def test_planner_knows_no_trait_by_name(module: str) -> None:
    tree = ast.parse((ROOT / "schema" / f"{module}.py").read_text(encoding="utf-8"))
    words = {
        node.value if isinstance(node, ast.Constant) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.Attribute)
    }
    names = {trait.name for group in CATALOG for trait in group.traits}
    names |= {group.name for group in CATALOG}
    names -= {"total"}  # a list has one too
    assert not words & names


def tables_of_the_graph() -> set[str]:
    """The tables that a module of the schema names."""
    return {
        table.name
        for path in (ROOT / "schema").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "tables"
        and isinstance(table := _behind(getattr(tables, node.attr)), Table)
    }


def _behind(named: object) -> object:
    """The table; of a customer with the score, the customer's."""
    return tables.customer if named is tables.scored_customer else named


def test_every_column_that_the_graph_can_reach_is_open_or_personal() -> None:
    reached = tables_of_the_graph()
    assert {"customer", "source_profile", "consent", "sync_run"} <= reached
    for name in reached:
        assert OPEN[name] | PERSONAL[name] == set(tables.metadata.tables[name].c.keys()) | (
            {"source_id"} if name == "identifier" else set()
        ), name
    for name in OPEN.keys() | PERSONAL.keys():
        assert not OPEN[name] & PERSONAL.get(name, frozenset()), name


@pytest.mark.parametrize(("table", "column"), [("customer", "shoe_size"), ("new_table", "id")])
def test_what_nobody_classified_is_masked(table: str, column: str) -> None:
    assert not is_open(table, column)


def test_every_payload_and_free_attribute_is_personal() -> None:
    for name in PERSONAL:
        table = tables.metadata.tables.get(name)
        if table is not None and "payload" in table.c:
            assert {"payload", "attributes"} <= PERSONAL[name]


def test_lists_without_pages_are_bounded() -> None:
    assert MAX_CHILDREN <= 250
