"""A linkage model: everything that a run learned, so that a later run scores the same way."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cdp.errors import CdpError

FORMAT: Final = 1
"""Of the stored document; another is not read."""


class Frequencies(msgspec.Struct, frozen=True):
    """How often names are borne: of `profiles`, so many with a name, and each name's times."""

    profiles: int
    given_count: int
    family_count: int
    given: Mapping[str, int]
    family: Mapping[str, int]


class Levels(msgspec.Struct, frozen=True):
    """One comparison: its levels from the weakest, and how often each class of pairs shows them.

    `same` and `stranger` are m and u of Fellegi and Sunter. `seen`: candidates that showed it.
    """

    labels: Sequence[str]
    same: Sequence[float]
    household: Sequence[float]
    stranger: Sequence[float]
    seen: Sequence[int]


class Calibration(msgspec.Struct, frozen=True):
    """What decided pairs say of the weights: calibrated = `shift` + `slope` * weight, in log2.

    `decided`: how many pairs were decided; without enough of them the weights stay as they are.
    """

    shift: float = 0.0
    slope: float = 1.0
    decided: int = 0


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A trained model. `same_pairs`, `household_pairs` of `all_pairs` are one person, one home."""

    format: int = FORMAT
    comparisons: Mapping[str, Levels]
    same_pairs: float
    household_pairs: float
    all_pairs: float
    frequencies: Frequencies
    calibration: Calibration
    join_weight: float
    review_weight: float


def read_model(document: bytes) -> Model:
    """A stored model. Raises CdpError where it is not of this version."""
    try:
        model = msgspec.json.decode(document, type=Model)
    except msgspec.DecodeError:
        model = None
    if model is None or model.format != FORMAT:
        raise CdpError(
            "UNTRAINED",
            "The stored linkage model is of another version of the platform.",
            todo="Train it anew: cdp resolve --full.",
        )
    return model


def write_model(model: Model) -> bytes:
    """The model as JSON."""
    return msgspec.json.encode(model)
