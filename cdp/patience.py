"""HTTP as uvicorn speaks it, with an end to how long, and with how much, a client may keep it."""

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

HEAD_SECONDS: Final = 10.0  # for the head of a request; whoever is slower has another purpose
MAX_HEAD_BYTES: Final = 64 * 1024  # all of it is held; keys and cookies take a few thousand
ALWAYS_ANSWERED: Final = (b"/healthz", b"/readyz")
"""Asked by whoever decides whether to restart the server: to refuse them would bring it down."""


class PatientProtocol(HttpToolsProtocol):
    """One connection, closed where its client is slow and others need its place.

    A client *owes* from when it connects until its request has come whole, and again after each
    answer. The head of a request must come within `head_seconds`, and within MAX_HEAD_BYTES. Where
    there are as many connections as there may be, the one whose client has owed for the longest is
    closed for the new one; only where nobody owes is the new one refused, unless it asks how the
    server is.
    """

    head_seconds: ClassVar[float] = HEAD_SECONDS

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.owes_since: float | None = None
        self._head_due: asyncio.TimerHandle | None = None
        self._unsent_bytes: int | None = None
        self._head_bytes: int | None = None  # so far; None outside of a head

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, and wait for a head."""
        super().connection_made(transport)
        self._wait()
        most = self.config.limit_concurrency
        if most is not None and len(self.connections) >= most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Read on, save in a head that is too long."""
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._head_bytes = None
                self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The head has come; the body is waited for by whoever reads it."""
        self._stop_waiting()
        self._head_bytes = None
        is_exempt = self.url.partition(b"?")[0] in ALWAYS_ANSWERED
        self.limit_concurrency = None if is_exempt else self.config.limit_concurrency
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request has come whole: from here on it is the server that owes.

        One that becomes a WebSocket leaves this protocol, without an answer.
        """
        super().on_message_complete()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            self.owes_since = None

    def on_response_complete(self) -> None:
        """Wait for the next head, if none has come already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._stop_waiting()
        self.owes_since = self.loop.time()
        self._unsent_bytes = None
        self._head_due = self.loop.call_later(self.head_seconds, self._overdue)

    def _stop_waiting(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _overdue(self) -> None:
        """Close; a client that is still taking the answer before has the same time once more."""
        unsent = self.transport.get_write_buffer_size()
        if unsent and (self._unsent_bytes is None or unsent < self._unsent_bytes):
            self._unsent_bytes = unsent
            self._head_due = self.loop.call_later(self.head_seconds, self._overdue)
            return
        self._head_due = None
        self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection whose client has owed for the longest."""
        owing = [
            (other.owes_since, id(other), other)
            for other in self.connections
            if isinstance(other, PatientProtocol) and other.owes_since is not None
        ]
        _, _, longest = min(owing)  # this one owes too
        if longest is not self:
            self.connections.discard(longest)  # at once: it is told of its end a moment later
            longest.owes_since = None
            longest.transport.abort()
