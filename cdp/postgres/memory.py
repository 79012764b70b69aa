"""How much memory the embedded server keeps pages in: a share of what this machine lets it have."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

SHARE: Final = 4  # one in so many: where PostgreSQL's manual begins (19.4, shared_buffers)
LEAST_MEGABYTES: Final = 256
# The facts of a million customers are read as a whole, and PostgreSQL keeps no table that is larger
# than a quarter of this: it would read each page from the system again, and check it, every time.
MOST_MEGABYTES: Final = 2_048
_MEGABYTE: Final = 1 << 20

_LIMITS: Final = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container reads how much it may have, by the two versions of control groups."""


def buffer_megabytes(limits: Iterable[Path] = _LIMITS) -> int:
    """What to set shared_buffers to. Memory is taken as pages are read, not at once."""
    share = _memory(limits) // SHARE // _MEGABYTE
    return min(max(share, LEAST_MEGABYTES), MOST_MEGABYTES)


def _memory(limits: Iterable[Path]) -> int:
    """Bytes: of the machine, or fewer where a container has a limit."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in limits:
        with suppress(OSError, ValueError):  # not there, or "max"
            memory = min(memory, int(path.read_text()))
    return memory
