"""What others would do on the same records: shared identifiers, stock Splink, tuned Splink."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import splink.comparison_level_library as levels
import splink.comparison_library as compare
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.judging import Labels, closure
from cdp.identity.names import FORMAL_NAMES

MOST_HOLDERS: Final = 10  # of a value, before it joins nobody
STOCK_CUT: Final = 0.95
TUNED_CUT: Final = 0.99
RANDOM_PAIRS: Final = 2_000_000  # for u; Splink's own recommendation is 1e6 and more
RECALL: Final = 0.7  # of the deterministic rules by which Splink estimates its prior

logging.getLogger("splink").addHandler(logging.NullHandler())


def shared_identifiers(profiles: pa.Table) -> Labels:
    """Whoever shares an address, a number or a card is one, unless many do."""
    left, right = _shared(profiles)
    return closure(profiles.num_rows, left, right)


def stock_splink(profiles: pa.Table) -> Labels:
    """Splink as its tutorial has it, cut at 0.95."""
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="place",
        comparisons=[
            compare.NameComparison("first_name"),
            compare.NameComparison("family"),
            compare.DateOfBirthComparison("birth_date", input_is_string=True),
            compare.EmailComparison("email"),
            compare.ExactMatch("phone").configure(term_frequency_adjustments=True),
            compare.ExactMatch("postal_code").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("email"),
            block_on("phone"),
            block_on("first_name", "family"),
            block_on("family", "postal_code"),
            block_on("birth_date", "first_name"),
        ],
    )
    left, right = _matches(profiles, settings, STOCK_CUT)
    return closure(profiles.num_rows, left, right)


def tuned_splink(profiles: pa.Table) -> Labels:
    """Splink tuned by hand for customers, joined with shared identifiers.

    Short forms, frequencies, frequent values blocked, a higher cut; nobody is joined with whom
    first names clash.
    """
    settings = SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="place",
        comparisons=[
            compare.CustomComparison(
                output_column_name="first_name",
                comparison_levels=[
                    levels.NullLevel("first_name"),
                    levels.ExactMatchLevel("first_name", term_frequency_adjustments=True),
                    levels.ExactMatchLevel("formal"),
                    levels.JaroWinklerLevel("first_name", 0.9),
                    levels.ElseLevel(),
                ],
            ),
            compare.JaroWinklerAtThresholds("family", [0.92]).configure(
                term_frequency_adjustments=True
            ),
            compare.DateOfBirthComparison("birth_date", input_is_string=True),
            compare.LevenshteinAtThresholds("email", [2]),
            compare.LevenshteinAtThresholds("phone", [1]),
            compare.LevenshteinAtThresholds("street", [2]),
            compare.ExactMatch("postal_code").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("email"),
            block_on("phone"),
            block_on("formal", "family", "city"),
            block_on("family", "postal_code"),
            block_on("formal", "street"),
            block_on("birth_date", "formal"),
            block_on("birth_date", "family"),
        ],
    )
    blocked = _without_frequent(profiles)
    left, right = _matches(blocked, settings, TUNED_CUT)
    names = [(given or "").split(" ")[0] for given in profiles["given"].to_pylist()]
    one, other = _shared(profiles)
    left, right = np.concatenate([left, one]), np.concatenate([right, other])
    fits = np.array(
        [_may_be_one(names[a], names[b]) for a, b in zip(left, right, strict=True)], np.bool_
    )
    return closure(profiles.num_rows, left[fits], right[fits])


def _may_be_one(left: str, right: str) -> bool:
    if not left or not right or left[0] == right[0]:
        return True
    return not FORMAL_NAMES.get(left, {left}).isdisjoint(FORMAL_NAMES.get(right, {right}))


def _shared(profiles: pa.Table) -> tuple[Labels, Labels]:
    holders: dict[str, list[int]] = defaultdict(list)
    for place, value in _carried(profiles):
        holders[value].append(place)
    pairs = [
        pair
        for who in holders.values()
        if len(who) <= MOST_HOLDERS
        for pair in combinations(who, 2)
    ]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _carried(profiles: pa.Table) -> Iterator[tuple[int, str]]:
    for column in ("emails", "phones", "strong"):
        for place, values in enumerate(profiles[column].to_pylist()):
            yield from ((place, f"{column} {value}") for value in values or ())


def _without_frequent(profiles: pa.Table) -> pa.Table:
    found = profiles
    for column in ("emails", "phones"):
        times: dict[str, int] = defaultdict(int)
        lists = profiles[column].to_pylist()
        for values in lists:
            for value in values or ():
                times[value] += 1
        kept = [[one for one in values or () if times[one] <= MOST_HOLDERS] for values in lists]
        place = found.schema.get_field_index(column)
        found = found.set_column(place, column, pa.array(kept, pa.list_(pa.string())))
    return found


def _matches(profiles: pa.Table, settings: SettingsCreator, cut: float) -> tuple[Labels, Labels]:
    """Train as Splink's tutorial does, without labels, and return the pairs above the cut."""
    with duckdb.connect() as connection:
        connection.register("profiles", profiles)
        formals = {name: min(formal) for name, formal in FORMAL_NAMES.items()}
        connection.register(
            "formal_name",
            pa.table({"short": list(formals.keys()), "formal": list(formals.values())}),
        )
        connection.execute(
            "CREATE TABLE people AS SELECT profile_id AS place,"
            " nullif(split_part(given, ' ', 1), '') AS first_name,"
            " coalesce(f.formal, nullif(split_part(given, ' ', 1), '')) AS formal, family,"
            " strftime(birth_date, '%Y-%m-%d') AS birth_date, street, city, postal_code,"
            " emails[1] AS email, phones[1] AS phone"
            " FROM profiles LEFT JOIN formal_name f ON f.short = split_part(given, ' ', 1)"
        )
        api = DuckDBAPI(connection)
        linker = Linker(api.register("people"), settings, log_level=None)
        training = linker.training
        training.estimate_probability_two_random_records_match(
            [block_on("email"), block_on("phone", "family")], recall=RECALL
        )
        training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS)
        for rule in (
            block_on("first_name", "family"),
            block_on("email"),
            block_on("birth_date", "family"),
        ):
            training.estimate_parameters_using_expectation_maximisation(rule)
        found = linker.inference.predict(threshold_match_probability=cut, warning_mode="never")
        pairs = connection.execute(
            f"SELECT place_l, place_r FROM {found.physical_name}"  # noqa: S608  # Splink's own name
        ).fetchnumpy()
    return pairs["place_l"].astype(np.int64), pairs["place_r"].astype(np.int64)


RIVALS: Final[Mapping[str, Callable[[pa.Table], Labels]]] = {
    "shared_identifiers": shared_identifiers,
    "stock_splink": stock_splink,
    "tuned_splink": tuned_splink,
}
"""By name; each returns of each profile, whose id is its place, the cluster that it is in."""
