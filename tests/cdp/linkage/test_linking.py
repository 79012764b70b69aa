"""Linkage as a run: what it learns without truth, and that a saved model scores as it did."""

import logging
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from splink import DuckDBAPI, Linker

from cdp.errors import CdpError
from cdp.identity.evidence import DECIDED, PRIOR, RELATIVES
from cdp.identity.linkage.blocking import make_candidates
from cdp.identity.linkage.linking import Linkage, score, train
from cdp.identity.linkage.mixture import LEAST
from cdp.identity.linkage.model import Model, read_model, write_model
from cdp.identity.linkage.prepare import count_names, make_people, prepare
from cdp.identity.linkage.vectors import settings
from tests.cdp.linkage.people import a_crowd, a_table

SEED, COUNT = 41, 2_000


@pytest.fixture(scope="module")
def crowd() -> tuple[pa.Table, NDArray[np.int64]]:
    return a_crowd(SEED, COUNT)


@pytest.fixture(scope="module")
def linked(crowd: tuple[pa.Table, NDArray[np.int64]]) -> Linkage:
    return train(crowd[0])


def _rows(linkage: Linkage) -> dict[tuple[int, int], dict[str, Any]]:
    return {(row["left_id"], row["right_id"]): row for row in linkage.pairs.to_pylist()}


def test_it_learns_without_truth_whom_the_truth_says(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    truth = crowd[1]
    left, right = (linked.pairs[side].to_numpy() for side in ("left_id", "right_id"))
    same = truth[left] == truth[right]
    joins = linked.pairs["weight"].to_numpy() >= linked.model.join_weight
    assert same[joins].mean() > 0.975
    assert joins[same].mean() > 0.9


def test_probabilities_are_what_they_say(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    truth = crowd[1]
    left, right = (linked.pairs[side].to_numpy() for side in ("left_id", "right_id"))
    same = truth[left] == truth[right]
    told = linked.pairs["probability"].to_numpy()
    for low, high in ((0.2, 0.8), (0.8, 0.99), (0.99, 1.01)):
        within = (told >= low) & (told < high)
        assert abs(same[within].mean() - told[within].mean()) < 0.15


def test_parts_of_a_weight_add_up_to_it(linked: Linkage) -> None:
    for row in linked.pairs.slice(0, 500).to_pylist():
        parts = msgspec.json.decode(row["parts"])
        assert sum(part["weight"] for part in parts) == pytest.approx(row["weight"], abs=1e-9)
        assert row["left_id"] < row["right_id"]
        assert row["probability"] == pytest.approx(1 / (1 + 2 ** -row["weight"]))


def test_weights_against_strangers_are_those_of_splink(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    """The oracle: Splink's own arithmetic over the same model."""
    model = linked.model
    with duckdb.connect() as connection:
        prepare(connection, crowd[0])
        make_people(connection, count_names(connection))
        make_candidates(connection)
        api = DuckDBAPI(connection)
        linker = Linker(api.register("person"), _of_model(model), log_level=None)
        linker.table_management.register_blocked_pairs_for_predict(api.register("candidate"))
        found = linker.inference.predict(warning_mode="never")
        told = {
            (left, right): weight
            for left, right, weight in connection.execute(
                f"SELECT profile_id_l, profile_id_r, match_weight FROM {found.physical_name}"  # noqa: S608  # Splink's own name
            ).fetchall()
        }
    for pair, row in list(_rows(linked).items())[:500]:
        parts = msgspec.json.decode(row["parts"])
        weight = sum(p["weight"] for p in parts if p["name"] not in (RELATIVES, DECIDED))
        assert told[pair] == pytest.approx(weight, abs=1e-3)


def _of_model(model: Model) -> dict[str, Any]:
    """Splink's settings with the model's m and u, in place of the numbers of the levels."""
    given: dict[str, Any] = dict(settings())
    # Splink's prior is a probability; the model's is the odds that go into the weight.
    odds = model.same_pairs / model.all_pairs
    given["probability_two_random_records_match"] = odds / (1 + odds)
    for comparison in given["comparisons"]:
        levels = model.comparisons[comparison["output_column_name"]]
        chances = zip(reversed(levels.same), reversed(levels.stranger), strict=True)
        for level, (m, u) in zip(comparison["comparison_levels"][1:], chances, strict=True):
            level |= {"m_probability": m + LEAST, "u_probability": u + LEAST}
    return given


def test_a_saved_model_scores_new_against_old_as_the_whole_run_did(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    model = read_model(write_model(linked.model))
    assert model == linked.model
    new = set(range(0, COUNT, 10))
    scored = _rows(score(crowd[0], model, new))
    whole = _rows(score(crowd[0], model))
    assert whole == _rows(linked)
    telling = {
        pair
        for pair, row in whole.items()
        if row["weight"] >= model.review_weight and not new.isdisjoint(pair)
    }
    assert telling
    assert {pair: scored[pair] for pair in telling} == {pair: whole[pair] for pair in telling}
    assert all(not new.isdisjoint(pair) for pair in scored)


def test_the_order_of_the_profiles_does_not_matter(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    backwards = crowd[0].take(pa.array(range(COUNT - 1, -1, -1)))
    assert _rows(score(backwards, linked.model)) == _rows(linked)


def test_people_of_one_household_are_not_joined(linked: Linkage) -> None:
    home = {"family": "doe", "street": "1 High Street", "city": "Eastford", "postal_code": "12345"}
    shared = {**home, "phones": ["+15550009999"], "emails": ["does@example.com"]}
    table = a_table([{"given": "john", **shared}, {"given": "mary", **shared}])
    (row,) = score(table, linked.model).pairs.to_pylist()
    assert row["weight"] < linked.model.join_weight
    parts = {part["name"]: part["weight"] for part in msgspec.json.decode(row["parts"])}
    assert parts["phone"] > 0
    assert parts["given_name"] < 0
    assert parts[RELATIVES] < -10  # takes back what relatives share
    assert parts[PRIOR] < 0


def test_too_few_profiles_are_refused() -> None:
    with pytest.raises(CdpError, match="too few to learn from") as refused:
        train(a_table([{"given": "ann", "family": "doe"}] * 3))
    assert refused.value.code == "UNTRAINED"
    assert refused.value.todo


def test_a_level_that_training_never_saw_is_refused(
    crowd: tuple[pa.Table, NDArray[np.int64]], linked: Linkage
) -> None:
    gender = linked.model.comparisons["gender"]
    blind = msgspec.structs.replace(gender, seen=[0] * len(gender.seen))
    model = msgspec.structs.replace(
        linked.model, comparisons={**linked.model.comparisons, "gender": blind}
    )
    with pytest.raises(CdpError, match=r"never seen in training.*cdp resolve --full") as refused:
        score(crowd[0], model)
    assert refused.value.code == "UNTRAINED"


def test_a_model_of_another_release_is_refused(linked: Linkage) -> None:
    for document in (b"{}", write_model(msgspec.structs.replace(linked.model, format=99))):
        with pytest.raises(CdpError, match="another version"):
            read_model(document)


def test_it_prints_nothing_and_leaves_no_file(
    crowd: tuple[pa.Table, NDArray[np.int64]],
    linked: Linkage,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.DEBUG):
        score(crowd[0].slice(0, 500), linked.model)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(tmp_path.iterdir())
