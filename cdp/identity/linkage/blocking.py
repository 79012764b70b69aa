"""Candidates: which two people are worth comparing, in blocks that stay small as data grow."""

from collections.abc import Collection
from typing import Final

import duckdb

MOST_IN_BLOCK: Final = 100
"""People who have one key in common; a larger block tells nobody from anybody."""

RARE_NAME: Final = 0.05
"""People of the same name by chance, up to which a name alone is worth a comparison."""

_NAMED: Final = "SELECT *, unnest(formals) AS one FROM person"
_PLACE: Final = "coalesce(postal_code, city)"

BLOCKS: Final = {
    "email": "SELECT profile_id, [unnest(emails)] AS k FROM person",
    "phone": "SELECT profile_id, [unnest(phones)] AS k FROM person",
    "strong": "SELECT profile_id, [unnest(strong)] AS k FROM person",
    "mailbox": "SELECT profile_id, [split_part(unnest(emails), '@', 1)] AS k FROM person",
    "rare name": "SELECT profile_id, [least(one, family), greatest(one, family)] AS k"
    f" FROM ({_NAMED}) WHERE name_rarity < log2({RARE_NAME})",
    "name and city": "SELECT profile_id, [least(one, family), greatest(one, family), city] AS k"
    f" FROM ({_NAMED})",
    "given and postal code": f"SELECT profile_id, [one, postal_code] AS k FROM ({_NAMED})",
    "given and street": f"SELECT profile_id, [one, street] AS k FROM ({_NAMED})",
    "given and birth date": f"SELECT profile_id, [one, birth_digits] AS k FROM ({_NAMED})",
    "given and phone end": f"SELECT profile_id, [one, left(family, 1), right(phones[1], 4)] AS k"
    f" FROM ({_NAMED})",
    "given and phone start": "SELECT profile_id, [one, left(family, 1), left(phones[1], -4)] AS k"
    f" FROM ({_NAMED})",
    "family and birth date": "SELECT profile_id, [family, birth_digits] AS k FROM person",
    "family and postal code": "SELECT profile_id, [family, postal_code] AS k FROM person",
    "family and city": "SELECT profile_id, [family, city, left(first_name, 1)] AS k FROM person",
    "street and place": f"SELECT profile_id, [street, {_PLACE}] AS k FROM person",
    "birth date and postal code": "SELECT profile_id, [birth_digits, postal_code] AS k FROM person",
    "birth date and city": "SELECT profile_id, [birth_digits, city] AS k FROM person",
    "letters and year": "SELECT profile_id, [left(first_name, 2), left(family, 3),"
    " left(birth_digits, 4)] AS k FROM person",
    "letters and day": "SELECT profile_id, [left(first_name, 2), left(family, 3),"
    " right(birth_digits, 4)] AS k FROM person",
    "letters and postal code": "SELECT profile_id, [left(first_name, 1), left(family, 2),"
    " postal_code] AS k FROM person",
}
"""Each makes keys of a person; a key of which a part is not known is none."""

STRONG_BLOCK: Final = 1 << list(BLOCKS).index("strong")
"""As in the column `blocks` of a candidate that shares an identifier of a unique kind."""


def make_candidates(
    connection: duckdb.DuckDBPyConnection, among: Collection[int] | None = None
) -> int:
    """Make the table `candidate` of the table `person`; returns how many there are.

    One row per pair: `join_key_l` is the smaller profile id, `join_key_r` the other, `match_key`
    the blocks that they share, a bit each. `among`: of each pair one at least is one of these.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE block (profile_id bigint, k ubigint, b utinyint)")
    for number, (_, keys) in enumerate(BLOCKS.items()):
        connection.execute(
            "INSERT INTO block SELECT profile_id, k, $number FROM ("  # noqa: S608  # our own constants
            f"SELECT DISTINCT profile_id, hash(k) AS k FROM ({keys})"
            " WHERE list_count(k) = len(k) AND len(k) > 0"
            ") QUALIFY count(*) OVER (PARTITION BY k) BETWEEN 2 AND $most",
            {"number": number, "most": MOST_IN_BLOCK},
        )
    one_is_new = ""
    if among is not None:
        connection.execute("CREATE OR REPLACE TEMP TABLE fresh (profile_id bigint PRIMARY KEY)")
        connection.execute("INSERT INTO fresh SELECT unnest($ids)", {"ids": list(among)})
        one_is_new = (
            " AND (a.profile_id IN (SELECT profile_id FROM fresh)"
            " OR b.profile_id IN (SELECT profile_id FROM fresh))"
        )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE candidate AS SELECT a.profile_id AS join_key_l,"  # noqa: S608  # our own constants
        " b.profile_id AS join_key_r, bit_or(1::uinteger << a.b) AS match_key"
        " FROM block a JOIN block b ON a.k = b.k AND a.b = b.b AND a.profile_id < b.profile_id"
        f"{one_is_new} GROUP BY a.profile_id, b.profile_id"
    )
    return int(connection.execute("SELECT count(*) FROM candidate").fetchall()[0][0])
