"""Who carries which value, by numbers, and which values tie several people."""

from dataclasses import dataclass

import numpy as np

from cdp.identity.census.columns import Census, Flags, Integers, codes_of, numbers_of
from cdp.identity.census.people import People
from cdp.identity.evidence import CONTACT
from cdp.identity.rules import Rules, Strength


@dataclass(frozen=True, slots=True)
class Carried:
    """The rows of what is carried: whose place, and the number of the value.

    `is_tying`: of each row, whether it ties its profile: of one that carries more than a person
    can, its own key alone does. Of each value: `kind`, the number of its kind; `is_shared`, whether
    it would tie several; `ties`, whether no rule blocks it either. Of each place: `overgrown`.
    """

    place: Integers
    value: Integers
    is_current: Flags
    is_tying: Flags
    kind: Integers
    kinds: list[str]
    is_shared: Flags
    ties: Flags
    overgrown: Flags

    def most_per_customer(self, rules: Rules) -> Integers:
        """Of each kind, how many one customer may have."""
        return np.array([rules.of(kind).most_per_customer for kind in self.kinds], np.int64)

    def is_weak(self, rules: Rules) -> Flags:
        """Of each value, whether it joins weakly."""
        weak = [rules.of(kind).strength is Strength.WEAK for kind in self.kinds]
        return np.array(weak, np.bool_)[self.kind]

    def blocked_rows(self, who: Flags) -> Flags:
        """The rows of some places that would tie them, were it not for the rules."""
        is_blocked = self.is_shared & ~self.ties
        blocked: Flags = who[self.place] & is_blocked[self.value]
        return blocked

    def edges(self) -> tuple[Integers, Integers]:
        """Whom values tie, as a chain of places for each value."""
        rows = np.flatnonzero(self.is_tying & self.ties[self.value])
        rows = rows[np.argsort(self.value[rows], kind="stable")]
        same = self.value[rows[1:]] == self.value[rows[:-1]]
        return self.place[rows[:-1][same]], self.place[rows[1:][same]]


def carried_by(census: Census, people: People, rules: Rules) -> Carried:
    """Number the values, and judge which of them tie anybody."""
    table = census.carried
    place = census.places_of(table["profile_id"].to_numpy())
    kind_of_row, kinds = codes_of(table, "kind")
    code = numbers_of(kind_of_row, codes_of(table, "value")[0])
    _, first, value = np.unique(code, return_index=True, return_inverse=True)
    overgrown = np.bincount(place, minlength=len(people.number)) > rules.most_identifiers
    is_tying = ~overgrown[place]
    for row in np.flatnonzero(overgrown[place]).tolist():
        is_tying[row] = _is_own_key(census, row, int(place[row]))
    holders = np.bincount(value[is_tying], minlength=len(first))
    found = Carried(
        place=place,
        value=value.astype(np.int64),
        is_current=table["is_current"].to_numpy(),
        is_tying=is_tying,
        kind=kind_of_row[first],
        kinds=kinds,
        is_shared=holders > 1,
        ties=holders > 1,
        overgrown=overgrown,
    )
    found.ties[_too_shared(found, holders, people, rules)] = False
    found.ties[_blocked(census, found, first, rules)] = False
    return found


def _is_own_key(census: Census, row: int, place: int) -> bool:
    """As `cdp.identity.bounds.anchors` has it."""
    source, stream, key = (
        census.people[name][place].as_py() for name in ("source", "stream", "key")
    )
    said = tuple(census.carried[name][row].as_py() for name in ("kind", "value"))
    return stream != CONTACT and said == (f"external:{source}", key)


def _too_shared(carried: Carried, holders: Integers, people: People, rules: Rules) -> Flags:
    """The values that too many share, as `cdp.identity.bounds.too_shared` has it."""
    most = np.array([rules.of(kind).most_persons for kind in carried.kinds], np.int64)
    is_many = holders > most[carried.kind]
    rows = np.flatnonzero(carried.is_tying & is_many[carried.value])
    value, place = carried.value[rows], carried.place[rows]
    is_named = people.is_named[place]
    name = numbers_of(value[is_named], people.name[place[is_named]])
    one_of_each = np.unique(name, return_index=True)[1]
    persons = np.bincount(value[is_named][one_of_each], minlength=len(holders))
    is_counted = ~is_named & ~people.is_contact[place]
    persons += np.bincount(value[is_counted], minlength=len(holders))
    found: Flags = is_many & (persons > most[carried.kind]) | (holders > rules.most_holders)
    return found


def _blocked(census: Census, carried: Carried, first: Integers, rules: Rules) -> Integers:
    """The values that a pattern of their kind says join nobody; `first`: a row of each value."""
    is_ruled = np.array([rules.of(kind).blocked is not None for kind in carried.kinds], np.bool_)
    values = np.flatnonzero(carried.ties & is_ruled[carried.kind])
    rows = np.zeros(len(carried.value), np.bool_)
    rows[first[values]] = True
    in_order = values[np.argsort(first[values])].tolist()
    told = census.values_at(rows)
    return np.array(
        [n for n, one in zip(in_order, told, strict=True) if rules.blocks(one)], np.int64
    )
