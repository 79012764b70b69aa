"""What a model of order days is: a likelihood over patterns, and counts to come."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from cdp.scoring.counts import Counts
from cdp.scoring.histories import SAMPLE, Floats, Histories, Patterns, group
from cdp.scoring.maximise import Fence, Fit, Problem, maximise, refine, remembered


class ModelName(StrEnum):
    """The models of order days."""

    MBG_NBD = "MBG_NBD"
    PARETO_NBD = "PARETO_NBD"
    BG_NBD = "BG_NBD"


class Future(Counts, Protocol):
    """The order days to come within a horizon; one element per pattern."""

    @property
    def alive(self) -> Floats:
        """The probability that a customer has not dropped out."""

    def within(self, days: float) -> "Future":
        """The same customers, another horizon."""

    def mean(self) -> Floats:
        """Expected order days."""

    def median_wait(self) -> Floats:
        """Days until an order is as likely as not; not a number where that is beyond the horizon.

        The chance that there is none at all, because the customer has dropped out, counts.
        """


class OrderModel(Protocol):
    """How often customers order while active, and when they stop.

    Parameters are positive, in the order of `parameter_names`; rates are per day.
    """

    @property
    def name(self) -> ModelName:
        """Which it is."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """As in its paper."""

    def starts(self, patterns: Patterns) -> Sequence[Floats]:
        """Parameters from which the climb to the optimum may begin."""

    def fence(self, patterns: Patterns) -> Fence:
        """The range in which such data can tell the parameters."""

    def log_likelihood(self, theta: Floats, patterns: Patterns) -> tuple[float, Floats]:
        """Of the logarithms of the parameters, with its gradient; without constants of the data."""

    def future(self, parameters: Floats, patterns: Patterns, days: Floats | float) -> Future:
        """What is to come within some days, the same for all patterns or one number for each."""


def fit_orders(model: OrderModel, histories: Histories, patterns: Patterns) -> Fit:
    """Fit a model to the patterns of histories; of many, to a sample first."""
    fence = model.fence(patterns)
    stride = max(len(histories) // SAMPLE, 1)
    some = patterns if stride == 1 else group(histories.every(stride))
    near = maximise(_problem(model, some, fence), model.starts(some))
    return near if stride == 1 else refine(_problem(model, patterns, fence), near)


def _problem(model: OrderModel, patterns: Patterns, fence: Fence) -> Problem:
    return Problem(
        remembered(lambda theta: model.log_likelihood(theta, patterns)),
        fence,
        patterns.customer_count,
    )
