"""The connection by which a test run makes and drops databases: one, for as long as it lasts."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TypeVar

import asyncpg

Answer = TypeVar("Answer")


class Clerk:
    """Tells a server what to do, from code with an event loop and from code without.

    A connection costs a process of the server's, which begins by learning what tables there are:
    as much as half of the copy of a database for which it is made. This one has an event loop of
    its own, in a thread, since those of the tests come and go.
    """

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._connection = self._begun(asyncpg.connect(url)).result()

    def execute(self, statement: str) -> "Future[str]":
        """Begin a statement; the future is done when it is."""
        return self._begun(self._connection.execute(statement))

    def texts(self, query: str, *arguments: object) -> list[str]:
        """The first column of each row."""
        rows = self._begun(self._connection.fetch(query, *arguments)).result()
        return [str(row[0]) for row in rows]

    def close(self) -> None:
        """End the connection and the thread."""
        self._begun(self._connection.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _begun(self, work: Coroutine[object, object, Answer]) -> "Future[Answer]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)
