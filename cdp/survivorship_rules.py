"""The rules of survivorship: which rule chooses each attribute's value, as a typed document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cdp.attributes import ATTRIBUTES
from cdp.errors import BadInput, UnknownName

MAX_SOURCES: Final = 250  # in a list of priorities; more than any workspace connects
MAX_SOURCE_NAME: Final = 63  # characters, as of a source's name


class Rule(Enum):
    """How one of several claims is chosen. Among equals the latest wins; an empty one never does.

    Whatever the rule, a name with a surname goes before one without, and an address with a street
    or a city before one without: their parts win together, and what is not said would empty what
    was.

    The latest is the claim that its source changed last, then the one that was learned last.
    """

    LATEST = "latest"
    VERIFIED_FIRST = "verified_first"
    MOST_FREQUENT = "most_frequent"
    SOURCE_PRIORITY = "source_priority"
    LONGEST = "longest"


IN_WORDS: Mapping[Rule, str] = {
    Rule.LATEST: "The claim that its source changed last wins.",
    Rule.VERIFIED_FIRST: "A claim that its source has verified wins; of several, the latest.",
    Rule.MOST_FREQUENT: (
        "The value that the most sources claim wins, then that of the most source profiles; of"
        " several, the latest."
    ),
    Rule.SOURCE_PRIORITY: (
        "The source that the rules name first wins; of several claims of it, the latest."
    ),
    Rule.LONGEST: "The longest text wins; of several, the latest.",
}
"""What each rule does, for people. An empty claim never wins, whatever the rule."""

OTHERS: Final = "attributes"
"""The name of the one rule that chooses for each attribute beyond the fixed ones, by itself."""

SUBJECTS: tuple[str, ...] = (*dict.fromkeys(each.composite for each in ATTRIBUTES), OTHERS)
"""What a rule is given to: a composite as a whole, an attribute that stands alone, the others."""

_WITHOUT_LENGTH: Final = frozenset({"birth_date"})  # every date is as long as another


@dataclass(frozen=True, slots=True)
class Survivorship:
    """The rule of each of SUBJECTS, in their order, and `sources` by name, the most trusted first.

    Hashable: the statement that folds customers is built once for each.
    """

    rules: tuple[tuple[str, Rule], ...]
    sources: tuple[str, ...] = ()

    def rule_of(self, subject: str) -> Rule:
        """The rule of one of SUBJECTS."""
        return dict(self.rules)[subject]


_DEFAULTS: Final = {"email": Rule.VERIFIED_FIRST, "phone": Rule.VERIFIED_FIRST}
"""A contact point is what we write to: one that a source has seen answered goes before one that a
cashier typed later. What else describes a person may change (a surname, a home): there the latest
word is the best."""

DEFAULT: Final = Survivorship(
    tuple((subject, _DEFAULTS.get(subject, Rule.LATEST)) for subject in SUBJECTS)
)


def parse_survivorship(data: object) -> Survivorship:
    """Read `{"sources": [...], "rules": {subject: rule}}`, as TOML or JSON gives it.

    What is not named keeps its default. Raises BadInput, whose `path` names the place at fault.
    """
    members = _mapping(data, "")
    if unknown := members.keys() - {"sources", "rules"}:
        raise _unknown(min(unknown), "", ("sources", "rules"))
    sources = _sources(members.get("sources", []))
    rules = dict(DEFAULT.rules)
    for subject, rule in _mapping(members.get("rules", {}), "rules").items():
        rules[_subject(subject)] = _rule(subject, rule, sources)
    return Survivorship(tuple(rules.items()), sources)


def survivorship_document(survivorship: Survivorship) -> dict[str, object]:
    """The rules as plain data, every one of them named; `parse_survivorship` reads it back."""
    return {
        "sources": list(survivorship.sources),
        "rules": {subject: rule.value for subject, rule in survivorship.rules},
    }


def _mapping(data: object, path: str) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise BadInput(f"{path or 'Survivorship'} is not a table.", path=path)
    return {str(name): value for name, value in data.items()}


def _sources(given: object) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadInput("sources is not a list.", path="sources")
    if len(given) > MAX_SOURCES:
        raise BadInput(
            f"sources names {len(given)} sources; {MAX_SOURCES} is the most.", path="sources"
        )
    for place, name in enumerate(given):
        path = f"sources[{place}]"
        if not isinstance(name, str) or not 0 < len(name) <= MAX_SOURCE_NAME or "\0" in name:
            raise BadInput(f"{path} is not the name of a source.", path=path)
        if name in given[:place]:
            raise BadInput(f"{path} names {name!r} a second time.", path=path)
    return tuple(given)


def _subject(name: str) -> str:
    """The name of a subject; a part of a composite is told to which one it belongs."""
    if name in SUBJECTS:
        return name
    for each in ATTRIBUTES:
        if each.name == name:
            raise BadInput(
                f"{name} has no rule of its own: the parts of {each.composite} win together.",
                todo=f"Give the rule to {each.composite}.",
                path=f"rules.{name}",
            )
    raise _unknown(name, "rules", SUBJECTS)


def _rule(subject: str, given: object, sources: Sequence[str]) -> Rule:
    path = f"rules.{subject}"
    try:
        rule = Rule(given)
    except ValueError:
        names = ", ".join(each.value for each in Rule)
        raise BadInput(f"{path} is not a rule.", todo=f"There are: {names}.", path=path) from None
    if rule is Rule.SOURCE_PRIORITY and not sources:
        raise BadInput(
            f"{path} goes by the priority of sources, and sources names none.",
            todo="Name them, the most trusted first.",
            path=path,
        )
    if rule is Rule.LONGEST and subject in _WITHOUT_LENGTH:
        raise BadInput(f"{path}: one date is as long as another.", path=path)
    return rule


def _unknown(name: str, path: str, known: Sequence[str]) -> UnknownName:
    return UnknownName(name, known, f"{path}.{name}".lstrip(".")[:200])
