"""Serves an emulator over real HTTP on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

# Long enough for a loaded machine; a server that needs longer is broken.
START_TIMEOUT_SECONDS = 20.0


class GuestServer(uvicorn.Server):
    """uvicorn's server, told to leave signals to the program that it runs inside of.

    It says when it is `ready`.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none: signals belong to the program around us."""
        yield

    def stop(self) -> None:
        """End after what is being answered."""
        self.should_exit = True


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """Serve app on an ephemeral port of 127.0.0.1 while the block runs; yield its base address."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = GuestServer(
        uvicorn.Config(
            app,
            lifespan="off",
            access_log=False,
            # Logging belongs to the program around us.
            log_config=None,
            log_level="warning",
            # The block is over: nobody waits for an answer any more.
            timeout_graceful_shutdown=1,
        )
    )
    running = asyncio.create_task(server.serve([listener]))
    ready = asyncio.create_task(server.ready.wait())
    try:
        await asyncio.wait(
            {running, ready},
            timeout=START_TIMEOUT_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not server.ready.is_set():
            raise RuntimeError("the sandbox's server did not start")
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ready.cancel()
        server.stop()
        await running
        listener.close()
