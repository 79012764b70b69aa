"""The end of the demo: a server, and three questions with the answers that it gives."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode

import click
import httpx
import msgspec
from sqlalchemy import func, select

from cdp import tables
from cdp.cli.session import Session
from cdp.database import Database
from cdp.errors import CdpError
from cdp.server import configuration, create_application
from connectors.sandbox.server import GuestServer

LINE: Final = 100
START_TIMEOUT_SECONDS: Final = 30  # a server that needs longer is broken
ANSWER_TIMEOUT_SECONDS: Final = 30

BEST: Final = """{
  customers(first: 3, orderBy: [{field: PURCHASES_NET_SPEND, direction: DESC}]) {
    totalCount
    nodes { name email purchases { orderCount netSpend } lifecycle { stage } }
  }
}"""

AWAY: Final = """{
  customers(
    first: 3
    filter: {purchases: {netSpend: {gte: "500"}, lastOrderAt: {olderThan: "P180D"}}}
    orderBy: [{field: PURCHASES_NET_SPEND, direction: DESC}]
  ) {
    totalCount
    nodes { name purchases { netSpend favouriteCategory } rfm { recencyDays } lifecycle { stage } }
  }
}"""

WHOLE: Final = """{
  customer(identifier: {kind: "email", value: %s}) {
    name email phone
    sourceProfiles { source stream key }
    purchases { orderCount netSpend firstOrderAt lastOrderAt favouriteChannel }
    rfm { recencyDays frequency monetary }
    lifecycle { stage }
  }
}"""


@dataclass(frozen=True, slots=True)
class Question:
    """What the demo asks its own server."""

    title: str
    query: str


async def serve_demo(session: Session, database: Database, listener: socket.socket) -> None:
    """Serve GraphQL until interrupted; on the way, ask it three questions and print its answers."""
    host, port = listener.getsockname()[:2]
    url = f"http://{host}:{port}/graphql"
    # With --json, nothing but the summary is printed.
    questions = [] if session.is_json else await _questions(database)
    app = create_application(replace(session.settings, database_url=database.url))
    async with _serving(GuestServer(configuration(app, host=host, port=port)), listener) as running:
        async with httpx.AsyncClient(timeout=ANSWER_TIMEOUT_SECONDS, trust_env=False) as client:
            for question in questions:
                click.echo(await _asked(client, url, question))
        click.echo(f"\nGraphQL is served on {url} until you press Ctrl-C.", err=session.is_json)
        await running


async def _questions(database: Database) -> list[Question]:
    questions = [Question("The best customers", BEST)]
    email = await _best_known(database)
    if email is not None:
        whole = WHOLE % msgspec.json.encode(email).decode()
        questions.append(Question("One customer, told by every source", whole))
    questions.append(Question("Good customers who have not come back for half a year", AWAY))
    return questions


async def _asked(client: httpx.AsyncClient, url: str, question: Question) -> str:
    """The question, a link that opens it, and the answer."""
    response = await client.post(url, json={"query": question.query})
    answer = response.json()
    if response.is_error or "errors" in answer:
        raise CdpError("DEMO_FAILED", f"The server answered {response.status_code}: {answer}.")
    link = f"{url}?{urlencode({'query': question.query})}"
    shown = laid_out(answer["data"])
    return f"\n# {question.title}\n{question.query}\n\n{shown}\n\nOpen it: {link}"


def laid_out(value: object, indent: str = "") -> str:
    """JSON for people: what fits on a line stands on one line."""
    line = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    if len(indent) + len(line) <= LINE or not isinstance(value, (dict, list)):
        return line
    deeper = indent + "  "
    if isinstance(value, list):
        parts = [laid_out(part, deeper) for part in value]
    else:
        parts = [f'"{name}": {laid_out(part, deeper)}' for name, part in value.items()]
    opened, closed = "[]" if isinstance(value, list) else "{}"
    return f"{opened}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closed}"


async def _best_known(database: Database) -> str | None:
    """An address of the customer whom the most sources know, and of them who bought the most.

    None where no customer has an address.
    """
    profile, identifier = tables.source_profile, tables.identifier
    sources = func.count(profile.c.source_id.distinct())
    known = (
        select(profile.c.customer_id, func.min(identifier.c.value).label("email"))
        .join(identifier, identifier.c.source_profile_id == profile.c.id)
        .where(identifier.c.kind == "email", identifier.c.is_current)
        .group_by(profile.c.customer_id)
        .subquery()
    )
    customer = tables.customer
    statement = (
        select(known.c.email)
        .join(profile, profile.c.customer_id == known.c.customer_id)
        .join(customer, customer.c.id == known.c.customer_id)
        .group_by(known.c.email, customer.c.id)
        .order_by(sources.desc(), customer.c.order_count.desc(), customer.c.id)
        .limit(1)
    )
    async with database.read_only() as connection:
        return (await connection.execute(statement)).scalar_one_or_none()


@asynccontextmanager
async def _serving(
    server: GuestServer, listener: socket.socket
) -> AsyncIterator["asyncio.Task[None]"]:
    """Serve while the block runs; the task ends when a signal tells the server to stop."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    running = asyncio.create_task(server.serve([listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait(
            {running, ready},
            timeout=START_TIMEOUT_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not server.ready.is_set():
            raise CdpError("DEMO_FAILED", "The server did not start.")
        yield running
    finally:
        ready.cancel()
        server.stop()
        await running
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
