"""The only module that talks to the network: requests out, JSON or an error for the runner back."""

import asyncio
import email.utils
import ipaddress
import json
import math
import ssl
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Final, TypeAlias

import httpx
import msgspec

from connectors.base import HIDDEN, Abort, Retry
from connectors.limits import Limiter, Unlimited
from connectors.reading import Item

TIMEOUT_SECONDS: Final = 60.0  # for one read; large pages of large shops take tens of seconds
CONNECT_TIMEOUT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 300.0  # for a whole answer: the largest one over a line of 2 Mbit/s
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # a page; a larger one would not fit a small machine
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # as zlib calls gzip
MAX_SHOWN: Final = 300  # characters of a vendor's answer in an error
MAX_DIGITS: Final = 1_000  # of a whole number; Python itself refuses to read ever longer ones
MIN_SECRET: Final = 4  # a shorter one would blot out ordinary words
AGAIN: Final = frozenset({408, 425, 429})
USER_AGENT: Final = "cdp/0.1"

Parameters: TypeAlias = Mapping[str, str | int] | Sequence[tuple[str, str | int]]


class Http:
    """One vendor's server. Answers are JSON objects; whatever else comes back is Retry or Abort.

    `name` is what the vendor is called in errors; `secrets` are blotted out of them. A whole answer
    must come within `answer_seconds`: one that drips would hold a run for ever.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limiter: Limiter | None = None,
        secrets: Sequence[str] = (),
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._name = name
        self._answer_seconds = answer_seconds
        self._base = _checked_base(name, base_url)
        self._limiter = limiter or Unlimited()
        self._secrets = [secret for secret in secrets if len(secret) >= MIN_SECRET]
        trust_env = not _is_loopback(self._base)
        self._client = httpx.AsyncClient(
            headers={
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                **_checked_headers(name, headers),
            },
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
            # A redirect would carry the key to wherever it points.
            follow_redirects=False,
            trust_env=trust_env,
            verify=_trusted(trust_env=trust_env),
        )

    async def get_json(
        self,
        path: str,
        parameters: Parameters | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        limiter: Limiter | None = None,
    ) -> Item:
        """GET a path below the base address; `limiter` is that of an operation with its own."""
        return await self._asked("GET", path, parameters, None, headers, limiter)

    async def post_json(
        self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None
    ) -> Item:
        """POST a JSON body; None sends none."""
        return await self._asked("POST", path, None, body, headers, None)

    def learn_secret(self, secret: str) -> None:
        """Blot out this too: a token that was given in the course of the work."""
        if secret and secret not in self._secrets:
            self._secrets.append(secret)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _asked(
        self,
        method: str,
        path: str,
        parameters: Parameters | None,
        body: object,
        headers: Mapping[str, str] | None,
        limiter: Limiter | None,
    ) -> Item:
        limit = limiter or self._limiter
        sent = _checked_headers(self._name, headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        request = self._client.build_request(
            method,
            self._address(path),
            params=_pairs(parameters),
            content=None if body is None else msgspec.json.encode(body),
            headers=sent,
        )
        await limit.acquire()
        response, content = await self._sent(request)
        if response.status_code == 429:
            limit.throttled()
        if not response.is_success:
            raise self._failure(response, content)
        limit.succeeded()
        return self._object(content)

    async def _sent(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        try:
            async with asyncio.timeout(self._answer_seconds):
                response = await self._client.send(request, stream=True)
                try:
                    content = await self._content(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Retry(
                f"{self._name} did not answer whole within {self._answer_seconds:g} seconds."
            ) from None
        except httpx.UnsupportedProtocol as error:
            raise Abort(f"{self._name} cannot be asked: {error}.", todo="Check its url.") from None
        except httpx.LocalProtocolError:
            # What it refuses to send it shows, and that may be the key.
            raise Abort(
                f"{self._name} cannot be asked: the request is malformed.",
                todo="Check its key and its url.",
            ) from None
        except (httpx.TransportError, zlib.error) as error:
            reason = self.redacted(str(error)) or type(error).__name__
            raise Retry(f"{self._name} could not be reached: {reason}.") from error
        return response, content

    async def _content(self, response: httpx.Response) -> bytes:
        """The answer, unpacked where it is packed; never more is held than may be.

        A few hundred bytes unpack to gigabytes where they are packed twice, so it is done here,
        piece by piece, and only what was asked for is taken: gzip, once.
        """
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip"):
            raise Abort(
                f"{self._name} answered packed as {self._shown(coding.encode())}, not as gzip.",
                todo="Check its url.",
            )
        unpacking = zlib.decompressobj(GZIP_WINDOW) if coding == "gzip" else None
        content = bytearray()
        length = 0  # as it came
        async for chunk in response.aiter_raw():
            length += len(chunk)
            room = MAX_ANSWER_BYTES + 1 - len(content)
            content += unpacking.decompress(chunk, room) if unpacking else chunk
            if max(length, len(content)) > MAX_ANSWER_BYTES:
                raise Abort(
                    f"{self._name} answered with more than {MAX_ANSWER_BYTES} bytes.",
                    todo="Check its url.",
                )
        return bytes(content)

    def _failure(self, response: httpx.Response, content: bytes) -> Exception:
        status, shown = response.status_code, self._shown(content)
        if status in AGAIN or status >= 500:
            after = _retry_after(response.headers.get("Retry-After"))
            return Retry(f"{self._name} answered {status}: {shown}", after)
        if response.is_redirect:
            where = self.redacted(response.headers.get("Location", "elsewhere"))
            return Abort(
                f"{self._name} answered {status}: moved to {where}; redirects are not followed.",
                todo="Give that address as the source's url if it is right.",
                status=status,
            )
        todo = "Check the key and what it may read." if status in (401, 403) else ""
        return Abort(
            f"{self._name} answered {status}: {shown}",
            todo=todo,
            status=status,
            answer=_json_or_none(content),
        )

    def _object(self, content: bytes) -> Item:
        try:
            return Item(_decoded(content))
        except RecursionError:
            raise Abort(f"{self._name} answered with JSON that is nested too deeply.") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # A proxy that gave up half-way answers 200 with half a body.
            raise Retry(f"{self._name} answered what is not a JSON object: {error}.") from error

    def _address(self, path: str) -> httpx.URL:
        """Below the base address; a whole address must be on the same server."""
        address = httpx.URL(path)
        if not address.is_absolute_url:
            return httpx.URL(f"{self._base}/{path.removeprefix('/')}")
        base = httpx.URL(self._base)
        if (address.scheme, address.host, address.port) != (base.scheme, base.host, base.port):
            raise Abort(
                f"{self._name} pointed to {address.host}, which is not its own server.",
                todo="Nothing was sent there; check its url.",
            )
        return address

    def redacted(self, text: str) -> str:
        """The text without the secrets that this server was given."""
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def _shown(self, content: bytes) -> str:
        text = " ".join(self.redacted(content.decode(errors="replace")).split())
        return text[:MAX_SHOWN] + ("..." if len(text) > MAX_SHOWN else "") or "(nothing)"


def _pairs(
    parameters: Parameters | None,
) -> list[tuple[str, str | int | float | bool | None]] | None:
    """In the order given; None keeps the query that an address brings with it."""
    if parameters is None:
        return None
    return list(parameters.items() if isinstance(parameters, Mapping) else parameters)


def _checked_base(name: str, base_url: str) -> str:
    try:
        address = httpx.URL(base_url)
    except httpx.InvalidURL:
        address = httpx.URL()
    if address.scheme not in ("http", "https") or not address.host:
        raise Abort(
            f"The url of {name} is not an address: {base_url!r}.",
            todo="Give it as https://HOST.",
        )
    if address.userinfo:
        raise Abort(f"The url of {name} carries a password.", todo="Give it as a setting.")
    return base_url.rstrip("/")


def _checked_headers(name: str, headers: Mapping[str, str] | None) -> dict[str, str]:
    """The headers; raises Abort, which does not show it, for what no header can carry."""
    for value in (headers or {}).values():
        if not (value.isascii() and value.isprintable()):
            raise Abort(
                f"The key of {name} holds a character that cannot be sent in a header.",
                todo="Give it as it was issued: letters, digits and signs of ASCII.",
            )
    return dict(headers or {})


@cache
def _trusted(*, trust_env: bool) -> ssl.SSLContext:
    """Whom all clients of this process believe: reading it takes longer than many a request."""
    return httpx.create_ssl_context(trust_env=trust_env)


def _is_loopback(base_url: str) -> bool:
    host = httpx.URL(base_url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(value: str | None) -> float | None:
    """Seconds, from seconds or from a date; None where neither can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
        wait = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _decoded(content: bytes) -> dict[str, object]:
    """An answer that is a JSON object. Raises what msgspec does for any other, and RecursionError.

    What the strict decoder refuses may be whole all the same, with one bad value among a thousand
    objects: it is read by the patient one, so that no object but its own is refused.
    """
    try:
        return msgspec.json.decode(content, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as refusal:
        text = content.decode("utf-8-sig", "surrogateescape")
        try:
            found: object = _PATIENT.decode(text.strip())
        except json.JSONDecodeError:
            raise refusal from None  # it names the place in the bytes
        if not isinstance(found, dict):
            raise
        return found


def _real(text: str) -> float | str:
    """A number with a fraction or exponent; as text where no float is so large."""
    number = float(text)
    return number if math.isfinite(number) else text


def _whole(text: str) -> int | str:
    """A whole number; as text where it is too long to be one."""
    return int(text) if len(text) <= MAX_DIGITS else text


_PATIENT: Final = json.JSONDecoder(
    parse_float=_real, parse_int=_whole, parse_constant=str, strict=False
)
"""Takes NaN, halves of surrogate pairs, and control characters in text.

What is no value becomes text, which a column that holds numbers refuses, and so does any column
that text which PostgreSQL cannot hold.
"""


def _json_or_none(content: bytes) -> object:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
