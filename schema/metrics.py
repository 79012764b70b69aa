"""What the server counts, for Prometheus."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from cdp.errors import CdpError
from cdp.operations import Operations

REGISTRY = CollectorRegistry()

REQUESTS = Counter(
    "cdp_graphql_requests", "GraphQL requests by outcome.", ["outcome"], registry=REGISTRY
)
ERRORS = Counter("cdp_graphql_errors", "GraphQL errors by code.", ["code"], registry=REGISTRY)
STATEMENTS = Counter("cdp_graphql_statements", "SQL statements that reads sent.", registry=REGISTRY)
SOCKETS = Gauge("cdp_graphql_sockets", "WebSockets that are open.", registry=REGISTRY)
LATENCY = Histogram(
    "cdp_graphql_seconds",
    "From the request's last byte to the answer's first.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 8),
    registry=REGISTRY,
)


async def metrics(operations: Callable[[], Awaitable[Operations]], _: Request) -> Response:
    """What the process counts and, where the database answers, what that tells."""
    told = generate_latest(REGISTRY)
    with suppress(OSError, SQLAlchemyError, CdpError):
        told += generate_latest(_told_of(await operations()))
    return Response(told, media_type=CONTENT_TYPE_LATEST)


def _told_of(operations: Operations) -> CollectorRegistry:
    """What the database tells, as gauges: the same from every worker."""
    registry = CollectorRegistry()
    labels = ["source", "connector"]
    age = Gauge(
        "cdp_source_age_seconds",
        "Seconds since a run began that read the source to its end.",
        labels,
        registry=registry,
    )
    failed = Gauge(
        "cdp_source_failed", "1 where its last run failed, else 0.", labels, registry=registry
    )
    for one in operations.sources:
        if one.age_seconds is not None:
            age.labels(one.name, one.connector).set(one.age_seconds)
        failed.labels(one.name, one.connector).set(one.is_failed)
    letters = Gauge(
        "cdp_dead_letters", "Records not taken, still open.", ["source"], registry=registry
    )
    for name, count in operations.dead_letters.items():
        letters.labels(name).set(count)
    Gauge(
        "cdp_outbox_rows", "Batches of touched customers that segments wait for.", registry=registry
    ).set(operations.outbox_rows)
    Gauge(
        "cdp_outbox_age_seconds", "How long the first of them has waited.", registry=registry
    ).set(operations.outbox_age_seconds)
    return registry
