"""What an answer means to the runner."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from connectors.base import Abort, Retry
from connectors.http import ANSWER_SECONDS, Http
from connectors.sandbox.server import serving

pytestmark = pytest.mark.anyio

SECRET = "a-very-secret-key"

Answer = Callable[[Request], Awaitable[Response]]


@asynccontextmanager
async def talking(answer: Answer, answer_seconds: float = ANSWER_SECONDS) -> AsyncIterator[Http]:
    async with serving(Starlette(routes=[Route("/{path:path}", answer)])) as url:
        http = Http("Vendor", url, secrets=(SECRET,), answer_seconds=answer_seconds)
        try:
            yield http
        finally:
            await http.close()


def always(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_request: Request) -> Response:
        return Response(body, status, headers)

    return answer


@pytest.mark.parametrize(
    ("headers", "after_seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 +99999999999999999"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503, 408])
async def test_failures_that_pass_are_retried_when_the_vendor_says(
    status: int, headers: dict[str, str], after_seconds: float | None
) -> None:
    async with talking(always(b"later", status, headers)) as http:
        with pytest.raises(Retry, match=f"Vendor answered {status}: later") as caught:
            await http.get_json("/x")
    assert caught.value.after_seconds == after_seconds


async def test_date_in_retry_after_is_understood() -> None:
    past = {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    async with talking(always(b"", 503, past)) as http:
        with pytest.raises(Retry) as caught:
            await http.get_json("/x")
    assert caught.value.after_seconds == 0.0


async def test_refused_key_aborts_with_the_answer_and_without_the_key() -> None:
    body = b'{"error": "key a-very-secret-key is unknown"}'
    async with talking(always(body, 401)) as http:
        with pytest.raises(Abort, match=r"Vendor answered 401.*\*\*\* is unknown") as caught:
            await http.get_json("/x")
    assert SECRET not in str(caught.value)
    assert caught.value.status == 401


async def test_long_answer_is_shown_in_part() -> None:
    async with talking(always(b"x" * 5_000, 404)) as http:
        with pytest.raises(Abort) as caught:
            await http.get_json("/x")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("body", [b'{"half": ', b"", b"<html>", b'"text"', b"\xff\xfe"])
async def test_body_that_is_no_json_object_is_asked_for_again(body: bytes) -> None:
    async with talking(always(body)) as http:
        with pytest.raises(Retry, match="not a JSON object"):
            await http.get_json("/x")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (rb'"Bo\ud83d"', "Bo\ud83d"),
        (b'"Caf\xe9"', "Caf\udce9"),
        (b"1e400", "1e400"),
        (b"NaN", "NaN"),
        (b"9" * 5_000, "9" * 5_000),
    ],
)
async def test_one_value_that_is_none_leaves_the_rest_of_the_answer_readable(
    value: bytes, told: str
) -> None:
    async with talking(always(b'{"people": [{"name": ' + value + b'}, {"name": "Ann"}]}')) as http:
        answer = await http.get_json("/x")
    assert [person.get("name") for person in answer.items("people")] == [told, "Ann"]


@pytest.mark.parametrize("status", [200, 404])
async def test_answer_that_is_nested_beyond_reading_aborts(status: int) -> None:
    async with talking(always(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, status)) as http:
        with pytest.raises(Abort):
            await http.get_json("/x")


@pytest.mark.parametrize("key", ["abcd1234\n", "abcd\x001234", "abcd\u00e91234"])
async def test_key_that_no_header_carries_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(Abort, match="The key of Vendor holds a character") as caught:
        Http("Vendor", "https://example.com", headers={"Authorization": f"Bearer {key}"})
    assert "abcd" not in str(caught.value)
    async with talking(always(b"{}")) as http:
        with pytest.raises(Abort, match="The key of Vendor holds a character"):
            await http.get_json("/x", headers={"Authorization": f"Bearer {key}"})


async def test_answer_that_drips_is_left_and_asked_for_again() -> None:
    async def drips() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.01)

    async def answer(_request: Request) -> Response:
        return StreamingResponse(drips())

    async with talking(answer, answer_seconds=0.1) as http:
        with pytest.raises(Retry, match="did not answer whole within"):
            await http.get_json("/x")


PACKED = gzip.compress(b'{"name": "Ann"}', mtime=0)


async def test_packed_answer_is_read() -> None:
    async with talking(always(PACKED, headers={"Content-Encoding": "gzip"})) as http:
        assert (await http.get_json("/x")).get("name") == "Ann"


@pytest.mark.parametrize("body", [PACKED[:-12], b"no gzip"])
async def test_answer_that_cannot_be_unpacked_is_asked_for_again(body: bytes) -> None:
    async with talking(always(body, headers={"Content-Encoding": "gzip"})) as http:
        with pytest.raises(Retry):
            await http.get_json("/x")


@pytest.mark.parametrize("coding", ["gzip, gzip", "br", "deflate"])
async def test_answer_packed_as_nobody_asked_is_refused(coding: str) -> None:
    body = gzip.compress(PACKED)
    async with talking(always(body, headers={"Content-Encoding": coding})) as http:
        with pytest.raises(Abort, match=f"answered packed as {coding}, not as gzip"):
            await http.get_json("/x")


async def test_answer_that_unpacks_to_too_much_is_refused_before_it_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 1_000_000
    monkeypatch.setattr("connectors.http.MAX_ANSWER_BYTES", most)
    bomb = gzip.compress(b"[" * 16 * most)
    async with talking(always(bomb, headers={"Content-Encoding": "gzip"})) as http:
        tracemalloc.start()
        try:
            with pytest.raises(Abort, match="answered with more than"):
                await http.get_json("/x")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * most


async def test_redirect_is_not_followed() -> None:
    async def answer(_request: Request) -> Response:
        return RedirectResponse("http://elsewhere.example.com/")

    async with talking(answer) as http:
        with pytest.raises(Abort, match=r"moved to http://elsewhere\.example\.com/"):
            await http.get_json("/x")


async def test_address_of_another_server_is_not_asked() -> None:
    async with talking(always(b"{}")) as http:
        with pytest.raises(Abort, match=r"elsewhere\.example\.com, which is not its own server"):
            await http.get_json("https://elsewhere.example.com/next")


async def test_server_that_is_not_there_is_asked_again() -> None:
    async with serving(Starlette()) as url:
        pass
    http = Http("Vendor", url)
    with pytest.raises(Retry, match="could not be reached"):
        await http.get_json("/x")
    await http.close()


@pytest.mark.parametrize("url", ["example.com", "ftp://example.com", "", "https://"])
def test_url_that_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Abort, match="not an address"):
        Http("Vendor", url)


def test_url_with_a_password_is_refused() -> None:
    with pytest.raises(Abort, match="carries a password"):
        Http("Vendor", "https://ann:secret@example.com")
