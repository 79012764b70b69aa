"""GraphiQL for people, from files of our own: nothing is fetched from elsewhere."""

import gzip
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from cdp.keys import Viewer
from schema.access import is_local
from schema.errors import Unauthenticated

ViewerOf = Callable[[Scope], Awaitable[Viewer]]

_REFUSAL: Final = "GraphiQL is served to a browser on this machine, or with a valid key.\n"
_FOLDER: Final = Path(__file__).parent / "graphiql"
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}

_HEADERS: Final = {
    # Only what this server serves runs; the editor sets styles on its elements.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:;"
    " style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


async def page(request: Request, viewer_of: ViewerOf) -> Response:
    """GET /graphql: the page, for a browser on this very machine or a request with a valid key."""
    if not is_local(request.scope):
        try:
            await viewer_of(request.scope)
        except Unauthenticated:
            return PlainTextResponse(_REFUSAL, status_code=401, headers=_HEADERS)
    return Response(_content("index.html"), media_type=_TYPES[".html"], headers=_HEADERS)


async def asset(request: Request) -> Response:
    """GET /graphiql/NAME: a file of the page; the large ones lie here compressed already."""
    name = request.path_params["name"]
    if name not in _names():
        return Response(status_code=404)
    headers = {**_HEADERS, "Cache-Control": "max-age=3600", "Vary": "Accept-Encoding"}
    body = _content(name)
    if _is_compressed(name):
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            body = gzip.decompress(body)
    return Response(body, media_type=_TYPES[Path(name).suffix], headers=headers)


@cache
def _names() -> frozenset[str]:
    found = {path.name.removesuffix(".gz") for path in _FOLDER.iterdir()}
    return frozenset(name for name in found if Path(name).suffix in (".css", ".js"))


def _is_compressed(name: str) -> bool:
    return (_FOLDER / f"{name}.gz").exists()


@cache
def _content(name: str) -> bytes:
    path = _FOLDER / f"{name}.gz"
    return (path if path.exists() else _FOLDER / name).read_bytes()
