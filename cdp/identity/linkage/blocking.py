"""Candidates: which two people are worth comparing, in blocks that stay small as data grow."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import pyarrow as pa

MOST_IN_BLOCK: Final = 100
"""People who have one key in common; a larger block tells nobody from anybody."""

RARE_NAME: Final = 0.05
"""People of the same name by chance, up to which a name alone is worth a comparison."""

COMMON_IN_A_CITY: Final = 64
"""People of a family name by chance, up to which the name and a city are worth a comparison."""

_VIEWS: Final = """
CREATE OR REPLACE TEMP VIEW person_by_name AS SELECT *, unnest(formals) AS name FROM person;
CREATE OR REPLACE TEMP VIEW person_by_word AS
SELECT *, unnest(list_distinct(list_append(formals, family))) AS word FROM person;
CREATE OR REPLACE TEMP VIEW person_by_email AS SELECT *, unnest(emails) AS email FROM person;
CREATE OR REPLACE TEMP VIEW person_by_phone AS SELECT *, unnest(phones) AS phone FROM person;
CREATE OR REPLACE TEMP VIEW person_by_strong AS SELECT *, unnest(strong) AS identifier FROM person;
CREATE OR REPLACE TEMP VIEW person_by_mailbox AS SELECT *,
    unnest(list_distinct([split_part(one, '@', 1) FOR one IN emails])) AS box FROM person;
"""
"""A row per formal given name; per name, be it given or of the family (two may be turned, or one
stand alone); per address, number, identifier or mailbox."""


@dataclass(frozen=True, slots=True)
class Block:
    """Who share a key may be one person: of each row of a view, what must be known to the last."""

    view: str
    key: Sequence[str]
    condition: str = "true"

    def rows(self, number: int) -> str:
        """The SQL of who has which key that others have too.

        Keys are numbers, and those of no other block. One block after the other: where all are
        counted at once, nearly all of the work is waiting for memory.
        """
        known = " AND ".join(f"{part} IS NOT NULL" for part in self.key)
        return (
            "WITH key AS MATERIALIZED ("  # noqa: S608  # our own constants
            f"SELECT hash({', '.join(self.key)}, {number}) AS k, profile_id, {number}"
            f" FROM {self.view} WHERE ({self.condition}) AND {known}), told AS"
            f" (SELECT k FROM key GROUP BY k HAVING count(*) BETWEEN 2 AND {MOST_IN_BLOCK})"
            " SELECT key.* FROM key SEMI JOIN told USING (k)"
        )


BLOCKS: Final[Mapping[str, Block]] = {
    "email": Block("person_by_email", ("email",)),
    "phone": Block("person_by_phone", ("phone",)),
    "strong": Block("person_by_strong", ("identifier",)),
    "mailbox": Block("person_by_mailbox", ("box",)),
    "rare name": Block(
        "person_by_name",
        ("least(name, family)", "greatest(name, family)"),
        f"name_rarity < log2({RARE_NAME})",
    ),
    "names, city": Block(
        "person_by_name", ("least(name, family)", "greatest(name, family)", "city")
    ),
    "name, postal code": Block("person_by_word", ("word", "postal_code")),
    "name, birth date": Block("person_by_word", ("word", "birth_digits")),
    "family or only name, city": Block(
        "person",
        ("coalesce(family, first_name)", "city"),
        f"family IS NULL OR family_rarity < log2({COMMON_IN_A_CITY})",
    ),
    "given, street": Block("person_by_name", ("name", "street")),
    "given, phone end": Block("person_by_name", ("name", "left(family, 1)", "right(phones[1], 4)")),
    "given, phone start": Block(
        "person_by_name", ("name", "left(family, 1)", "left(phones[1], -4)")
    ),
    "family, city": Block("person", ("family", "city", "left(first_name, 1)")),
    "family, region": Block("person", ("family", "left(first_name, 1)", "left(postal_code, -3)")),
    "street, place": Block("person", ("street", "coalesce(postal_code, city)")),
    "birth date, postal code": Block("person", ("birth_digits", "postal_code")),
    "birth date, city": Block("person", ("birth_digits", "city")),
    "birth day, city": Block("person", ("right(birth_digits, 4)", "city", "left(first_name, 1)")),
    "birth year, city": Block("person", ("left(birth_digits, 4)", "city", "left(first_name, 1)")),
    "beginnings, year": Block(
        "person", ("left(first_name, 2)", "left(family, 3)", "left(birth_digits, 4)")
    ),
    "beginnings, day": Block(
        "person", ("left(first_name, 2)", "left(family, 3)", "right(birth_digits, 4)")
    ),
    "beginnings, city": Block("person", ("left(first_name, 1)", "left(family, 3)", "city")),
    "beginnings, postal code": Block(
        "person", ("left(first_name, 1)", "left(family, 2)", "postal_code")
    ),
    "endings, city": Block("person", ("right(first_name, 2)", "right(family, 3)", "city")),
    "endings, postal code": Block(
        "person", ("right(first_name, 1)", "right(family, 2)", "postal_code")
    ),
}
"""Each makes keys of a person, none twice; a key of which a part is not known is none."""

STRONG_BLOCK: Final = 1 << list(BLOCKS).index("strong")
"""The bit of candidates that share an identifier of a unique kind."""

SHARED_BLOCKS: Final = sum(1 << list(BLOCKS).index(name) for name in ("email", "phone", "strong"))
"""The bits of candidates that share an identifier of any kind."""


_CANDIDATES: Final = """
CREATE OR REPLACE TEMP TABLE candidate AS
SELECT a.profile_id AS join_key_l, b.profile_id AS join_key_r,
    bit_or(1::ubigint << a.number) AS match_key
FROM block a JOIN block b ON a.k = b.k AND a.profile_id < b.profile_id
GROUP BY a.profile_id, b.profile_id
"""
_OF_NEW: Final = """
CREATE OR REPLACE TEMP TABLE block AS
WITH touched AS (SELECT k FROM block SEMI JOIN fresh USING (profile_id))
SELECT block.* FROM block SEMI JOIN touched USING (k)
"""
_WITH_NEW: Final = """
DELETE FROM candidate WHERE join_key_l NOT IN (SELECT profile_id FROM fresh)
    AND join_key_r NOT IN (SELECT profile_id FROM fresh)
"""


def make_blocks(
    connection: duckdb.DuckDBPyConnection, among: Collection[int] | None = None
) -> None:
    """Make the table `block` of the table `person`: who has which key.

    One row per person and key `k` that others have too: `profile_id`, and of its block the
    `number`. `among`: only the keys that one of these has, who then are the table `fresh`.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE block (k ubigint, profile_id bigint, number utinyint)"
    )
    connection.execute(_VIEWS)
    for number, block in enumerate(BLOCKS.values()):
        connection.execute(f"INSERT INTO block {block.rows(number)}")
    if among is not None:
        fresh = pa.table({"profile_id": pa.array(sorted(among), pa.int64())})
        connection.register("fresh", fresh)
        connection.execute(_OF_NEW)


def make_candidates(
    connection: duckdb.DuckDBPyConnection, among: Collection[int] | None = None
) -> None:
    """Make the table `candidate` of the table `person`.

    One row per pair: `join_key_l` is the smaller profile id, `join_key_r` the other, `match_key`
    the blocks that they share, a bit each. `among`: of each pair one at least is one of these.
    """
    make_blocks(connection, among)
    connection.execute(_CANDIDATES)
    if among is not None:
        connection.execute(_WITH_NEW)
