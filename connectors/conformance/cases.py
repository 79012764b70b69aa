"""The connectors that have an emulator, each with how a person is put behind it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from connectors.conformance.bench import KEY, Case, Sandbox
from connectors.sandbox.bluesky import BlueskySandbox
from connectors.sandbox.bluesky_sessions import BRAND_DID
from connectors.sandbox.klaviyo import KlaviyoSandbox
from connectors.sandbox.shopify import ShopifySandbox
from connectors.sandbox.square import SquareSandbox


def _shopify_person(sandbox: Sandbox, number: int, name: object, at: datetime) -> None:
    moment = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    sandbox.put(
        "customers",
        {
            "id": f"gid://shopify/Customer/{1_000 + number}",
            "firstName": name,
            "defaultEmailAddress": {"emailAddress": f"person{number}@example.com"},
            "createdAt": moment,
            "updatedAt": moment,
        },
    )


def _square_person(sandbox: Sandbox, number: int, name: object, at: datetime) -> None:
    moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sandbox.put(
        "customers",
        {
            "id": f"CUSTOMER{number}",
            "given_name": name,
            "email_address": f"person{number}@example.com",
            "created_at": moment,
            "updated_at": moment,
            "version": int(at.timestamp()),
        },
    )


def _klaviyo_person(sandbox: Sandbox, number: int, name: object, at: datetime) -> None:
    moment = at.isoformat(timespec="seconds")
    sandbox.put(
        "profiles",
        {
            "type": "profile",
            "id": f"PROFILE{number}",
            "attributes": {
                "email": f"person{number}@example.com",
                "first_name": name,
                "created": moment,
                "updated": moment,
            },
        },
    )


def _bluesky_person(sandbox: Sandbox, number: int, name: object, at: datetime) -> None:
    did = f"did:plc:person{number:018}"
    moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    sandbox.put(
        "profiles",
        {"did": did, "handle": f"person{number}.example.com", "displayName": name},
    )
    sandbox.put(
        "follows",
        {
            "uri": f"at://{did}/app.bsky.graph.follow/self",
            "value": {"subject": BRAND_DID, "createdAt": moment},
            "indexedAt": moment,
        },
    )


CASES: Final[Mapping[str, Case]] = {
    case.connector: case
    for case in (
        Case(
            "shopify",
            lambda faults: ShopifySandbox(access_token=KEY, faults=faults),
            {"shop": "sandbox", "access_token": KEY},
            "access_token",
            "customers",
            _shopify_person,
        ),
        Case(
            "square",
            lambda faults: SquareSandbox(access_token=KEY, faults=faults),
            {"access_token": KEY},
            "access_token",
            "customers",
            _square_person,
            lambda sandbox, number, at: sandbox.delete("customers", f"CUSTOMER{number}", at),
        ),
        Case(
            "klaviyo",
            lambda faults: KlaviyoSandbox(api_key=KEY, faults=faults),
            {"api_key": KEY},
            "api_key",
            "profiles",
            _klaviyo_person,
        ),
        Case(
            "bluesky",
            lambda faults: BlueskySandbox(password=KEY, faults=faults),
            {"identifier": "brand.example.com", "password": KEY},
            "password",
            "followers",
            _bluesky_person,
        ),
    )
}
"""By the connector's name."""
