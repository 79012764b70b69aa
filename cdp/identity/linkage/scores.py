"""Weights of a model: of a vector the log2 odds that two are one person, and their parts."""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from cdp.errors import CdpError
from cdp.identity.evidence import DECIDED, PRIOR, RELATIVES
from cdp.identity.linkage import vectors
from cdp.identity.linkage.chance import RARITIES, Floats
from cdp.identity.linkage.comparisons import COMPARISONS
from cdp.identity.linkage.mixture import (
    HOUSEHOLD,
    LEAST,
    SAME,
    STRANGER,
    Mixture,
    log_shares,
)
from cdp.identity.linkage.model import Calibration, Frequencies, Levels, Model

_LOG2: Final = float(np.log(2.0))


class Part(msgspec.Struct, frozen=True):
    """What one comparison adds to a weight, in log2, and the level of likeness that it found."""

    name: str
    level: str
    weight: float


def model_of(mixture: Mixture, found: vectors.Vectors, frequencies: Frequencies) -> Model:
    """A mixture as a model, neither calibrated nor with cuts."""
    comparisons = {
        one.name: Levels(
            labels=one.labels,
            same=mixture.chances[SAME][one.name].tolist(),
            household=mixture.chances[HOUSEHOLD][one.name].tolist(),
            stranger=mixture.chances[STRANGER][one.name].tolist(),
            seen=_seen(found, column, len(one.levels)),
        )
        for column, one in enumerate(COMPARISONS)
    }
    same, household, every = mixture.counts
    return Model(
        comparisons=comparisons,
        same_pairs=same,
        household_pairs=household,
        all_pairs=every,
        frequencies=frequencies,
        calibration=Calibration(),
        join_weight=0.0,
        review_weight=0.0,
    )


def _seen(found: vectors.Vectors, column: int, size: int) -> Sequence[int]:
    levels = found.levels[:, column]
    known = levels >= 0
    counts = np.bincount(levels[known], weights=found.times[known], minlength=size)
    return [int(count) for count in counts]


def raw_weights(model: Model, levels: vectors.Levels) -> Floats:
    """Log2 odds of each vector, one row of `levels` each, before calibration.

    Raises CdpError UNTRAINED for a level that training never saw: nothing is known of its weight.
    """
    _refuse_untrained(model, levels)
    logs = log_shares(_mixture(model), levels)
    others = np.logaddexp(logs[:, HOUSEHOLD], logs[:, STRANGER])
    weights: Floats = (logs[:, SAME] - others) / _LOG2
    return weights


def calibrated(model: Model, weights: Floats) -> Floats:
    """Weights as far as decided pairs say that they may be believed."""
    return model.calibration.shift + model.calibration.slope * weights


def parts_of(model: Model, levels: vectors.Levels) -> list[str]:
    """The parts of each vector's calibrated weight, as JSON; they add up to it.

    Comparisons tell against strangers; the part `relatives` takes back what relatives share.
    """
    encode = msgspec.json.Encoder().encode
    weights = raw_weights(model, levels)
    logs = log_shares(_mixture(model), levels)
    relatives = -np.logaddexp(0.0, logs[:, HOUSEHOLD] - logs[:, STRANGER]) / _LOG2
    corrections = calibrated(model, weights) - weights
    prior = float(np.log2(model.same_pairs / model.all_pairs))
    told = [_parts(one.name, model.comparisons[one.name]) for one in COMPARISONS]
    found = []
    for row, related, correction in zip(
        levels.tolist(), relatives.tolist(), corrections.tolist(), strict=True
    ):
        parts = [Part(PRIOR, "", prior)]
        parts += [told[column][level] for column, level in enumerate(row) if level >= 0]
        parts.append(Part(RELATIVES, "", related))
        if model.calibration != Calibration(decided=model.calibration.decided):
            parts.append(Part(DECIDED, "", correction))
        found.append(encode(parts).decode())
    return found


def _parts(name: str, levels: Levels) -> list[Part]:
    return [
        Part(name, label, float(np.log2((same + LEAST) / (stranger + LEAST))))
        for label, same, stranger in zip(levels.labels, levels.same, levels.stranger, strict=True)
    ]


def _mixture(model: Model) -> Mixture:
    chances = [
        {
            name: np.array(getattr(levels, which), dtype=np.float64)
            for name, levels in model.comparisons.items()
        }
        for which in ("same", "household", "stranger")
    ]
    return Mixture(chances, (model.same_pairs, model.household_pairs, model.all_pairs))


def _refuse_untrained(model: Model, levels: vectors.Levels) -> None:
    for column, one in enumerate(COMPARISONS):
        learned = model.comparisons.get(one.name)
        if learned is None or list(learned.labels) != list(one.labels):
            raise CdpError(
                "UNTRAINED",
                f"The linkage model does not know the comparison {one.name}.",
                todo="Train it anew: cdp resolve --full.",
            )
        if one.name in RARITIES:
            continue  # a scale, which the frequencies of names fill, not the candidates alone
        shown = np.unique(levels[:, column])
        for level in shown[shown >= 0].tolist():
            if learned.seen[level] == 0:
                raise CdpError(
                    "UNTRAINED",
                    f"Of {one.name} the level {one.labels[level]!r} was never seen in training.",
                    todo="Train anew with the data that show it: cdp resolve --full.",
                )
