"""Comparison vectors: Splink compares the candidates; what it says is one number a comparison."""

import logging
from typing import Final

import duckdb
from splink import DuckDBAPI, Linker

from cdp.identity.linkage.comparisons import COMPARISONS, Comparison

UNIT: Final = 2.0**-50
"""A chance so small that a level's number fits above it: more levels than any comparison has."""

_LOGGER = logging.getLogger("splink")
_LOGGER.addHandler(logging.NullHandler())
_LOGGER.propagate = False  # it tells every statement; what a run did is in its summary


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


def compare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table `vector` of the tables `person` and `candidate`.

    One row per candidate: `left_id`, `right_id`, `blocks`, and for each comparison the number of
    its level, the weakest 0, -1 where it is not known.
    """
    api = DuckDBAPI(connection)
    linker = Linker(api.register("person"), settings(), log_level=None)
    linker.table_management.register_blocked_pairs_for_predict(api.register("candidate"))
    compared = linker.inference.predict(warning_mode="never")
    levels = ", ".join(f"(mw_{one.name} - 1)::tinyint AS {one.name}" for one in COMPARISONS)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE vector AS SELECT profile_id_l AS left_id,"  # noqa: S608  # our own constants
        f" profile_id_r AS right_id, match_key AS blocks, {levels} FROM {compared.physical_name}"
    )
    compared.drop_table_from_database_and_remove_from_cache()
