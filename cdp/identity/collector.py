"""The garbage collector, held off while much is built that lives on."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """No search for cycles meanwhile: it would look at every object again and again.

    For a pass of bounded size that makes no cycles; what it drops is freed all the same.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
