"""Global ids as a client gets them, for tests that ask by one."""

import base64


def gid(*parts: object) -> str:
    """A global id: `gid("Order", 3, "1001")`."""
    return base64.b64encode(":".join(map(str, parts)).encode()).decode()
