"""Maximum likelihood over positive parameters: the optimum, its errors, and what is not known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from cdp.scoring.histories import Floats

LogLikelihood: TypeAlias = Callable[[Floats], tuple[float, Floats]]
"""From the logarithms of the parameters to the log-likelihood and its gradient by them."""

MOST_STEPS: Final = 500  # a fit takes about thirty; one that has not ended by then is not going to
MOST_REFINING_STEPS: Final = 12
MOST_POLISHING_STEPS: Final = 4  # Newton's method doubles the digits; BFGS gave the first three
DIFFERENCE: Final = 1e-4  # of log-parameters; the error of a central difference is its square
CLIMBED_GRADIENT: Final = 1e-6  # of the log-likelihood per customer, by log-parameters
POLISHED_GRADIENT: Final = 1e-10
REFINED_GRADIENT: Final = 1e-8  # a sum over a million customers does not tell finer
CONVERGED_GRADIENT: Final = 1e-5
LEAST_CURVATURE: Final = 1e-2  # a standard error of ten: a flat direction, however flat
LONGEST_STEP: Final = 1.0  # of a log-parameter
UNKNOWN_ERROR: Final = 1.0  # of a logarithm: the data tell the parameter within a factor of e
FENCE_SLOPE: Final = 1.0  # standard deviation of log-parameters outside the fence
WALL_DISTANCE: Final = 5.0  # of log-parameters beyond the fence: five standard deviations


@dataclass(frozen=True, slots=True)
class Fence:
    """The range in which data ever told a parameter; outside, a normal prior on its logarithm.

    Inside the prior is flat, so that an optimum there is the maximum likelihood. Outside, the
    likelihood of these models can rise for ever towards a simpler model (no one drops out, all drop
    out alike); the prior ends the climb where nothing is left to gain.
    """

    lowest: Floats
    highest: Floats

    def within_walls(self, theta: Floats) -> Floats:
        """The nearest log-parameters at which a likelihood can still be reckoned with floats."""
        low, high = np.log(self.lowest) - WALL_DISTANCE, np.log(self.highest) + WALL_DISTANCE
        return np.clip(theta, low, high)

    def log_density(self, theta: Floats) -> tuple[float, Floats]:
        """Of the prior and its gradient, at log-parameters."""
        over = np.maximum(theta - np.log(self.highest), 0.0)
        under = np.minimum(theta - np.log(self.lowest), 0.0)
        outside = (over + under) / FENCE_SLOPE
        return -0.5 * float(outside @ outside), -outside / FENCE_SLOPE


def remembered(log_likelihood: LogLikelihood) -> LogLikelihood:
    """The same, which has the last answer ready: whoever is at an optimum asks for it again."""
    last: tuple[Floats, tuple[float, Floats]] | None = None

    def told(theta: Floats) -> tuple[float, Floats]:
        nonlocal last
        if last is None or not np.array_equal(last[0], theta):
            last = theta.copy(), log_likelihood(theta)
        return last[1]

    return told


@dataclass(frozen=True, slots=True)
class Problem:
    """A log-likelihood to be maximised over so many customers."""

    log_likelihood: LogLikelihood
    fence: Fence
    customer_count: int

    def descent(self, theta: Floats) -> tuple[float, Floats]:
        """What is minimised: per customer, so that tolerances mean the same for every shop.

        A step of the climb may go anywhere; behind a wall the likelihood is that at the wall, and
        the prior alone leads back.
        """
        near = self.fence.within_walls(theta)
        value, gradient = self.log_likelihood(near)
        gradient = np.where(near == theta, gradient, 0.0)
        prior, prior_gradient = self.fence.log_density(theta)
        n = self.customer_count
        return -(value + prior) / n, -(gradient + prior_gradient) / n


@dataclass(frozen=True, slots=True)
class Fit:
    """An optimum. All arrays have one element per parameter.

    `hessian` is that of what was minimised, per customer and by log-parameters; `log_covariance`
    is that of the parameters' logarithms (the inverse of the observed information).
    `is_identified` is false where the data do not tell a parameter: its logarithm has a standard
    error above 1, or it lies outside the fence.
    """

    parameters: Floats
    log_likelihood: float
    hessian: Floats
    log_covariance: Floats
    is_identified: tuple[bool, ...]
    is_converged: bool

    @property
    def log_errors(self) -> Floats:
        """Standard errors of the parameters' logarithms."""
        errors: Floats = np.sqrt(np.diag(self.log_covariance))
        return errors


def maximise(problem: Problem, starts: Sequence[Floats]) -> Fit:
    """Climb from the best of the starts (parameters, not logarithms) to the optimum.

    BFGS on log-parameters, which makes them positive and the scale of time harmless, then Newton
    steps with the Hessian that the errors need anyway.
    """
    # Imported here: loading it takes longer than most fits, and many a shop has too few people.
    from scipy.optimize import minimize

    first = min((np.log(start) for start in starts), key=lambda theta: problem.descent(theta)[0])
    found = minimize(
        problem.descent,
        first,
        jac=True,
        method="BFGS",
        options={"gtol": CLIMBED_GRADIENT, "maxiter": MOST_STEPS},
    )
    theta, hessian = _polish(problem, np.asarray(found.x, dtype=np.float64))
    return _fit(problem, theta, hessian)


def refine(problem: Problem, near: Fit) -> Fit:
    """The optimum for many customers, from that of a sample of them.

    Newton steps with the sample's Hessian, which is nearly theirs per customer: each closes in by
    a digit or two. Where they do not go down, the climb is done from there.
    """
    theta, value = np.log(near.parameters), np.inf
    for _ in range(MOST_REFINING_STEPS):
        new_value, gradient = problem.descent(theta)
        if np.abs(gradient).max() < REFINED_GRADIENT:
            return _fit(problem, theta, near.hessian)
        step = np.linalg.lstsq(near.hessian, gradient)[0]
        if not new_value < value or np.abs(step).max() > LONGEST_STEP:
            break
        theta, value = theta - step, new_value
    return maximise(problem, [near.parameters, np.exp(theta)])


def log_variance(fit: Fit, total: Callable[[Floats], float]) -> float:
    """Variance of the logarithm of a total, as the parameters vary by their errors.

    The delta method by central differences along the axes of the covariance. Along an axis that the
    data do not tell the step is bounded: what lies beyond is no forecast of the same kind.
    """
    variances, axes = np.linalg.eigh(fit.log_covariance)
    steps = axes * np.minimum(np.sqrt(np.maximum(variances, 0.0)), LONGEST_STEP)
    changes = [
        np.log(total(fit.parameters * np.exp(step)) / total(fit.parameters * np.exp(-step))) / 2.0
        for step in steps.T
    ]
    return float(sum(change**2 for change in changes))


def _polish(problem: Problem, theta: Floats) -> tuple[Floats, Floats]:
    """Newton steps for as long as they go down; the last place and the Hessian there."""
    value, gradient = problem.descent(theta)
    hessian = _hessian(problem, theta)
    for _ in range(MOST_POLISHING_STEPS):
        if np.abs(gradient).max() < POLISHED_GRADIENT or np.linalg.eigvalsh(hessian)[0] <= 0:
            break
        there = theta - np.linalg.solve(hessian, gradient)
        new_value, new_gradient = problem.descent(there)
        if not new_value < value:
            break
        theta, value, gradient = there, new_value, new_gradient
        hessian = _hessian(problem, theta)
    return theta, hessian


def _hessian(problem: Problem, theta: Floats) -> Floats:
    """By central differences of the gradient."""
    steps = np.eye(len(theta)) * DIFFERENCE
    rows = [problem.descent(theta + step)[1] - problem.descent(theta - step)[1] for step in steps]
    hessian: Floats = np.array(rows) / (2 * DIFFERENCE)
    return (hessian + hessian.T) / 2


def _fit(problem: Problem, theta: Floats, hessian: Floats) -> Fit:
    fence, parameters = problem.fence, np.exp(theta)
    covariance = _covariance(hessian * problem.customer_count)
    is_inside = (parameters >= fence.lowest) & (parameters <= fence.highest)
    is_told = np.sqrt(np.diag(covariance)) <= UNKNOWN_ERROR
    return Fit(
        parameters=parameters,
        log_likelihood=problem.log_likelihood(theta)[0],
        hessian=hessian,
        log_covariance=covariance,
        is_identified=tuple(bool(known) for known in is_inside & is_told),
        is_converged=bool(np.abs(problem.descent(theta)[1]).max() < CONVERGED_GRADIENT),
    )


def _covariance(information: Floats) -> Floats:
    """The inverse, with a floor under directions in which the likelihood does not bend."""
    curvatures, directions = np.linalg.eigh(information)
    covariance: Floats = (directions / np.maximum(curvatures, LEAST_CURVATURE)) @ directions.T
    return covariance
