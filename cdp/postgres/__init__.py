"""The embedded PostgreSQL: one supervised server per home folder, shared by all its users.

A *user* is any process inside `embedded()`: it holds a shared lock on `users.lock`. The first user
starts a *supervisor*, a small detached process that holds `supervisor.lock`, has postgres as its
direct child, and ends once it can have `users.lock` for itself alone. The kernel frees the locks
of a killed process, so that nobody's death is overlooked: a killed user counts as gone, a killed
postgres is started again, and a killed supervisor takes postgres with it and is replaced by a
surviving user or by the next one.
"""

from cdp.postgres.binaries import find_binaries
from cdp.postgres.user import embedded

__all__ = ["embedded", "find_binaries"]
