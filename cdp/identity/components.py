"""Components: which source profiles hang together by any evidence."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from cdp.identity.evidence import Identifier
from cdp.identity.rules import Rules
from cdp.values import ProfileId


class Components:
    """Which profiles hang together by any evidence, and by which identifiers."""

    def __init__(self, shared: Mapping[Identifier, Sequence[ProfileId]]) -> None:
        self._shared = shared
        self._parent: dict[ProfileId, ProfileId] = {}
        for who in shared.values():
            self.tie(who)

    @property
    def tied(self) -> Collection[ProfileId]:
        """Everyone who hangs together with anybody."""
        return self._parent.keys()

    def tie(self, profiles: Iterable[ProfileId]) -> None:
        """These hang together."""
        first: ProfileId | None = None
        for one in profiles:
            root = self._root(one)
            if first is None:
                first = root
            else:
                self._parent[root] = first

    def each(self, rules: Rules) -> Iterable[tuple[list[Identifier], list[ProfileId]]]:
        """Each component: its identifiers in the order in which they are taken, its profiles."""
        found: dict[ProfileId, tuple[list[Identifier], list[ProfileId]]] = {}
        for one in self._parent:
            found.setdefault(self._root(one), ([], []))[1].append(one)
        for identifier, who in self._shared.items():
            found[self._root(who[0])][0].append(identifier)
        for identifiers, _ in found.values():
            identifiers.sort(key=lambda i: (rules.of(i.kind).strength, i.kind, i.value))
        return found.values()

    def _root(self, one: ProfileId) -> ProfileId:
        parent = self._parent
        parent.setdefault(one, one)
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one
