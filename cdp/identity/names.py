"""Whether two names may be one person's: short forms, initials, typos, turned names allowed."""

from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

SHORTEST_TYPO: Final = 4  # letters; below that one other letter is another name (Ann, Ian)
SHORTEST_GIVEN_TYPO: Final = 5  # letters; given names lie closer together than family names
NAME_CACHE_ENTRIES: Final = 65_536

_NICKNAMES: Final = """
alexander alex al sasha xander; alexandra alex sandra sasha lexi; andrew andy drew; anna ann
annie; anne ann annie nan; anthony tony ant; antonia toni; barbara barb babs; beatrice bea;
benedict ben; benjamin ben benny; bernard bernie; caroline carol carrie; catherine kate katie
cathy cat; charles charlie chuck chas; charlotte charlie lottie; christine chris chrissy tina
christina; christopher chris kit topher; daniel dan danny; daniela dani; david dave davey; deborah
deb debbie; dorothy dot dottie; edward ed eddie ted ned; eleanor ellie nell nora; elizabeth liz
beth betty lizzie eliza libby; emily em emmy; emma em; frances fran frankie; francis frank;
frederick fred freddie; gabriel gabe; gabriella gabby; geoffrey geoff jeff; george georgie; gerald
gerry jerry; gregory greg; harold harry hal; harriet hattie; henry harry hank; isabella bella izzy
isabel; jacob jake; james jim jimmy jamie; jane janie; janet jan; jennifer jen jenny; jessica jess
jessie; joan joanie; joanna jo joanne; john johnny jack jon; jonathan jon jonny; joseph joe joey;
joshua josh; judith judy; julia jules; karen kaz; katherine kate katie kathy kat kathryn; keith
kay; kenneth ken kenny; kimberly kim; laura laurie; lawrence larry; leonard leo len lenny; linda
lindy; louis lou; louise lou; lucy lu; madeleine maddie; margaret maggie meg peggy marge; maria
mia; martin marty; mary molly polly; matthew matt matty; maximilian max; megan meg; melanie mel;
melissa mel; michael mike mick mickey; michelle shelly; nancy nan; nathan nate; nathaniel nate
nat; nicholas nick nicky; nicola nicky; nicole nikki; oliver ollie; olivia liv livvy; oscar ozzie;
pamela pam; patricia pat patty trish tricia; patrick pat paddy; paul pauly; penelope penny; peter
pete; philip phil; philippa pippa; rachel rach; raymond ray; rebecca becky becca; richard rick
dick richie rich; robert bob bobby rob robbie bert; roberta bobbie; ronald ron ronnie; rosemary
rose rosie; russell russ; ruth ruthie; samantha sam sammy; samuel sam sammy; sarah sally sadie;
sebastian seb; sharon shaz; sophia sophie; stephanie steph; stephen steve stevie; steven steve
stevie; susan sue susie suzie; suzanne sue suzy; teresa terry tess; theodore ted theo teddy;
theresa terry tess; thomas tom tommy; timothy tim timmy; tracy trace; valerie val; victoria vicky
tori; vincent vince vinny; virginia ginny; walter walt wally; william will bill billy liam willy;
zachary zach zack
"""
"""Our own list of English short forms; each entry is a formal name and what it is shortened to."""


def _read_nicknames() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for entry in _NICKNAMES.replace("\n", " ").split(";"):
        formal, *short = entry.split()
        for name in (formal, *short):
            groups.setdefault(name, set()).add(formal)
    return {name: frozenset(formals) for name, formals in groups.items()}


_FORMAL: Final = _read_nicknames()


class Person(msgspec.Struct, frozen=True):
    """What tells one person from another who shares an identifier. Empty or None: not known."""

    given: str
    family: str
    birth_date: date | None = None

    @property
    def is_named(self) -> bool:
        """Whether there is any name to compare."""
        return bool(self.given or self.family)


@lru_cache(maxsize=NAME_CACHE_ENTRIES)
def may_be_one(left: Person, right: Person, *, family_may_change: bool) -> bool:
    """Whether two who share an identifier may be one person; what is not known never clashes.

    `family_may_change`: people keep an address through a marriage, a phone number gets recycled.
    """
    if not dates_agree(left.birth_date, right.birth_date):
        return False
    if left.given == right.family and left.family == right.given and left.given:
        return True
    if not given_agree(left.given, right.given):
        return False
    if family_agree(left.family, right.family):
        return True
    return family_may_change and bool(left.given) and bool(right.given)


def given_agree(left: str, right: str) -> bool:
    """Whether given names may be one person's, by their first words; not known agrees."""
    if not left or not right or left == right:
        return True
    first, other = left.split()[0], right.split()[0]
    if first == other or (min(len(first), len(other)) == 1 and first[0] == other[0]):
        return True
    formal, other_formal = _FORMAL.get(first), _FORMAL.get(other)
    if formal and other_formal:
        return not formal.isdisjoint(other_formal)
    # Paul and Paula, Maria and Mario are couples, not typos.
    is_long = min(len(first), len(other)) >= SHORTEST_GIVEN_TYPO
    return is_long and first[-1] == other[-1] and is_typo(first, other)


def family_agree(left: str, right: str) -> bool:
    """Whether family names may be one person's; a part of a double name agrees with the whole."""
    if not left or not right or left == right:
        return True
    words, others = set(left.split()), set(right.split())
    return not words.isdisjoint(others) or is_typo(left.replace(" ", ""), right.replace(" ", ""))


def dates_agree(left: date | None, right: date | None) -> bool:
    """Whether birth dates may be one: equal, day and month turned, or one digit off."""
    if left is None or right is None or left == right:
        return True
    if left.year == right.year and (left.month, left.day) == (right.day, right.month):
        return True
    digits = zip(left.isoformat(), right.isoformat(), strict=True)
    return sum(a != b for a, b in digits) == 1


def is_typo(left: str, right: str) -> bool:
    """Whether one edit (a letter added, lost, changed or turned with the next) parts two words."""
    if abs(len(left) - len(right)) > 1 or min(len(left), len(right)) < SHORTEST_TYPO:
        return False
    start = 0
    shortest = min(len(left), len(right))
    while start < shortest and left[start] == right[start]:
        start += 1
    rest, other = left[start:], right[start:]
    if len(rest) == len(other):
        turned = len(rest) >= 2 and rest[:2] == other[1::-1] and rest[2:] == other[2:]
        return rest[1:] == other[1:] or turned
    return rest[1:] == other if len(rest) > len(other) else rest == other[1:]
