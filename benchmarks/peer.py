"""The peer of the read path: the same web server and pool around SQL that was written by hand.

`python -m benchmarks.peer` serves it on a free port, as `cdp serve` serves the graph.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from cdp.cli.listening import listen
from cdp.database import Database, open_database
from cdp.server import configuration
from cdp.settings import read_settings

HOST: Final = "127.0.0.1"

_SCALARS: Final = """
    c.id::text AS id, c.name, c.first_name AS "firstName", c.last_name AS "lastName", c.email,
    c.phone, c.city, c.created_at AS "createdAt", c.order_count AS "orderCount",
    c.net_spend::text AS "netSpend\""""

ONE: Final = f"""
    SELECT convert_to(row_to_json(found)::text, 'UTF8')
    FROM (SELECT {_SCALARS} FROM customer AS c WHERE c.id = $1) AS found"""  # noqa: S608 (our own)

MANY: Final = f"""
    SELECT convert_to(json_agg(row_to_json(found))::text, 'UTF8')
    FROM (
        SELECT {_SCALARS}, (
            SELECT coalesce(json_agg(row_to_json(latest)), '[]')
            FROM (
                SELECT o.key, o.placed_at AS "placedAt", o.total::text
                FROM source_profile AS p JOIN sales_order AS o ON o.source_profile_id = p.id
                WHERE p.customer_id = c.id AND o.deleted_at IS NULL
                ORDER BY o.placed_at DESC, o.source_id DESC, o.key DESC LIMIT 3
            ) AS latest
        ) AS orders
        FROM customer AS c WHERE c.order_count >= $1
        ORDER BY c.net_spend DESC, c.id DESC LIMIT 50
    ) AS found"""  # noqa: S608 (our own)


class _Bare:
    """A bare ASGI callable, as the graph's endpoint is one: a number in the path, bytes back."""

    def __init__(self, opened: list[Database], sql: str) -> None:
        self._opened = opened
        self._sql = sql

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        (database,) = self._opened
        body = await database.reader.fetchval(self._sql, scope["path_params"]["number"])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def create_peer(database_url: str) -> Starlette:
    """`GET /customer/ID` and `GET /customers/LEAST_ORDER_COUNT`."""
    opened: list[Database] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with open_database(database_url) as database:
            opened.append(database)
            yield

    return Starlette(
        routes=[
            Route("/customer/{number:int}", _Bare(opened, ONE), methods=["GET"]),
            Route("/customers/{number:int}", _Bare(opened, MANY), methods=["GET"]),
        ],
        lifespan=lifespan,
    )


def main() -> None:
    """Serve until a signal; the address is told on standard error."""
    database_url = read_settings().database_url
    assert database_url is not None, "the benchmark names the database"
    with listen(HOST, 0) as listener:
        port = listener.getsockname()[1]
        sys.stderr.write(f"Peer: http://{HOST}:{port}/\n")
        sys.stderr.flush()
        config = configuration(create_peer(database_url), host=HOST, port=port)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
