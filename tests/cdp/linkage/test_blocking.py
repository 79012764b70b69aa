"""Candidates: blocks that stay small, and new against old exactly as in the whole."""

import duckdb
import pyarrow as pa

from cdp.identity.linkage.blocking import MOST_IN_BLOCK, SHARED_BLOCKS, make_candidates
from cdp.identity.linkage.prepare import count_names, make_people, prepare
from tests.cdp.linkage.people import Person, a_crowd, a_table


def _candidates(people: pa.Table, among: set[int] | None = None) -> set[tuple[int, int, int]]:
    with duckdb.connect() as connection:
        prepare(connection, people)
        make_people(connection, count_names(connection))
        make_candidates(connection, among)
        rows = connection.execute("SELECT * FROM candidate").fetchall()
    return {(left, right, blocks) for left, right, blocks in rows}


def test_pairs_of_who_is_new_are_those_of_the_whole_with_one_of_them() -> None:
    table, _ = a_crowd(5, 2_000)
    new = set(range(0, 2_000, 7))
    whole = _candidates(table)
    assert _candidates(table, new) == {one for one in whole if not new.isdisjoint(one[:2])}


def test_what_too_many_have_in_common_makes_no_pairs() -> None:
    people: list[Person] = [
        {"given": "ann", "family": f"name{n}", "postal_code": "12345"}
        for n in range(MOST_IN_BLOCK + 1)
    ]
    assert not _candidates(a_table(people))
    assert len(_candidates(a_table(people[:-1]))) == MOST_IN_BLOCK * (MOST_IN_BLOCK - 1) // 2


def test_who_shares_an_identifier_is_told_by_its_block() -> None:
    people: list[Person] = [
        {"given": "ann", "emails": ["a@example.com"]},
        {"given": "bob", "emails": ["a@example.com"]},
        {"given": "ann", "family": "doe", "postal_code": "12345"},
        {"given": "ann", "family": "roe", "postal_code": "12345"},
    ]
    found = {(left, right): blocks for left, right, blocks in _candidates(a_table(people))}
    assert found[0, 1] & SHARED_BLOCKS
    assert not found[2, 3] & SHARED_BLOCKS
