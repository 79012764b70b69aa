"""Comparison vectors: Splink compares the candidates; of each comparison the level is kept."""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import duckdb
import numpy as np
from numpy.typing import NDArray
from splink import DuckDBAPI, Linker

from cdp.identity.linkage.blocking import make_candidates
from cdp.identity.linkage.chance import Floats
from cdp.identity.linkage.comparisons import COMPARISONS, Comparison

Levels: TypeAlias = NDArray[np.int8]
Integers: TypeAlias = NDArray[np.int64]
Bits: TypeAlias = NDArray[np.uint64]

UNIT: Final = 2.0**-50
"""A chance so small that a level's number fits above it: more levels than any comparison has."""

for _name, _level in (("splink", logging.CRITICAL), ("sqlglot", logging.WARNING)):
    # They tell every statement, and of every array that it is counted from one.
    logging.getLogger(_name).setLevel(_level)


def settings() -> dict[str, object]:
    """The comparisons as Splink's settings, with weights that are the numbers of the levels.

    Splink keeps the numbers only beside every column that was compared; the weights it always
    keeps. So log2(m / u) of a level is its number plus one, and 0 is left for what is not known.
    """
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "profile_id",
        "comparisons": [_comparison(one) for one in COMPARISONS],
        "blocking_rules_to_generate_predictions": [],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": True,
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    levels: list[dict[str, object]] = [
        {
            "sql_condition": comparison.unknown,
            "label_for_charts": "unknown",
            "is_null_level": True,
        }
    ]
    for number, (label, holds) in zip(
        range(len(comparison.levels), 0, -1), comparison.levels, strict=True
    ):
        levels.append(
            {
                "sql_condition": holds or "ELSE",
                "label_for_charts": label,
                "m_probability": UNIT * 2**number,
                "u_probability": UNIT,
            }
        )
    return {"output_column_name": comparison.name, "comparison_levels": levels}


@dataclass(frozen=True, slots=True)
class Vectors:
    """The candidates as they were compared; of equal vectors one is kept.

    `levels`: a row per distinct vector, a column per comparison: the number of the level, the
    weakest 0, -1 where it is not known; `times`: how many candidates have it. Of each candidate:
    the smaller profile id `left`, the other `right`, the `blocks` that they share, a bit each, and
    `which` vector is theirs.
    """

    levels: Levels
    times: Floats
    left: Integers
    right: Integers
    blocks: Bits
    which: Integers


Engine: TypeAlias = Callable[[duckdb.DuckDBPyConnection, Collection[int] | None], Vectors]
"""Makes the candidates of the table `person` and compares them; with some ids, those of whom one
is one of these. Every engine finds the same."""


def compare_here(
    connection: duckdb.DuckDBPyConnection, among: Collection[int] | None = None
) -> Vectors:
    """On this machine: an Engine."""
    make_candidates(connection, among)
    return compare(connection)


def compare(connection: duckdb.DuckDBPyConnection) -> Vectors:
    """Compare the rows of the table `candidate`, each a pair of rows of the table `person`."""
    api = DuckDBAPI(connection)
    linker = Linker(api.register("person"), settings(), log_level=None, validate_settings=False)
    linker.table_management.register_blocked_pairs_for_predict(api.register("candidate"))
    compared = linker.inference.predict(warning_mode="never")
    code = code_of(lambda one: f"mw_{one.name}::bigint")
    found = connection.execute(
        "SELECT profile_id_l AS left_id, profile_id_r AS right_id, match_key AS blocks,"  # noqa: S608  # our own constants
        f" {code} AS code FROM {compared.physical_name} ORDER BY left_id, right_id"
    ).fetchnumpy()
    compared.drop_table_from_database_and_remove_from_cache()
    return vectors_of(found)


def code_of(number: Callable[[Comparison], str]) -> str:
    """All levels of a pair as one number, so that equal vectors are found by sorting numbers.

    `number`: of a comparison, the SQL of its level's number plus one; 0 where it is not known.
    """
    code = "0::bigint"
    for one in COMPARISONS:
        code = f"({code}) * {len(one.levels) + 1} + {number(one)}"
    return code


def vectors_of(found: Mapping[str, NDArray[Any]]) -> Vectors:
    """The candidates by `left_id`, `right_id`, `blocks` and the `code` of their levels."""
    codes, which, times = np.unique(found["code"], return_inverse=True, return_counts=True)
    return Vectors(
        levels=_levels(codes),
        times=times.astype(np.float64),
        left=found["left_id"],
        right=found["right_id"],
        blocks=found["blocks"].astype(np.uint64),
        which=which.astype(np.int64),
    )


def _levels(codes: Integers) -> Levels:
    levels = np.empty((len(codes), len(COMPARISONS)), dtype=np.int8)
    rest = codes
    for column in range(len(COMPARISONS) - 1, -1, -1):
        rest, number = np.divmod(rest, len(COMPARISONS[column].levels) + 1)
        levels[:, column] = number - 1
    return levels
