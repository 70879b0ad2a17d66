"""When a loss has settled: known curves, noise, closed forms, zero steps, and what was seen of real attacks."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitward.core.settling import converged
from splitward.record.convergence import settled
from splitward.record.schema import Trial

Points = list[tuple[int, float]]


def curve(loss: Callable[[float], float], points: int = 40, steps: int = 1000) -> Points:
    return [(round(i * steps / points), loss(i / points)) for i in range(points + 1)]


def trial(**values: object) -> Trial:
    return Trial.model_validate({"attack": "a", "threat_model": "white-box", "adaptive": False, **values})


@pytest.mark.parametrize("points", [10, 20, 50, 200])
def test_a_decay_to_a_level(points: int) -> None:
    assert converged(curve(lambda t: 0.1 + math.exp(-8 * t), points))
    assert not converged(curve(lambda t: 0.1 + math.exp(-1 * t), points))
    assert not converged(curve(lambda t: 1 - 0.9 * t, points))


def test_a_loss_that_halves_and_halves_still_falls_however_small() -> None:
    assert not converged(curve(lambda t: math.exp(-5 * t)))
    assert converged(curve(lambda t: math.exp(-30 * t)))  # below a thousandth there is nothing to gain


def test_a_high_start_hides_no_slope() -> None:
    """A bad initialisation makes the total improvement large; the fall by a third at the end is seen all the same."""
    assert not converged([(0, 1e6), *curve(lambda t: 1.2 - t)[1:]])


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_noise_is_no_fall(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    points = curve(lambda t: (0.2 + math.exp(-20 * t)) * math.exp(noise * rng.normal()), 30)
    assert converged(points)


def test_noise_hides_no_slope() -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found += not converged(curve(lambda t, r=rng: (1.1 - t) * math.exp(0.05 * r.normal()), 40))
    assert found >= 19


def test_a_constant_loss_and_a_closed_form_have_settled() -> None:
    assert converged(curve(lambda t: 0.5))
    assert converged([(1, 1e-9)])
    assert converged([])
    assert converged([(0, 0.0), (5, 0.0)])


def test_zero_steps_have_not_settled() -> None:
    assert not converged([(0, 0.7)])
    assert not converged([(0, 0.7), (0, 0.7)])


def test_a_warm_start_that_hardly_moves_has_settled() -> None:
    assert converged(curve(lambda t: 0.0030 - 0.0001 * t))


def test_divergence_is_no_convergence() -> None:
    assert not converged(curve(lambda t: 0.5 + t))
    assert not converged(curve(lambda t: math.exp(-8 * t) + (5 * (t - 0.7) if t > 0.7 else 0)))
    assert not converged(curve(lambda t: math.nan if t > 0.9 else 1 - t))
    assert not converged(curve(lambda t: -math.log(0.1 + t) * -1))  # the wrong sign


def test_two_points() -> None:
    assert not converged([(0, 1.0), (10, 0.5)])
    assert converged([(0, 1.0), (10, 1.0)])


def test_losses_that_may_be_negative() -> None:
    assert converged(curve(lambda t: -5 + 10 * math.exp(-10 * t)))
    assert not converged(curve(lambda t: 5 - 10 * t))
    assert converged(curve(lambda t: -0.001 + math.exp(-12 * t)))  # crossing zero is no steep fall


@given(
    st.lists(st.tuples(st.integers(0, 1000), st.floats(0, 1e3)), min_size=1, max_size=30, unique_by=lambda p: p[0]),
    st.floats(1e-3, 1e3),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_units_matter(points: Points, scale: float, random: object) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert converged(shuffled) == converged(points)
    doubled = [(s, v * 2.0 ** round(math.log2(scale))) for s, v in points]  # powers of two scale without rounding
    assert converged(doubled) == converged(points)


def test_the_scripts_attack_with_500_iterations_has_not_converged() -> None:
    """Seen: LeNet-5, ReLU2, rMLE without a prior, Adam 1e-2: 10.7 dB after 500 iterations, still falling."""
    seen = [
        2.02, 1.63, 1.21, 0.867, 0.615, 0.439, 0.319, 0.238, 0.183, 0.146, 0.12, 0.101, 0.0867,
        0.0759, 0.0674, 0.0605, 0.0548, 0.05, 0.046, 0.0425, 0.0394, 0.0366, 0.0342, 0.032, 0.0301,
        0.0283, 0.0268, 0.0253, 0.0239, 0.0227, 0.0215, 0.0204, 0.0194, 0.0185, 0.0176, 0.0168,
        0.0161, 0.0154, 0.0148, 0.0142, 0.0136, 0.0131,
    ]  # fmt: skip
    assert not converged([(i * 12, v) for i, v in enumerate(seen)])


def test_every_phase_of_a_trial_must_settle() -> None:
    good, bad = curve(lambda t: 0.1 + math.exp(-9 * t)), curve(lambda t: 2 - t)
    assert settled(trial(trace={"decoder": good, "rmle": good})) is True
    assert settled(trial(trace={"decoder": bad, "rmle": good})) is False


def test_a_trial_without_a_trace() -> None:
    assert settled(trial(parameters={"ridge": 0.1})) is True  # a closed form
    assert settled(trial(parameters={"steps": 0})) is False
    assert settled(trial(parameters={"decoder_steps": 0, "ridge": 1})) is False
    assert settled(trial(parameters={"steps": 500})) is None  # works, and does not say how it went
