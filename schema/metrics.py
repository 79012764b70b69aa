"""What the server counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
