"""A socket to serve on, taken before the work begins."""

import errno
import socket
from typing import Final

from cdp.errors import CdpError

BACKLOG: Final = 2_048


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound already. Raises CdpError, in one sentence, where that cannot be."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise CdpError("BAD_ADDRESS", f"{host} is no address: {error}.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise CdpError(
                "BAD_ADDRESS",
                f"{host} is no address of this machine.",
                todo="Give --host one that is; 0.0.0.0 listens on all of them.",
            ) from error
        reason = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be listened on"}
        raise CdpError(
            "PORT_IN_USE",
            f"Port {port} of {host} {reason.get(error.errno or 0, str(error))}.",
            todo="Name another with --port, or stop what holds it.",
        ) from error
    listener.set_inheritable(True)
    return listener
