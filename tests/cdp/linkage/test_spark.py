"""Spark compares as DuckDB does: the same pairs, the same model, the same weights."""

import shutil
import sys
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pytest

from cdp.errors import CdpError
from cdp.identity.linkage.linking import score, train
from cdp.identity.linkage.memory import open_memory
from cdp.identity.linkage.prepare import count_names, make_people, prepare
from cdp.identity.linkage.spark import SIDES, coded, compare_on_spark
from cdp.identity.linkage.vectors import compare_here, vectors_of
from tests.cdp.linkage.people import a_crowd

SEED, COUNT = 47, 1_000

needs_spark = pytest.mark.skipif(
    find_spec("pyspark") is None or shutil.which("java") is None,
    reason="the extra spark is not installed (pip install 'cdp[spark]'), or there is no Java",
)


@pytest.fixture(scope="module")
def crowd() -> pa.Table:
    return a_crowd(SEED, COUNT)[0]


@needs_spark
@pytest.mark.filterwarnings("default")  # Spark's own: of pandas, of sockets that it leaves to Java
def test_spark_learns_the_model_and_the_weights_that_duckdb_learns(
    crowd: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    here, there = train(crowd), train(crowd, engine=compare_on_spark)
    assert here.candidates > COUNT / 2
    assert there.model == here.model
    assert there.pairs.equals(here.pairs)
    new = set(range(0, COUNT, 7))
    scored = score(crowd, here.model, new, compare_on_spark)
    assert scored.candidates < here.candidates
    assert scored.pairs.equals(score(crowd, here.model, new).pairs)


def test_a_task_finds_the_levels_that_splink_finds(crowd: pa.Table) -> None:
    with open_memory() as connection:
        prepare(connection, crowd)
        make_people(connection, count_names(connection))
        vectors = compare_here(connection)
        pairs = connection.sql(
            f"SELECT join_key_l AS left_id, join_key_r AS right_id, match_key AS blocks, {SIDES}"  # noqa: S608  # our own constants
            " FROM candidate JOIN person l ON l.profile_id = join_key_l"
            " JOIN person r ON r.profile_id = join_key_r ORDER BY left_id, right_id"
        ).to_arrow_table()
    found = pa.Table.from_batches(coded(iter(pairs.to_batches())))
    told = vectors_of({name: found[name].to_numpy() for name in found.column_names})
    assert len(told.left) > COUNT / 2
    assert np.array_equal(told.levels[told.which], vectors.levels[vectors.which])


def test_spark_that_is_not_installed_is_told_with_what_to_do(
    crowd: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(CdpError, match=r"pip install 'cdp\[spark\]'") as refused:
        train(crowd, engine=compare_on_spark)
    assert refused.value.code == "SPARK_UNAVAILABLE"
