"""The accounts of a lot of points, and the one function that says where its points lie."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final

from cdp.values import ProfileId

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Accounts:
    """What each account holds, in points; they sum to zero.

    Said by records: `issued`, negative, what the lot is entitled to; `carried`, what a source's own
    programme took. Said by acts: `redeemed`, `adjusted` (taken by hand), `settled` (repaid for
    another lot of the profile, negative: repaid by one), `held`. What follows from these and the
    moment: `pending`, `available`, `expired`; `owed`, negative, what was spent and then taken back;
    `forgiven` the same where the programme lets it go.
    """

    issued: int = 0
    carried: int = 0
    redeemed: int = 0
    adjusted: int = 0
    settled: int = 0
    held: int = 0
    pending: int = 0
    available: int = 0
    expired: int = 0
    owed: int = 0
    forgiven: int = 0

    @property
    def values(self) -> tuple[int, ...]:
        """In the order of `cdp.tables.ACCOUNTS`."""
        return (
            self.issued, self.carried, self.redeemed, self.adjusted, self.settled, self.held,
            self.pending, self.available, self.expired, self.owed, self.forgiven,
        )  # fmt: skip

    @property
    def left(self) -> int:
        """What was neither taken nor held; negative where more was taken than there is."""
        taken = self.issued + self.carried + self.redeemed + self.adjusted + self.settled
        return -(taken + self.held)

    def plus(self, **points: int) -> "Accounts":
        """With points added to some accounts."""
        return replace(self, **{name: getattr(self, name) + more for name, more in points.items()})

    def minus(self, other: "Accounts") -> "Accounts":
        """What must be added to `other` to give this."""
        return Accounts(*(a - b for a, b in zip(self.values, other.values, strict=True)))


NOTHING: Final = Accounts()
ACCOUNT_NAMES: Final = tuple(field.name for field in fields(Accounts))


@dataclass(slots=True)
class Lot:
    """Points that came together and expire together, of one source profile.

    `id` is None until it is written. `origin` is order, entry, earn, adjust or award; with
    `source_id` and `key` it says whence the points came. Nothing changes but the accounts.
    """

    id: int | None
    profile_id: ProfileId
    origin: str
    source_id: int | None
    key: str
    is_earned: bool
    is_qualifying: bool
    is_forgiving: bool
    earned_at: datetime
    available_at: datetime
    expires_at: datetime | None
    accounts: Accounts = NOTHING

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes it this lot: another owner or another date is another lot."""
        return (
            self.origin, self.source_id, self.key, self.profile_id, self.earned_at,
            self.available_at, self.expires_at, self.is_forgiving,
        )  # fmt: skip


def settled(lot: Lot, accounts: Accounts, at: datetime) -> Accounts:
    """The accounts with what is left of the lot where it belongs at a moment."""
    left = accounts.left
    pending = available = expired = 0
    if left > 0:
        if at < lot.available_at:
            pending = left
        elif lot.expires_at is not None and at >= lot.expires_at:
            expired = left
        else:
            available = left
    short = min(left, 0)
    return replace(
        accounts,
        pending=pending,
        available=available,
        expired=expired,
        owed=0 if lot.is_forgiving else short,
        forgiven=short if lot.is_forgiving else 0,
    )


def is_due(lot: Lot, at: datetime) -> bool:
    """Whether time has changed where the points of a lot lie since they were posted."""
    accounts = lot.accounts
    if accounts.pending and at >= lot.available_at:
        return True
    there = accounts.pending or accounts.available
    return bool(there) and lot.expires_at is not None and at >= lot.expires_at


def soonest_first(lots: Iterable[Lot]) -> Sequence[Lot]:
    """In the order in which points are spent: what expires first, then what was earned first."""
    return sorted(
        lots,
        key=lambda lot: (
            lot.expires_at or _NEVER, lot.earned_at, lot.origin, lot.source_id or 0, lot.key,
        ),
    )  # fmt: skip


def taken(lots: Iterable[Lot], points: int) -> list[tuple[Lot, int]]:
    """From which lots so many available points are taken, soonest first; fewer if there are."""
    parts: list[tuple[Lot, int]] = []
    for lot in soonest_first(lots):
        part = min(points, lot.accounts.available)
        if part > 0:
            parts.append((lot, part))
            points -= part
    return parts
