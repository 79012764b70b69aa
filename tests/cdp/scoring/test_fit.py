"""Fitting: a known world is found again, and what the data do not tell is said."""

from dataclasses import replace

import numpy as np
import pytest

from cdp.scoring.beta_geometric import BG_NBD, MBG_NBD, BetaGeometric
from cdp.scoring.histories import SAMPLE, Floats, group, summarise
from cdp.scoring.maximise import Fence, Problem, maximise, refine
from cdp.scoring.model import OrderModel, fit_orders
from cdp.scoring.pareto import PARETO_NBD
from cdp.scoring.value import MODELS
from tests.cdp.scoring.samples import World, simulate


def ages(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(30, 900, count)


@pytest.mark.parametrize(("first_coins", "model"), [(0, BG_NBD), (1, MBG_NBD)])
def test_parameters_of_a_made_up_world_are_found_within_their_errors(
    first_coins: int, model: BetaGeometric
) -> None:
    # Slow enough that two orders hardly ever fall on one day.
    world = World(rates=(0.8, 200.0), chances=(0.7, 2.5), first_coins=first_coins)
    histories = summarise(simulate(world, ages(40_000), horizon=0, seed=2), 899)
    fit = fit_orders(model, histories, group(histories))
    off = np.log(fit.parameters / np.array([*world.rates, *world.chances])) / fit.log_errors
    assert np.abs(off).max() < 3
    assert fit.log_errors.max() < 0.2
    assert all(fit.is_identified)


@pytest.mark.parametrize("model", [MBG_NBD, pytest.param(PARETO_NBD, marks=pytest.mark.prove)])
def test_a_sample_leads_to_the_optimum_of_the_whole(model: OrderModel) -> None:
    histories = summarise(simulate(World(), ages(2 * SAMPLE), horizon=0, seed=3), 899)
    patterns = group(histories)
    problem = Problem(
        lambda theta: model.log_likelihood(theta, patterns),
        model.fence(patterns),
        len(histories),
    )
    from_starts = maximise(problem, model.starts(patterns))
    from_sample = fit_orders(model, histories, patterns)
    assert from_sample.parameters == pytest.approx(from_starts.parameters, rel=1e-5)
    assert from_sample.log_errors == pytest.approx(from_starts.log_errors, rel=0.1)
    assert from_sample.is_converged


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_where_nobody_drops_out_the_data_do_not_tell_how_they_would(model: OrderModel) -> None:
    """The likelihood rises for ever towards no dropping out; the fit ends, and says so."""
    world = World(rates=(1.5, 40.0), chances=(0.01, 100.0))
    histories = summarise(simulate(world, ages(2_000), horizon=0, seed=4), 899)
    fit = fit_orders(model, histories, group(histories))
    assert fit.is_converged
    assert fit.is_identified[:2] == (True, True)
    assert not all(fit.is_identified[2:])
    assert np.isfinite(fit.parameters).all()
    alive = model.future(fit.parameters, group(histories), 365.0).alive
    assert np.median(alive) > 0.95


def test_without_a_repeat_at_all_a_fit_still_ends() -> None:
    histories = summarise(simulate(World(rates=(0.5, 1e9)), ages(200), horizon=0, seed=5), 899)
    assert histories.repeats.sum() == 0
    for model in MODELS:
        fit = fit_orders(model, histories, group(histories))
        assert np.isfinite(fit.parameters).all()
        assert not all(fit.is_identified)
        future = model.future(fit.parameters, group(histories), 365.0)
        assert future.mean().mean() < 0.05


def test_fence_leaves_an_optimum_inside_alone_and_holds_one_outside() -> None:
    fence = Fence(np.array([0.1]), np.array([10.0]))

    def peak_at(theta_0: float) -> Problem:
        def log_likelihood(theta: Floats) -> tuple[float, Floats]:
            off = theta - theta_0
            return -50.0 * float(off @ off), -100.0 * off

        return Problem(log_likelihood, fence, 1)

    inside = maximise(peak_at(1.0), [np.array([1.0])])
    outside = maximise(peak_at(4.0), [np.array([1.0])])
    assert inside.parameters == pytest.approx(np.exp([1.0]))
    assert inside.is_identified == (True,)
    assert inside.log_errors == pytest.approx([0.1], rel=1e-4)
    assert np.log(10.0) < np.log(outside.parameters[0]) < 4.0
    assert outside.is_identified == (False,)


def test_refining_from_far_off_climbs_anew() -> None:
    """The Hessian of another place leads nowhere; the fit does not trust it blindly."""
    histories = summarise(simulate(World(), ages(3_000), horizon=0, seed=6), 899)
    patterns = group(histories)
    problem = Problem(
        lambda theta: PARETO_NBD.log_likelihood(theta, patterns),
        PARETO_NBD.fence(patterns),
        len(histories),
    )
    wanted = maximise(problem, PARETO_NBD.starts(patterns))
    refined = refine(problem, replace(wanted, parameters=np.array([8.0, 5.0, 4.0, 10.0])))
    assert refined.log_likelihood == pytest.approx(wanted.log_likelihood, abs=1e-3)
