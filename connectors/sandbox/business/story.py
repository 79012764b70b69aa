"""What each person of the sample business does over the years: buys, reads, follows, complains."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from random import Random
from typing import Final, Literal

from connectors.sandbox.business.catalogue import PRODUCTS, Product
from connectors.sandbox.business.population import Person, Population, populate

YEARS: Final = 3
DAYS: Final = YEARS * 365  # of weddings and moves; people arrive in the current quarter too
LONGEST_QUARTER_DAYS: Final = 92
CAMPAIGN_EVERY_DAYS: Final = 56  # so that the latest one is never long ago
MAX_PURCHASES: Final = 45  # of one person; keeps the numbers of their orders below STEP
STEP: Final = 100
"""Numbers of what a person did: person.number * STEP + a running number."""

Place = Literal["web", "till"]
TILLS: Final = {"GB": "Leeds", "FR": "Lyon", "US": "Portland", "AU": "Perth"}


class Habit(Enum):
    """How often somebody comes back."""

    BROWSER = "browser"
    ONE_TIME = "one-time"
    REGULAR = "regular"
    LAPSING = "lapsing"
    SEASONAL = "seasonal"


HABIT_WEIGHTS: Final = {
    Habit.BROWSER: 14,
    Habit.ONE_TIME: 34,
    Habit.REGULAR: 22,
    Habit.LAPSING: 18,
    Habit.SEASONAL: 12,
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """One order. Moments are offsets in seconds from the first day of the story."""

    number: int
    place: Place
    second: int
    lines: tuple[tuple[Product, int], ...]
    discount_minor: int = 0
    shipping_minor: int = 0
    cancelled_second: int | None = None
    refund_second: int | None = None
    refund_minor: int = 0
    is_unnamed: bool = False
    """Bought at a till without saying who one is: no source knows whose it was."""

    @property
    def day(self) -> int:
        """The day of the story."""
        return self.second // 86_400

    @property
    def goods_minor(self) -> int:
        """What the lines cost together."""
        return sum(product.price_minor * quantity for product, quantity in self.lines)

    @property
    def total_minor(self) -> int:
        """What the customer was asked to pay."""
        return self.goods_minor - self.discount_minor + self.shipping_minor


@dataclass(frozen=True, slots=True)
class Act:
    """Something else that somebody did, at a moment; `detail` and `value` depend on its kind."""

    number: int
    kind: str
    second: int
    detail: str = ""
    value: int = 0


@dataclass(slots=True)
class Life:
    """One person's dealings with the business, in order of time."""

    person: Person
    habit: Habit
    first_day: int
    purchases: list[Purchase] = field(default_factory=list)
    is_guest: bool = False
    """Buys on the web without an account."""
    subscribed_day: int | None = None
    unsubscribed_second: int | None = None
    readings: list[Act] = field(default_factory=list)
    """Of campaigns: sent, opened, clicked, bounced; `value` is the campaign's number."""
    social: list[Act] = field(default_factory=list)
    """follow, like, reply, mention; `value` is the brand's post."""
    tickets: list[Act] = field(default_factory=list)
    """`detail` is the subject, `value` the hours to the first answer (0: none yet)."""
    answers: list[Act] = field(default_factory=list)
    """nps and csat; `value` is the score."""

    def bought(self, place: Place) -> list[Purchase]:
        """Purchases at one place that somebody knows are this person's."""
        return [one for one in self.purchases if one.place == place and not one.is_unnamed]


@dataclass(frozen=True, slots=True)
class Story:
    """Everybody's lives, from `start` to `until`."""

    seed: int
    start: datetime
    until: datetime
    population: Population
    lives: list[Life]

    def at(self, second: int) -> datetime:
        """The moment of an offset."""
        return self.start + timedelta(seconds=second)

    @property
    def last_second(self) -> int:
        """The offset of `until`."""
        return int((self.until - self.start).total_seconds())

    def random(self, person: Person, purpose: str) -> Random:
        """Chance for one person and purpose, the same whatever else is drawn."""
        return Random(f"{self.seed}:{person.number}:{purpose}")  # noqa: S311 (repeatable)


def tell_story(seed: int, customers: int, until: datetime) -> Story:
    """The story of `customers` people up to `until`, which is cut down to its day.

    It starts three years before the quarter of `until`, so that within a quarter a later day only
    adds to what an earlier one has told.
    """
    until = until.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    quarter = until.replace(month=(until.month - 1) // 3 * 3 + 1, day=1)
    population = populate(seed, customers, DAYS)
    story = Story(seed, quarter - timedelta(days=DAYS), until, population, [])
    story.lives.extend(_live(story, person) for person in population.people)
    return story


def _live(story: Story, person: Person) -> Life:
    random = story.random(person, "life")
    habit = random.choices(tuple(HABIT_WEIGHTS), tuple(HABIT_WEIGHTS.values()))[0]
    # More arrive as the business grows: the square root leans towards the end.
    life = Life(person, habit, int((DAYS + LONGEST_QUARTER_DAYS) * random.random() ** 0.7))
    life.is_guest = random.random() < 0.18
    ends = story.last_second
    life.purchases = [_cut(one, ends) for one in _purchases(random, life) if one.second < ends]
    _subscribe(random, life, ends)
    life.readings = [one for one in _readings(random, life) if one.second < ends]
    life.social = [one for one in _social(random, life) if one.second < ends]
    life.tickets = [one for one in _tickets(random, life) if one.second < ends]
    life.answers = [one for one in _answers(random, life) if one.second < ends]
    return life


def _cut(purchase: Purchase, ends: int) -> Purchase:
    """The purchase without what has not happened yet."""
    refund, cancelled = purchase.refund_second, purchase.cancelled_second
    if (refund is None or refund < ends) and (cancelled is None or cancelled < ends):
        return purchase
    return Purchase(
        purchase.number,
        purchase.place,
        purchase.second,
        purchase.lines,
        purchase.discount_minor,
        purchase.shipping_minor,
        is_unnamed=purchase.is_unnamed,
    )


def _purchase_days(random: Random, life: Life) -> Iterator[int]:
    """The days on which somebody buys, by habit, from their first on."""
    day = life.first_day
    match life.habit:
        case Habit.BROWSER:
            return
        case Habit.ONE_TIME:
            yield day
        case Habit.REGULAR:
            pace = random.uniform(35, 150)
            yield from _paced(random, day, pace, MAX_PURCHASES)
        case Habit.LAPSING:
            pace = random.uniform(20, 60)
            yield from _paced(random, day, pace, random.randrange(2, 9), slowing=1.35)
        case Habit.SEASONAL:
            yield day
            yield from _festive(random, day)


def _paced(random: Random, day: int, pace: float, most: int, slowing: float = 1.0) -> Iterator[int]:
    """At most so many days, `pace` days apart on average, each gap longer by `slowing`."""
    for _ in range(most):
        if day >= DAYS + LONGEST_QUARTER_DAYS:
            return
        yield day
        day += 1 + int(random.expovariate(1 / pace))
        pace *= slowing


def _festive(random: Random, after: int) -> Iterator[int]:
    """A day in the same weeks of most years: the story's years are all counted from a quarter."""
    season = random.choice((330, 335, 340, 345))
    for year in range(YEARS + 1):
        day = year * 365 + season + random.randrange(15)
        if day > after + 20 and random.random() < 0.8:
            yield day


def _purchases(random: Random, life: Life) -> Iterator[Purchase]:
    web_share = random.choice((0.0, 0.15, 0.5, 0.9, 1.0, 1.0))
    favourite = random.choice(PRODUCTS).category
    for number, day in enumerate(_purchase_days(random, life)):
        place: Place = "web" if random.random() < web_share else "till"
        second = day * 86_400 + random.randrange(8 * 3600, 21 * 3600)
        yield _purchase(random, life.person.number * STEP + number, place, second, favourite)


def _purchase(random: Random, number: int, place: Place, second: int, favourite: str) -> Purchase:
    shelf = [product for product in PRODUCTS if product.category == favourite]
    chosen: dict[Product, int] = {}
    for _ in range(random.choices((1, 2, 3, 4), (50, 28, 14, 8))[0]):
        product = random.choice(shelf if random.random() < 0.6 else PRODUCTS)
        chosen[product] = chosen.get(product, 0) + random.choices((1, 2, 3), (80, 15, 5))[0]
    lines = tuple(chosen.items())
    goods = sum(product.price_minor * quantity for product, quantity in lines)
    discount = goods // 10 if random.random() < 0.18 else 0
    shipping = 490 if place == "web" and goods < 6000 else 0
    fate = random.random()
    later = second + random.randrange(2 * 86_400, 25 * 86_400)
    if place == "web" and fate < 0.02:
        return Purchase(
            number, place, second, lines, discount, shipping, cancelled_second=second + 5400
        )
    if fate < 0.08:
        whole = goods - discount
        amount = whole if fate < 0.05 or len(lines) == 1 else _first_line(lines, goods, whole)
        return Purchase(number, place, second, lines, discount, shipping, None, later, amount)
    unnamed = place == "till" and random.random() < 0.25
    return Purchase(number, place, second, lines, discount, shipping, is_unnamed=unnamed)


def _first_line(lines: tuple[tuple[Product, int], ...], goods: int, whole: int) -> int:
    """What was paid for the first line, its share of the discount taken off."""
    product, quantity = lines[0]
    return product.price_minor * quantity * whole // goods


def _subscribe(random: Random, life: Life, ends: int) -> None:
    share = 0.85 if life.habit is Habit.BROWSER else 0.5
    if random.random() >= share:
        return
    day = life.first_day + random.randrange(0, 30)
    leaves = random.random() < 0.18
    quit_second = (day + random.randrange(60, 700)) * 86_400 + 40_000
    if day * 86_400 < ends:
        life.subscribed_day = day
        life.unsubscribed_second = quit_second if leaves and quit_second < ends else None


def _readings(random: Random, life: Life) -> Iterator[Act]:
    if life.subscribed_day is None:
        return
    keenness = random.choice((0.05, 0.25, 0.5, 0.8))
    bounces = random.random() < 0.02
    first = life.person.number * STEP
    for campaign in range(1, (DAYS + LONGEST_QUARTER_DAYS) // CAMPAIGN_EVERY_DAYS + 1):
        sent = campaign * CAMPAIGN_EVERY_DAYS * 86_400 + 9 * 3600
        left = life.unsubscribed_second
        opened = sent + 60 + int(random.expovariate(1 / 20_000))
        is_opened, is_clicked = random.random() < keenness, random.random() < 0.25
        if sent < life.subscribed_day * 86_400 or (left is not None and sent >= left):
            continue
        number = first + campaign * 3
        yield Act(number, "bounced" if bounces else "sent", sent, value=campaign)
        if is_opened and not bounces:
            yield Act(number + 1, "opened", opened, value=campaign)
            if is_clicked:
                yield Act(number + 2, "clicked", opened + 45, value=campaign)


def _social(random: Random, life: Life) -> Iterator[Act]:
    if life.person.handle is None:
        return
    first, start = life.person.number * STEP, life.first_day * 86_400
    second = start + random.randrange(86_400)
    if random.random() < 0.75:
        yield Act(first, "follow", second)
    for number in range(1, 1 + min(12, int(random.expovariate(1 / 3)))):
        second += 3600 + int(random.expovariate(1 / (50 * 86_400)))
        kind = random.choices(("like", "reply", "mention", "repost"), (70, 12, 10, 8))[0]
        # The brand posts once a week.
        yield Act(first + number, kind, second, value=second // (7 * 86_400))


SUBJECTS: Final = (
    "Where is my parcel?",
    "A part is missing",
    "How do I return this?",
    "Wrong size",
    "Invoice needed",
    "The discount code does not work",
)


def _tickets(random: Random, life: Life) -> Iterator[Act]:
    for purchase in life.purchases:
        asks = random.random() < (0.35 if purchase.refund_second else 0.05)
        wait = random.randrange(20 * 3600, 6 * 86_400)
        subject, hours = random.choice(SUBJECTS), random.randrange(1, 49)
        if asks:
            yield Act(purchase.number, "ticket", purchase.second + wait, subject, hours)


def _answers(random: Random, life: Life) -> Iterator[Act]:
    mood = random.choice((3, 6, 8, 9, 9, 10))
    for purchase in life.purchases:
        kind = random.choice(("nps", "csat"))
        score = max(0, min(10, mood + random.choice((-1, 0, 0, 1))))
        wait = random.randrange(86_400, 5 * 86_400)
        if random.random() < 0.12:
            value = score if kind == "nps" else max(1, score // 2)
            yield Act(purchase.number, kind, purchase.second + wait, value=value)
