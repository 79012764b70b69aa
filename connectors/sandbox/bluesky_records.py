"""What a record means to the network: whose it is, when it sorts, whom it notifies."""

import base64
import hashlib

import msgspec

from connectors.sandbox.bluesky_sessions import BRAND_DID
from connectors.sandbox.state import (
    Item,
    SortValue,
    as_item,
    as_list,
    as_text,
    micros,
)

COLLECTIONS = {
    "follows": "app.bsky.graph.follow",
    "likes": "app.bsky.feed.like",
    "reposts": "app.bsky.feed.repost",
    "posts": "app.bsky.feed.post",
}


KINDS = {collection: kind for kind, collection in COLLECTIONS.items()}


def author(item: Item) -> str:
    """Return the DID in at://did/collection/rkey."""
    return as_text(item["uri"]).split("/")[2]


def record_key(item: Item) -> str:
    """Return the rkey in at://did/collection/rkey."""
    return as_text(item["uri"]).rsplit("/", 1)[-1]


def indexed(item: Item) -> SortValue:
    """Return when the network saw the record."""
    return micros(item["indexedAt"])


def sorted_at(item: Item) -> SortValue:
    """Return the AppView's sortAt: a client's createdAt counts only when it lies in the past."""
    claimed = as_item(item["value"]).get("createdAt")
    indexed = micros(item["indexedAt"])
    try:
        return min(indexed, micros(claimed))
    except ValueError:
        return indexed


def reason_of(kind: str, value: Item) -> tuple[str | None, str | None]:
    """Return why a record notifies the brand, and of which of its posts; (None, None) if not."""
    match kind:
        case "follows":
            return ("follow", None) if value["subject"] == BRAND_DID else (None, None)
        case "likes" | "reposts":
            uri = as_text(as_item(value["subject"])["uri"])
            return (kind.removesuffix("s"), uri) if _is_brands(uri) else (None, None)
        case _:
            return _post_reason(value)


def _post_reason(value: Item) -> tuple[str | None, str | None]:
    if isinstance(reply := value.get("reply"), dict):
        parent = as_text(as_item(reply["parent"])["uri"])
        if _is_brands(parent):
            return "reply", parent
    if isinstance(embed := value.get("embed"), dict) and isinstance(
        quoted := embed.get("record"), dict
    ):
        uri = quoted.get("uri")
        if isinstance(uri, str) and _is_brands(uri):
            return "quote", uri
    for facet in as_list(value.get("facets", [])):
        for feature in as_list(as_item(facet).get("features", [])):
            if as_item(feature).get("did") == BRAND_DID:
                return "mention", None
    return None, None


def _is_brands(uri: str) -> bool:
    return uri.startswith(f"at://{BRAND_DID}/")


def view(profile: Item) -> Item:
    """Return a profileView: the detailed one without its counts and pictures' details."""
    detailed = {"followersCount", "followsCount", "postsCount", "banner", "pinnedPost", "website"}
    return {name: value for name, value in profile.items() if name not in detailed}


def content_id(item: Item) -> str:
    """Make up a content id: CIDv1, dag-cbor, sha-256, in base32, as records have."""
    digest = hashlib.sha256(msgspec.json.encode(item, order="sorted")).digest()
    raw = bytes((0x01, 0x71, 0x12, 0x20)) + digest
    return "b" + base64.b32encode(raw).decode().lower().rstrip("=")
