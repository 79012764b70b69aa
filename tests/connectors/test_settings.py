"""Settings are checked by name, and secrets are never shown."""

from pathlib import Path

import pytest

from cdp.errors import BadInput
from connectors.base import check_settings, read_values, shown
from connectors.registry import CONNECTORS, find_connector

SHOPIFY = CONNECTORS["shopify"]


def test_unknown_setting_is_refused_naming_the_known_ones() -> None:
    with pytest.raises(BadInput, match=r"no setting 'token'.*access_token"):
        check_settings(SHOPIFY, {"shop": "a", "access_token": "b", "token": "c"})


def test_missing_setting_is_refused() -> None:
    with pytest.raises(BadInput, match="needs the setting 'shop'"):
        check_settings(SHOPIFY, {"access_token": "b"})


def test_unknown_connector_is_refused_naming_those_that_there_are() -> None:
    with pytest.raises(BadInput, match=r"no connector 'myspace'.*shopify.*bluesky"):
        find_connector("myspace")


def test_secret_is_read_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "from-the-environment\n")
    place = tmp_path / "token"
    place.write_text("from-a-file\n")
    for setting, secret in (
        ("env:SHOP_TOKEN", "from-the-environment"),
        (f"file:{place}", "from-a-file"),
        (" as-it-is\n", "as-it-is"),
    ):
        values = read_values(SHOPIFY, {"shop": "a", "access_token": setting})
        assert values == {"shop": "a", "access_token": secret}


@pytest.mark.parametrize("setting", ["env:NO_SUCH_VARIABLE", "file:/no/such/file"])
def test_secret_that_is_not_there_is_told_by_its_place(setting: str) -> None:
    with pytest.raises(BadInput, match=setting.partition(":")[2]):
        read_values(SHOPIFY, {"shop": "a", "access_token": setting})


def test_secret_of_which_nothing_is_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "\n")
    place = tmp_path / "token"
    place.write_text("\n")
    for setting, reason in (("env:SHOP_TOKEN", "not set"), (f"file:{place}", "empty")):
        with pytest.raises(BadInput, match=reason):
            read_values(SHOPIFY, {"shop": "a", "access_token": setting})


def test_shown_settings_hold_no_secret() -> None:
    settings = {"shop": "a", "access_token": "secret", "webhook_secret": "env:HOOK"}
    assert shown(SHOPIFY, settings) == {
        "shop": "a",
        "access_token": "***",
        "webhook_secret": "env:HOOK",
    }


def test_every_connector_takes_a_base_address_save_those_without_a_server() -> None:
    without = [
        name
        for name, connector in CONNECTORS.items()
        if "url" not in {setting.name for setting in connector.settings}
    ]
    assert without == ["file", "push"]
