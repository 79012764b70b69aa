"""Candidates: which two people are worth comparing, in blocks that stay small as data grow."""

from collections.abc import Collection
from typing import Final

import duckdb

MOST_IN_BLOCK: Final = 100
"""People who have one key in common; a larger block tells nobody from anybody."""

RARE_NAME: Final = 0.05
"""People of the same name by chance, up to which a name alone is worth a comparison."""

COMMON_IN_A_CITY: Final = 64
"""People of a family name by chance, up to which the name and a city are worth a comparison."""

_NAMED: Final = "SELECT *, unnest(formals) AS one FROM person"
_WORDS: Final = (
    "SELECT *, unnest(list_distinct(list_append(formals, family))) AS word FROM person"
)
"""A row per name, given or of the family: the two are turned, or one stands alone."""

BLOCKS: Final = {
    "email": "SELECT profile_id, [unnest(emails)] AS k FROM person",
    "phone": "SELECT profile_id, [unnest(phones)] AS k FROM person",
    "strong": "SELECT profile_id, [unnest(strong)] AS k FROM person",
    "mailbox": "SELECT profile_id, [split_part(unnest(emails), '@', 1)] AS k FROM person",
    "rare name": "SELECT profile_id, [least(one, family), greatest(one, family)] AS k"
    f" FROM ({_NAMED}) WHERE name_rarity < log2({RARE_NAME})",
    "names and city": "SELECT profile_id, [least(one, family), greatest(one, family), city] AS k"
    f" FROM ({_NAMED})",
    "name and postal code": f"SELECT profile_id, [word, postal_code] AS k FROM ({_WORDS})",
    "name and birth date": f"SELECT profile_id, [word, birth_digits] AS k FROM ({_WORDS})",
    "name and city": "SELECT profile_id, [family, city] AS k FROM person"
    f" WHERE family_rarity < log2({COMMON_IN_A_CITY})"
    " UNION ALL SELECT profile_id, [first_name, city] FROM person WHERE family IS NULL",
    "given and street": f"SELECT profile_id, [one, street] AS k FROM ({_NAMED})",
    "given and phone end": "SELECT profile_id, [one, left(family, 1), right(phones[1], 4)] AS k"
    f" FROM ({_NAMED})",
    "given and phone start": "SELECT profile_id, [one, left(family, 1), left(phones[1], -4)] AS k"
    f" FROM ({_NAMED})",
    "family and city": "SELECT profile_id, [family, city, left(first_name, 1)] AS k FROM person",
    "family and region": "SELECT profile_id, [family, left(first_name, 1),"
    " left(postal_code, -3)] AS k FROM person",
    "street and place": "SELECT profile_id, [street, coalesce(postal_code, city)] AS k FROM person",
    "birth date and postal code": "SELECT profile_id, [birth_digits, postal_code] AS k FROM person",
    "birth date and city": "SELECT profile_id, [birth_digits, city] AS k FROM person",
    "birth day and city": "SELECT profile_id, [right(birth_digits, 4), city,"
    " left(first_name, 1)] AS k FROM person",
    "birth year and city": "SELECT profile_id, [left(birth_digits, 4), city,"
    " left(first_name, 1)] AS k FROM person",
    "beginnings and year": "SELECT profile_id, [left(first_name, 2), left(family, 3),"
    " left(birth_digits, 4)] AS k FROM person",
    "beginnings and day": "SELECT profile_id, [left(first_name, 2), left(family, 3),"
    " right(birth_digits, 4)] AS k FROM person",
    "beginnings and city": "SELECT profile_id, [left(first_name, 1), left(family, 3), city] AS k"
    " FROM person",
    "beginnings and postal code": "SELECT profile_id, [left(first_name, 1), left(family, 2),"
    " postal_code] AS k FROM person",
    "endings and city": "SELECT profile_id, [right(first_name, 2), right(family, 3), city] AS k"
    " FROM person",
    "endings and postal code": "SELECT profile_id, [right(first_name, 1), right(family, 2),"
    " postal_code] AS k FROM person",
}
"""Each makes keys of a person; a key of which a part is not known is none."""

STRONG_BLOCK: Final = 1 << list(BLOCKS).index("strong")
"""The bit of candidates that share an identifier of a unique kind."""

SHARED_BLOCKS: Final = sum(1 << list(BLOCKS).index(name) for name in ("email", "phone", "strong"))
"""The bits of candidates that share an identifier of any kind."""


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
        " b.profile_id AS join_key_r, bit_or(1::ubigint << a.b) AS match_key"
        " FROM block a JOIN block b ON a.k = b.k AND a.b = b.b AND a.profile_id < b.profile_id"
        f"{one_is_new} GROUP BY a.profile_id, b.profile_id"
    )
    return int(connection.execute("SELECT count(*) FROM candidate").fetchall()[0][0])
