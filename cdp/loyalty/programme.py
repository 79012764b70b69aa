"""The programme: a typed document in TOML that says how points are earned, kept and spent."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from cdp.errors import BadInput
from cdp.invalid import why_invalid
from cdp.toml_text import read_toml

MAX_RULES: Final = 100  # of one kind; each is tried on every order
MOST_AMOUNT: Final = 10**9
MOST_MULTIPLIER: Final = 100
SHORTEST_MONTH_DAYS: Final = 28
VERSIONS_KEPT_PARSED: Final = 32

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=100)]
Names: TypeAlias = Annotated[list[Name], Meta(min_length=1, max_length=MAX_RULES)]
Amount: TypeAlias = Decimal
"""Of money or of points per unit of it: 0 to MOST_AMOUNT."""

Points: TypeAlias = Annotated[int, Meta(ge=1, le=10**9)]
Days: TypeAlias = Annotated[int, Meta(ge=0, le=3_660)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the document; a key that is not known is refused."""

    def __post_init__(self) -> None:
        """Refuse amounts out of range, infinite ones among them."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, Decimal) and (value.is_nan() or not 0 <= value <= MOST_AMOUNT):
                raise ValueError(f"`{name}` is {value}; 0 to {MOST_AMOUNT} can be taken")


# Earning --------------------------------------------------------------------------------------


class SpendRule(_Part, frozen=True, tag="spend", tag_field="kind"):
    """Points per unit of the workspace's currency that an order cost."""

    name: Name
    points_per_unit: Amount
    least_spend: Amount = Decimal(0)
    channels: list[Name] = []
    """Only orders of these channels; empty: of any."""


class CategoryRule(_Part, frozen=True, tag="category", tag_field="kind"):
    """Further points per unit spent on lines of some categories."""

    name: Name
    categories: Names
    points_per_unit: Amount


class CampaignRule(_Part, frozen=True, tag="campaign", tag_field="kind"):
    """For a time, orders earn a multiple of the spend rules' points, or fixed points each."""

    name: Name
    starts_on: date
    ends_on: date
    """The last day."""
    multiplier: Amount | None = None
    """Of what the spend rules give: above 1."""
    points: Points | None = None
    least_spend: Amount = Decimal(0)
    channels: list[Name] = []


class BirthdayRule(_Part, frozen=True, tag="birthday", tag_field="kind"):
    """Points on the birthday of a member whose birth date is known."""

    name: Name
    points: Points


EarnRule: TypeAlias = SpendRule | CategoryRule | CampaignRule | BirthdayRule


class Keeping(_Part, frozen=True):
    """What becomes of points that were earned."""

    pending_days: Days = 0
    """The return window: until it has passed, points cannot be spent and count for no tier."""
    expire_after_months: Annotated[int, Meta(ge=1, le=1_200)] | None = None
    """From the day when they were earned; absent: never."""
    expire_at_end_of: Literal["day", "month", "year"] = "day"
    shortfall: Literal["owe", "forgive"] = "owe"
    """Of points that a refund takes back and that are spent already."""
    spend_without: list[Literal["tax", "shipping"]] = []
    """Parts of an order's total that earn nothing."""


# Belonging ------------------------------------------------------------------------------------


class Level(_Part, frozen=True):
    """A tier: what it is called, and the points or spend within the window that reach it."""

    name: Name
    threshold: Amount


class Tiers(_Part, frozen=True):
    """How tiers are reached and lost."""

    levels: Annotated[list[Level], Meta(min_length=1, max_length=MAX_RULES)]
    by: Literal["points", "spend"] = "points"
    window: Literal["rolling", "year", "quarter", "lifetime"] = "rolling"
    """`year` and `quarter` are those of the calendar."""
    months: Annotated[int, Meta(ge=1, le=120)] = 12
    """Of a rolling window."""
    grace_days: Days = 0
    """A tier is kept for so long after the window no longer holds enough."""
    downgrade: Literal["to_earned", "one_step", "never"] = "to_earned"
    """How far one falls when grace is over; `one_step` gives grace anew at each."""


class PaidMembership(_Part, frozen=True):
    """A membership that is bought: an active subscription to one of these plans."""

    plans: Names
    tier: Name | None = None
    """The least tier of a paid member."""


class Reward(_Part, frozen=True):
    """Something that points buy."""

    name: Name
    points: Points
    title: str = ""
    least_tier: Name | None = None


class Challenge(_Part, frozen=True):
    """A goal within some days; who reaches it is given points, a badge, or both."""

    name: Name
    starts_on: date
    ends_on: date
    orders: Points | None = None
    spend: Amount | None = None
    category: Name | None = None
    """With `spend`: only what is spent on this category."""
    points: Annotated[int, Meta(ge=0, le=10**9)] = 0
    badge: str | None = None


class Referral(_Part, frozen=True):
    """What is given when somebody who was brought buys."""

    referrer_points: Points
    referee_points: Annotated[int, Meta(ge=0, le=10**9)] = 0
    least_spend: Amount = Decimal(0)
    within_days: Days = 90


class Programme(_Part, frozen=True):
    """The whole document; what is absent is not offered."""

    name: Name
    members: Literal["everyone", "customers", "card"] = "customers"
    """Whose orders earn: of anybody, of a customer's record, or of who carries a loyalty card."""
    without_sources: list[Name] = []
    """Sources with a programme of their own, whose orders earn nothing here."""
    points: Keeping = Keeping()
    earn: Annotated[list[EarnRule], Meta(max_length=MAX_RULES)] = []
    tiers: Tiers | None = None
    paid: PaidMembership | None = None
    reward: Annotated[list[Reward], Meta(max_length=MAX_RULES)] = []
    challenge: Annotated[list[Challenge], Meta(max_length=MAX_RULES)] = []
    referral: Referral | None = None

    def takes(self, *, has_account: bool, has_card: bool) -> bool:
        """Whether somebody is a member, by an account (a customer's record) or a card."""
        match self.members:
            case "everyone":
                return True
            case "customers":
                return has_account or has_card
            case "card":
                return has_card

    @property
    def birthday(self) -> BirthdayRule | None:
        """The rule of birthdays; there is one at most."""
        return next((one for one in self.earn if isinstance(one, BirthdayRule)), None)

    @property
    def has_categories(self) -> bool:
        """Whether a rule asks what the lines of an order are."""
        return any(isinstance(one, CategoryRule) for one in self.earn)


@lru_cache(maxsize=VERSIONS_KEPT_PARSED)
def parse_programme(text: str) -> Programme:
    """Read a programme in TOML. Raises BadInput with the place of the fault."""
    given = read_toml(text, "The programme", parse_float=Decimal)
    try:
        programme = msgspec.convert(given, Programme)
    except msgspec.ValidationError as error:
        raise BadInput(
            f"The programme cannot be taken: {why_invalid(error, given, Programme)}",
            todo="docs/examples/loyalty.toml shows every key.",
        ) from None
    for fault in _faults(programme):
        raise BadInput(f"The programme cannot be taken: {fault}")
    return programme


def _faults(programme: Programme) -> Sequence[str]:
    """What the types cannot say, a sentence each."""
    tiers = programme.tiers.levels if programme.tiers else []
    names = {level.name for level in tiers}
    wanted = [(f"reward {one.name!r}", one.least_tier) for one in programme.reward]
    if programme.paid is not None:
        wanted.append(("paid membership", programme.paid.tier))
    return [
        *_repeated("earn", [one.name for one in programme.earn]),
        *_repeated("reward", [one.name for one in programme.reward]),
        *_repeated("challenge", [one.name for one in programme.challenge]),
        *_repeated("tiers.levels", [one.name for one in tiers]),
        *_keeping_faults(programme.points),
        *(fault for rule in programme.earn for fault in _rule_faults(rule)),
        *(fault for one in programme.challenge for fault in _challenge_faults(one)),
        *(
            f"tiers.levels must rise: {lower.name!r} asks no less than {upper.name!r}."
            for lower, upper in pairwise(tiers)
            if lower.threshold >= upper.threshold
        ),
        *(
            f"{who} names the tier {tier!r}, and there is none of that name."
            for who, tier in wanted
            if tier is not None and tier not in names
        ),
        *(
            ["there are two rules of birthdays."]
            if sum(isinstance(one, BirthdayRule) for one in programme.earn) > 1
            else []
        ),
    ]


def _repeated(where: str, names: Sequence[str]) -> list[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    return [f"{where} names {name!r} twice." for name in twice]


def _keeping_faults(points: Keeping) -> list[str]:
    months = points.expire_after_months
    if months is not None and points.pending_days >= months * SHORTEST_MONTH_DAYS:
        return ["points would expire while they are pending: see points.pending_days."]
    return []


def _rule_faults(rule: EarnRule) -> list[str]:
    if not isinstance(rule, CampaignRule):
        return []
    faults = [f"{rule.name!r} ends before it starts."] if rule.ends_on < rule.starts_on else []
    if rule.multiplier is not None and not 1 < rule.multiplier <= MOST_MULTIPLIER:
        faults.append(f"{rule.name!r} multiplies by {rule.multiplier}; 1 is too little.")
    if (rule.multiplier is None) == (rule.points is None):
        faults.append(f"{rule.name!r} takes either multiplier or points.")
    return faults


def _challenge_faults(one: Challenge) -> list[str]:
    faults = [f"{one.name!r} ends before it starts."] if one.ends_on < one.starts_on else []
    if (one.orders is None) == (one.spend is None):
        faults.append(f"{one.name!r} takes either orders or spend as its goal.")
    if one.category is not None and one.spend is None:
        faults.append(f"{one.name!r} names a category, which goes with spend.")
    if not one.points and one.badge is None:
        faults.append(f"{one.name!r} gives neither points nor a badge.")
    return faults


def summary(programme: Programme) -> Mapping[str, object]:
    """What a person checks first: how much of everything there is."""
    return {
        "name": programme.name,
        "members": programme.members,
        "earn_rules": len(programme.earn),
        "tiers": [level.name for level in programme.tiers.levels] if programme.tiers else [],
        "rewards": len(programme.reward),
        "challenges": len(programme.challenge),
    }
