"""Pieces of arrays worked at by two threads: numpy lets go of the interpreter meanwhile."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

THREADS: Final = 2  # beside PostgreSQL, which waits while models are fitted
AHEAD: Final = 4  # pieces that are done, or being done, before somebody asks: bounds memory

_Piece = TypeVar("_Piece")
_Made = TypeVar("_Made")


def side_by_side(
    make: Callable[[_Piece], _Made], pieces: Iterable[_Piece], *, are_many: bool
) -> Iterator[_Made]:
    """What is made of each piece, in their order, so that sums are the same every time.

    Where there are not many, by whoever asks: to begin two threads costs more than it saves.
    """
    if not are_many:
        yield from map(make, pieces)
        return
    with ThreadPoolExecutor(THREADS) as threads:
        ahead: deque[Future[_Made]] = deque()
        for piece in pieces:
            ahead.append(threads.submit(make, piece))
            if len(ahead) > AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
