"""Linkage as one run: train a model on profiles, or score profiles with a model that is there."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cdp.errors import CdpError
from cdp.identity.linkage.blocking import SHARED_BLOCKS, STRONG_BLOCK, make_candidates
from cdp.identity.linkage.calibration import Decided, Flags, calibrate, cuts
from cdp.identity.linkage.chance import Floats, chances
from cdp.identity.linkage.comparisons import COMPARISONS
from cdp.identity.linkage.memory import open_memory
from cdp.identity.linkage.mixture import learn
from cdp.identity.linkage.model import Model
from cdp.identity.linkage.prepare import count_names, make_people, prepare
from cdp.identity.linkage.scores import calibrated, model_of, parts_of, raw_weights
from cdp.identity.linkage.vectors import Engine, Integers, Vectors, compare_here
from cdp.identity.rules import Cuts

FEWEST_CANDIDATES: Final = 50
"""Pairs that share a block; with fewer there is nothing to learn from."""

MOST_REPLACED: Final = 0.4  # beyond it an identifier decides nothing
FEWEST_SAME: Final = 20.0  # pairs of one person among them


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer: whether two profiles are one; `left` is the smaller id."""

    left: int
    right: int
    same: bool


@dataclass(frozen=True, slots=True)
class Linkage:
    """What a run found. `pairs`: those that may join, ask, or speak against a join.

    Columns: `left_id`, `right_id` (the smaller id first), `weight` (log2 of calibrated odds),
    `probability`, `parts` (JSON: what each comparison added, in the order in which it is told).
    """

    model: Model
    profiles: int
    candidates: int
    joining: int
    asking: int
    pairs: pa.Table


def train(
    profiles: pa.Table,
    answers: Sequence[Answer] = (),
    engine: Engine = compare_here,
    held: Cuts | None = None,
) -> Linkage:
    """Learn a model from the profiles, without truth, and score their pairs.

    `held`: cuts that hold whatever is learned; None: those made for the data.

    Raises CdpError UNTRAINED where there is too little to learn from.
    """
    with open_memory() as connection:
        prepare(connection, profiles)
        frequencies = count_names(connection)
        make_people(connection, frequencies)
        drawn = chances(connection)
        vectors = engine(connection, None)
        candidates = len(vectors.left)
        if candidates < FEWEST_CANDIDATES:
            raise CdpError(
                "UNTRAINED",
                f"{profiles.num_rows} profiles give {candidates} pairs to compare: too few to"
                " learn from.",
                todo="Import more; until then shared identifiers alone join.",
            )
        mixture = learn(vectors.levels, vectors.times, drawn, profiles.num_rows)
        if mixture.counts[0] < FEWEST_SAME:
            raise CdpError(
                "UNTRAINED",
                f"Of {candidates} pairs hardly any are one person: too few to learn from.",
                todo="Import more; until then shared identifiers alone join.",
            )
        learned = model_of(mixture, vectors, frequencies)
        found = _calibrated(learned, vectors, answers)
        return _linkage(found, vectors, profiles.num_rows, held)


def score(
    profiles: pa.Table,
    model: Model,
    among: Collection[int] | None = None,
    engine: Engine = compare_here,
    held: Cuts | None = None,
) -> Linkage:
    """Score the pairs of the profiles with a model; `among`: pairs of which one end is new.

    `held`: cuts that hold whatever was learned; None: the model's.

    Raises CdpError UNTRAINED where two profiles are alike in a way that training never saw.
    """
    with open_memory() as connection:
        prepare(connection, profiles)
        make_people(connection, model.frequencies)
        return _linkage(model, engine(connection, among), profiles.num_rows, held)


_STRONG: Final = next(i for i, one in enumerate(COMPARISONS) if one.name == "strong_identifier")


def _calibrated(model: Model, vectors: Vectors, answers: Sequence[Answer]) -> Model:
    """The model with its weights calibrated by what is decided, and cuts for its data."""
    found = calibrate(*_decided(model, vectors, answers))
    learned = msgspec.structs.replace(model, calibration=found)
    weights = calibrated(learned, raw_weights(learned, vectors.levels))
    join, review = cuts(weights, vectors.times)
    return msgspec.structs.replace(learned, join_weight=join, review_weight=review)


def _decided(model: Model, vectors: Vectors, answers: Sequence[Answer]) -> tuple[Decided, Floats]:
    """The candidates that unique identifiers or people decide, and everybody's weights.

    Without the unique identifiers; without those whom nothing else made candidates.
    """
    without = vectors.levels.copy()
    without[:, _STRONG] = -1
    weights = raw_weights(model, without)[vectors.which]
    strong = vectors.levels[:, _STRONG][vectors.which]
    otherwise = vectors.blocks != STRONG_BLOCK
    same = strong == len(COMPARISONS[_STRONG].levels) - 1
    is_decided = otherwise & (same | (strong == 0))
    places, said = _answered(vectors, answers)
    return (
        Decided(
            np.concatenate([weights[is_decided], weights[places]]),
            np.concatenate([same[is_decided], said]),
            _replaced(model),
        ),
        weights[otherwise],
    )


def _replaced(model: Model) -> float:
    """Of one person's pairs with a unique identifier on either side, those with two of them."""
    shares = model.comparisons[COMPARISONS[_STRONG].name].same
    return min(MOST_REPLACED, shares[0] / (shares[0] + shares[-1]))


def _answered(vectors: Vectors, answers: Sequence[Answer]) -> tuple[Integers, Flags]:
    """The places of the candidates that people have answered, and the answers."""
    known = {(one.left, one.right): one.same for one in answers}
    if not known:
        return np.empty(0, np.int64), np.empty(0, np.bool_)
    ends = {one.left for one in answers}
    near = np.flatnonzero(np.isin(vectors.left, list(ends)))
    pairs = ((at, (int(vectors.left[at]), int(vectors.right[at]))) for at in near)
    found = [(at, known[pair]) for at, pair in pairs if pair in known]
    places = np.array([at for at, _ in found], np.int64)
    return places, np.array([same for _, same in found], np.bool_)


def _linkage(model: Model, vectors: Vectors, profiles: int, held: Cuts | None) -> Linkage:
    """The pairs that matter: who may join or ask, and who hangs together and speaks against it."""
    by_vector = calibrated(model, raw_weights(model, vectors.levels))
    weights = by_vector[vectors.which]
    by = held or Cuts(model.join_weight, model.review_weight)
    joining, telling = weights >= by.join_weight, weights >= by.review_weight
    kept = np.flatnonzero(telling | _hanging_together(vectors, joining))
    told, which = np.unique(vectors.which[kept], return_inverse=True)
    parts = parts_of(model, vectors.levels[told])
    return Linkage(
        model=model,
        profiles=profiles,
        candidates=len(vectors.left),
        joining=int(joining.sum()),
        asking=int((telling & ~joining).sum()),
        pairs=pa.table(
            {
                "left_id": pa.array(vectors.left[kept]),
                "right_id": pa.array(vectors.right[kept]),
                "weight": pa.array(weights[kept]),
                "probability": pa.array(1 / (1 + np.exp2(-np.clip(weights[kept], -700, 700)))),
                "parts": pa.DictionaryArray.from_arrays(which.astype(np.int32), pa.array(parts)),
            }
        ),
    )


def _hanging_together(vectors: Vectors, joining: Flags) -> Flags:
    """Candidates whom other evidence may bring into one customer: what they weigh has its say."""
    ends, places = np.unique(np.concatenate([vectors.left, vectors.right]), return_inverse=True)
    left, right = places[: len(vectors.left)], places[len(vectors.left) :]
    ties = joining | ((vectors.blocks & np.uint64(SHARED_BLOCKS)) != 0)
    graph = coo_matrix(
        (np.ones(int(ties.sum()), np.int8), (left[ties], right[ties])), (len(ends), len(ends))
    )
    _, component = connected_components(graph, directed=False)
    together: Flags = component[left] == component[right]
    return together


def candidate_pairs(profiles: pa.Table) -> tuple[Integers, Integers]:
    """The pairs that a run compares, the smaller profile id on the left: what no scorer exceeds."""
    with open_memory() as connection:
        prepare(connection, profiles)
        make_people(connection, count_names(connection))
        make_candidates(connection)
        found = connection.execute("SELECT join_key_l, join_key_r FROM candidate").fetchnumpy()
    return found["join_key_l"], found["join_key_r"]
