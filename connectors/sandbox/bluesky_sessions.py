"""Issues and checks a PDS's tokens: access for hours, refresh once."""

import base64
import hmac
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from starlette.requests import Request

from connectors.sandbox.state import (
    Clock,
    Item,
    as_text,
)

# The PDS's own lifetimes.
ACCESS_LIFETIME = timedelta(hours=2)


REFRESH_LIFETIME = timedelta(days=90)


BRAND_DID = "did:plc:sandboxbrand000000000000"
"""The account that signs in; follows, likes and replies point at it."""


class XrpcError(ValueError):
    """A request that the server refuses, with the lexicon's error name."""

    def __init__(self, error: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.error = error
        self.status = status


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says."""

    scope: str
    number: int
    expires: int


class Sessions:
    """Issues and checks tokens; a refresh token works once."""

    def __init__(self, password: str, identifiers: set[str], clock: Clock) -> None:
        self._password = password
        self._identifiers = identifiers
        self._clock = clock
        self._issued = 0
        self._live: set[int] = set()

    def create(self, body: Item) -> Item:
        """Return new tokens for the right identifier and password."""
        known = body["identifier"] in self._identifiers
        if not known or not hmac.compare_digest(as_text(body["password"]), self._password):
            raise XrpcError("AuthenticationRequired", "Invalid identifier or password", 401)
        return self._tokens()

    def refresh(self, request: Request) -> Item:
        """Return new tokens for a live refresh token, which dies."""
        claims = self._claims(request, "com.atproto.refresh")
        if claims.number not in self._live:
            raise XrpcError("ExpiredToken", "Token has been revoked")
        self._live.discard(claims.number)
        return self._tokens()

    def check_access(self, request: Request) -> None:
        """Refuse a request without a live access token."""
        self._claims(request, "com.atproto.access")

    def _tokens(self) -> Item:
        self._issued += 1
        self._live.add(self._issued)
        return {
            "accessJwt": self._token("com.atproto.access", ACCESS_LIFETIME),
            "refreshJwt": self._token("com.atproto.refresh", REFRESH_LIFETIME),
        }

    def _token(self, scope: str, lifetime: timedelta) -> str:
        now = self._clock()
        claims = {
            "scope": scope,
            "sub": BRAND_DID,
            "iat": int(now.timestamp()),
            "exp": int((now + lifetime).timestamp()),
            "jti": str(self._issued),
        }
        head = _unpadded(msgspec.json.encode({"typ": "at+jwt", "alg": "HS256"}))
        body = f"{head}.{_unpadded(msgspec.json.encode(claims))}"
        return f"{body}.{self._signature(body)}"

    def _signature(self, body: str) -> str:
        return _unpadded(hmac.digest(self._password.encode(), body.encode(), "sha256"))

    def _claims(self, request: Request, scope: str) -> _Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise XrpcError("AuthMissing", "Authentication Required", 401)
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            raise XrpcError("InvalidToken", "Token could not be verified")
        payload = body.rpartition(".")[2]
        raw = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        claims = _Claims(raw["scope"], int(raw["jti"]), raw["exp"])
        if claims.expires <= self._clock().timestamp():
            raise XrpcError("ExpiredToken", "Token has expired")
        if claims.scope != scope:
            raise XrpcError("InvalidToken", "Bad token scope")
        return claims


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
