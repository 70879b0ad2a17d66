"""Estimates and limits against closed forms, brute force and known coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from splitward.core.errors import RecordError
from splitward.record import statistics
from splitward.record.statistics import (
    estimate,
    excess_mse,
    excess_ssim,
    interval,
    paired_difference,
    recognisable,
    recovered,
    unpaired_difference,
    upper_mean,
    upper_worst_decile,
    worst_decile,
)

scores = st.lists(st.floats(-1, 1, allow_nan=False, width=32), min_size=1, max_size=30)


@given(scores, st.randoms(use_true_random=False), st.booleans())
@settings(max_examples=30, deadline=None)
def test_the_order_of_samples_changes_nothing(values: list[float], random: object, higher: bool) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert estimate(values, higher) == estimate(shuffled, higher)
    assert upper_worst_decile(values) == upper_worst_decile(shuffled)


@given(scores)
@settings(max_examples=30, deadline=None)
def test_an_estimate_holds_together(values: list[float]) -> None:
    e = estimate(values, True)
    assert min(values) - 1e-9 <= e.low <= e.mean <= e.high <= max(values) + 1e-9
    assert e.mean - 1e-9 <= e.worst <= max(values) + 1e-9
    assert estimate(values, False).worst <= e.mean + 1e-9
    assert upper_mean(values) == e.high
    assert upper_worst_decile(values) >= e.worst - 1e-9


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    values = np.linspace(0, 1, 17) ** 2
    assert interval(values, 3) == interval(values, 3)
    assert interval(values, 3) != interval(values, 4)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (9, 1), (10, 1), (11, 2), (100, 10), (101, 11)])
def test_the_worst_decile_is_the_closest_tenth_rounded_up(n: int, k: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    assert worst_decile(values) == pytest.approx(np.sort(values)[-k:].mean())
    assert worst_decile(values, higher_is_closer=False) == pytest.approx(np.sort(values)[:k].mean())
    assert estimate(values, True).worst == pytest.approx(np.sort(values)[-k:].mean())


def test_the_interval_is_that_of_all_resamples() -> None:
    """Of four samples all 256 resamples can be written down."""
    values = [0.0, 0.1, 0.5, 1.0]
    means = [np.mean(drawn) for drawn in itertools.product(values, repeat=4)]
    low, high = interval(values)
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.05)
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.05)


def test_the_interval_is_that_of_the_normal_limit() -> None:
    values = np.random.default_rng(5).normal(2.0, 3.0, 400)
    low, high = interval(values)
    half = 1.96 * values.std() / math.sqrt(400)
    assert (low, high) == (pytest.approx(values.mean() - half, abs=0.04), pytest.approx(values.mean() + half, abs=0.04))


def test_coverage_of_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a known mean, near 95 %: a skewed distribution, 50 samples, 300 trials."""
    monkeypatch.setattr(statistics, "RESAMPLES", 500)
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        low, high = interval(rng.beta(2, 5, size=50))
        covered += low <= 2 / 7 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_coverage_over_samples_and_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where attack seeds differ, an interval over samples alone is too narrow; the crossed one holds."""
    monkeypatch.setattr(statistics, "RESAMPLES", 300)
    rng = np.random.default_rng(12)
    crossed = alone = 0
    for _ in range(150):
        table = rng.normal(0, 0.3, (40, 1)) + rng.normal(0, 0.3, (1, 8)) + rng.normal(0, 0.1, (40, 8))
        low, high = interval(table)
        crossed += low <= 0 <= high
        low, high = interval(table.mean(1))
        alone += low <= 0 <= high
    assert crossed / 150 > 0.85
    assert alone / 150 < 0.7


def test_the_order_of_attack_seeds_changes_nothing() -> None:
    table = np.random.default_rng(1).random((12, 3))
    assert interval(table) == interval(table[::-1, [2, 0, 1]])


def test_chunks_change_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few numbers are held at once, the result is a sound interval of the same width."""
    values = np.random.default_rng(2).random(50)
    whole = interval(values)
    monkeypatch.setattr(statistics, "_CHUNK", 7)
    assert interval(values) == pytest.approx(whole, abs=0.02)


def test_a_single_sample_has_no_width() -> None:
    e = estimate([0.7], True)
    assert (e.low, e.mean, e.high, e.worst, e.n) == (0.7, 0.7, 0.7, 0.7, 1)


@given(scores, st.floats(-1, 0.94))
def test_excess_over_a_constant_floor(values: list[float], floor: float) -> None:
    expected = [max(0.0, (v - floor) / (1 - floor)) for v in values]
    assert excess_ssim(values, [floor] * len(values)) == pytest.approx(expected)


def test_excess_where_the_floor_is_exact() -> None:
    assert excess_ssim([1.0, 0.5], [1.0, 1.0]).tolist() == [0.0, 0.0]
    assert excess_mse([0.0, 0.5], [0.0, 0.0]).tolist() == [0.0, 0.0]


def test_excess_of_an_exact_recovery_is_one() -> None:
    assert excess_ssim([1.0], [0.3]).tolist() == [1.0]
    assert excess_mse([0.0], [0.3]).tolist() == [1.0]


def test_a_failure_does_not_make_up_for_a_recovery() -> None:
    """Half of the images recovered and half ruined is not "no leak on average"."""
    assert excess_ssim([1.0, -1.0], [0.2, 0.2]).mean() == 0.5
    assert excess_mse([0.0, 1.0], [0.1, 0.1]).mean() == 0.5


def test_excess_over_samples_and_seeds() -> None:
    table = excess_ssim([[0.6, 1.0], [0.2, 0.2]], [0.2, 0.2])
    np.testing.assert_allclose(table, [[0.5, 1.0], [0.0, 0.0]])


def test_pairing_makes_the_interval_narrow() -> None:
    """A shift that is small beside the spread over images is seen only pair by pair."""
    rng = np.random.default_rng(3)
    first = rng.random(60)
    second = first + 0.02 + rng.normal(0, 0.01, 60)
    assert paired_difference(first, second)[1] > 0
    assert unpaired_difference(first, second)[1] < 0
    assert paired_difference(first, second)[0] == pytest.approx(unpaired_difference(first, second)[0])


def test_unpaired_samples_may_differ_in_number() -> None:
    mean, low, high = unpaired_difference([0.0, 0.1, 0.2], [1.0, 1.1])
    assert mean == pytest.approx(0.95)
    assert 0.7 < low < mean < high < 1.2


def test_the_papers_threshold_is_either_and_ours_is_both_and_beyond_the_floor() -> None:
    scored = {"ssim": [0.1, 0.4, 0.1, 0.4, 0.4], "psnr": [9.0, 9.0, 11.0, 11.0, 11.0]}
    assert recognisable(scored).tolist() == [False, True, True, True, True]
    assert recovered(scored).tolist() == [False, False, False, True, True]
    floor = {"ssim": [0.0] * 5, "psnr": [0.0, 0.0, 0.0, 12.0, 10.0]}
    assert recovered(scored, floor).tolist() == [False, False, False, False, True]


def test_small_images_are_counted_by_psnr_alone() -> None:
    assert recovered({"psnr": [9.0, 12.0]}, {"psnr": [5.0, 5.0]}).tolist() == [False, True]


def test_the_mean_image_counts_by_the_papers_threshold_only() -> None:
    """FACTS: 11.5 dB and SSIM 0.10 is what the mean image of MNIST reaches."""
    mean_image = {"ssim": [0.1], "psnr": [11.5]}
    assert recognisable(mean_image).all()
    assert not recovered(mean_image, mean_image).any()


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf], [[0.1, 0.2]], [[[0.1]]]])
def test_what_is_no_sample_is_refused(values: object) -> None:
    with pytest.raises(RecordError, match=r"^[^\n]+\.$"):
        estimate(values, True)  # type: ignore[arg-type]


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(RecordError, match="2 of the one and 3 of the other"):
        excess_ssim([0.1, 0.2], [0.1, 0.2, 0.3])
    with pytest.raises(RecordError, match="neither was measured"):
        recovered({"mse": [0.1]})


def test_ten_thousand_samples_take_no_time_and_little_memory() -> None:
    e = estimate(np.random.default_rng(0).random(10_000), True)
    assert e.high - e.low == pytest.approx(2 * 1.96 * math.sqrt(1 / 12 / 10_000), rel=0.1)
