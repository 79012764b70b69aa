"""A lean HTTP client that keeps a server busy: a few connections, each asking as soon as told."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.command import BenchmarkFailed

CONNECTIONS: Final = 8
_LENGTH: Final = b"content-length:"


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests were answered, and in how many seconds."""

    requests: int
    seconds: float


def request(method: str, path: str, port: int, body: bytes = b"") -> bytes:
    """A request as it goes over the wire."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(port: int, asked: bytes) -> bytes:
    """The body of one answer. Raises BenchmarkFailed for a status other than 200."""

    async def once() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(asked)
            return await _answer(reader)
        finally:
            writer.close()

    return asyncio.run(once())


def load(port: int, requests: Sequence[bytes], seconds: float) -> Load:
    """Ask these requests in turn for some seconds. Raises BenchmarkFailed."""
    return asyncio.run(_load(port, requests, seconds))


async def _load(port: int, requests: Sequence[bytes], seconds: float) -> Load:
    started = time.perf_counter()
    counts = await asyncio.gather(
        *(
            _connection(port, requests[start::CONNECTIONS] or requests, started + seconds)
            for start in range(CONNECTIONS)
        )
    )
    return Load(sum(counts), time.perf_counter() - started)


async def _connection(port: int, requests: Sequence[bytes], deadline: float) -> int:
    """Ask one request after the other until the deadline; how many were answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answered = 0
    try:
        while time.perf_counter() < deadline:
            writer.write(requests[answered % len(requests)])
            await _answer(reader)
            answered += 1
    finally:
        writer.close()
    return answered


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next(
        int(line.removeprefix(_LENGTH)) for line in head.split(b"\r\n") if line.startswith(_LENGTH)
    )
    body = await reader.readexactly(length)
    if not head.startswith(b"http/1.1 200"):
        raise BenchmarkFailed(f"The server answered {head.decode()}{body.decode()}")
    return body
