"""What a database URL may say, and how each mistake in it is told."""

import pytest

from cdp.database import open_database
from cdp.database_url import CONNECT_TIMEOUT_SECONDS, read_address
from cdp.errors import BadInput, CdpError, DatabaseUnavailable

pytestmark = pytest.mark.anyio


def saying(url: str, parameters: str) -> str:
    """The URL with more parameters."""
    return f"{url}{'&' if '?' in url else '?'}{parameters}"


async def refusal_of(url: str) -> CdpError:
    """What is said to whoever opens it."""
    with pytest.raises(CdpError) as refusal:
        async with open_database(url):
            pass
    return refusal.value


@pytest.mark.parametrize(
    ("parameters", "setting", "value"),
    [
        ("application_name=loader", "application_name", "loader"),
        ("options=-c%20search_path%3Delsewhere", "search_path", "elsewhere"),
    ],
)
async def test_parameters_for_the_server_hold_for_writers_and_for_readers(
    database_url: str, parameters: str, setting: str, value: str
) -> None:
    async with open_database(saying(database_url, parameters)) as database:
        assert await database.reader.fetchval(f"SHOW {setting}") == value
        async with database.transaction() as connection:
            assert (await connection.exec_driver_sql(f"SHOW {setting}")).scalar_one() == value


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
async def test_ways_of_encryption_that_the_server_need_not_have_work(
    database_url: str, mode: str
) -> None:
    url = saying(database_url, f"sslmode={mode}&connect_timeout=30&target_session_attrs=any")
    async with open_database(url) as database, database.read_only() as connection:
        assert (await connection.exec_driver_sql("SELECT 1")).scalar_one() == 1


async def test_encryption_that_the_server_has_not_is_told(database_url: str) -> None:
    refusal = await refusal_of(saying(database_url, "sslmode=require"))
    assert isinstance(refusal, DatabaseUnavailable)
    assert "does not answer" in refusal.message


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("sslmode=bogus", "sslmode"),
        ("target_session_attrs=bogus", "target_session_attrs"),
        ("channel_binding=require", "the parameter 'channel_binding', which is not honoured"),
        ("statement_timeout=5", "the parameter 'statement_timeout', which is not honoured"),
        ("connect_timeout=x", "connect_timeout is 'x'"),
        ("connect_timeout=-1", "connect_timeout is '-1'"),
        ("connect_timeout=9999999999", "connect_timeout is '9999999999'"),
    ],
)
async def test_mistake_in_a_parameter_is_told_by_its_name(
    database_url: str, parameters: str, told: str
) -> None:
    refusal = await refusal_of(saying(database_url, parameters))
    assert isinstance(refusal, BadInput)
    assert told in refusal.message
    assert "\n" not in refusal.message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///x?host=127.0.0.1&port=x",
        "postgresql://a@127.0.0.1/x?sslmode=verify-full&sslrootcert=/nowhere",
        "postgresql://a@x..y/x",
        "postgresql://a@/x?host=,",
    ],
)
async def test_url_that_the_driver_refuses_is_told_in_one_line(url: str) -> None:
    assert "\n" not in (await refusal_of(url)).message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://\udcff:secret@127.0.0.1/x",
        "postgresql://a%00b:secret@127.0.0.1/x",
        "postgresql://127.0.0.1:port/x",
        "nonsense",
        "",
    ],
)
async def test_url_that_cannot_be_read_is_told_and_not_shown(url: str) -> None:
    refusal = await refusal_of(url)
    assert (refusal.code, refusal.message) == ("BAD_REQUEST", "The database URL cannot be read.")


@pytest.mark.parametrize(
    ("parameters", "seconds"),
    [("", CONNECT_TIMEOUT_SECONDS), ("?connect_timeout=7", 7.0), ("?connect_timeout=0", None)],
)
def test_time_for_connecting_is_that_of_the_url(parameters: str, seconds: float | None) -> None:
    address = read_address(f"postgres://a:b@h/d{parameters}")
    assert (address.url, address.timeout_seconds) == ("postgresql://a:b@h/d", seconds)
