"""The arrows between modules: who may import whom, no cycle, no room to hide in."""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cdp", "schema", "connectors", "migrations")

ROOMS = (
    ("errors", "values", "settings", "event_loop", "patience", "toml_text"),
    ("records", "invalid", "payloads", "validation", "lines", "delivery", "versions", "rows",
     "tables", "database_url", "database", "postgres", "money", "workspace", "outbox",
     "statements"),
    ("identity", "ahead", "attributes", "survivorship_rules", "claims", "survivorship",
     "order_days", "arrivals", "purchase_days", "facts", "activity", "loyalty", "customers",
     "rebuild", "told_profiles", "profiles", "touched", "contact_points", "consent",
     "consent_writing", "sources", "unheard"),
    ("ingest", "traits", "remap"),
    ("deadletters", "pushed", "clock", "operands", "operators", "bearers", "fields", "related",
     "clauses", "reading", "conditions", "filters", "keyset", "query", "keys", "freshness",
     "segments", "audiences", "scoring", "business", "recommendations", "operations"),
    ("refresh", "writers", "columns", "mart", "export", "publish", "traitchange", "deciding",
     "stewardship", "rulechange", "stepping", "resolving", "forecasting"),
)  # fmt: skip
"""The rooms of cdp: a module imports from its own line and those above, never from one below."""

COMPOSITION_ROOTS = ("cdp.__main__", "cdp.cli", "cdp.server")
"""They put the parts together: they may import everything, nothing else may import them."""

NO_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc", "manager", "service"}


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def _modules() -> Mapping[str, Path]:
    return {_module(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def _imported(path: Path) -> Iterator[str]:
    """The project's modules that a file imports, wherever in it, for types alone too."""
    known = _modules()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            base = node.module or ""
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                if whole in known:
                    yield whole
                elif base in known:
                    yield base


@cache
def _arrows() -> Mapping[str, frozenset[str]]:
    return {name: frozenset(_imported(path)) - {name} for name, path in _modules().items()}


def _pairs() -> Iterator[tuple[str, str]]:
    for name, targets in sorted(_arrows().items()):
        yield from ((name, target) for target in sorted(targets))


def _is_in(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _room(name: str) -> int | None:
    """The line of a module of cdp; None for the package itself and the roots."""
    if name == "cdp" or _is_in(name, *COMPOSITION_ROOTS):
        return None
    part = name.split(".")[1]
    return next(line for line, room in enumerate(ROOMS) if part in room)


def test_there_is_something_to_look_at() -> None:
    assert {"cdp.errors", "cdp.tables", "cdp.filters"} <= _modules().keys()
    assert "cdp.errors" in _arrows()["cdp.filters"]


def test_every_module_of_the_domain_has_its_room() -> None:
    rooms = {name for room in ROOMS for name in room}
    homeless = {
        name
        for name in _modules()
        if _is_in(name, "cdp")
        and name != "cdp"
        and not _is_in(name, *COMPOSITION_ROOTS)
        and name.split(".")[1] not in rooms
    }
    assert not homeless


def test_the_two_wings_never_meet() -> None:
    met = [
        pair
        for pair in _pairs()
        if (_is_in(pair[0], "schema") and _is_in(pair[1], "connectors"))
        or (_is_in(pair[0], "connectors") and _is_in(pair[1], "schema"))
    ]
    assert not met


def test_the_domain_imports_no_wing() -> None:
    met = [
        (name, target)
        for name, target in _pairs()
        if _is_in(name, "cdp")
        and not _is_in(name, *COMPOSITION_ROOTS)
        and _is_in(target, "schema", "connectors", "migrations")
    ]
    assert not met


def test_composition_roots_are_imported_by_each_other_alone() -> None:
    met = [
        (name, target)
        for name, target in _pairs()
        if _is_in(target, *COMPOSITION_ROOTS) and not _is_in(name, *COMPOSITION_ROOTS)
    ]
    assert not met


def test_a_room_imports_only_from_its_line_and_above() -> None:
    wrong = []
    for name, target in _pairs():
        if not (_is_in(name, "cdp") and _is_in(target, "cdp")):
            continue
        here, there = _room(name), _room(target)
        if here is not None and there is not None and there > here:
            wrong.append((name, target))
    assert not wrong


def test_ingest_is_blind_to_traits_and_segments() -> None:
    seen = [
        (name, target)
        for name, target in _pairs()
        if _is_in(name, "cdp.ingest") and _is_in(target, "cdp.traits", "cdp.segments")
    ]
    assert not seen


def test_no_import_goes_in_a_circle() -> None:
    try:
        TopologicalSorter(_arrows()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_there_is_no_room_to_hide_in() -> None:
    hidden = [name for name in _modules() if NO_NAMES & set(name.split("."))]
    assert not hidden


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for name, path in _modules().items():
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if not doc.split("\n\n")[0].strip().endswith("."):
            silent.append(name)
    assert not silent
