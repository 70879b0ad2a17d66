"""Pictures, geometry and wording: small pure functions, against Pillow and by hand."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitward.record.schema import Estimate
from splitward.report import figures, pictures, sweep, wording

Image = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize(("height", "width", "channels"), [(28, 28, 1), (1, 7, 3), (32, 17, 3), (5, 1, 1)])
def test_a_png_is_read_back_by_pillow(height: int, width: int, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    read = np.asarray(Image.open(io.BytesIO(pictures.png(pixels)))).reshape(pixels.shape)
    assert np.array_equal(read, pixels)


def test_odd_pixels_still_make_a_picture() -> None:
    pixels = np.array([[[np.nan, -1.0, 2.0, 0.5]]])
    assert pictures.to_bytes(pixels)[0, :, 0].tolist() == [0, 0, 255, 128]
    assert pictures.to_bytes(np.ones((4, 3, 3))).shape == (3, 3, 1)  # four channels become grey


@pytest.mark.parametrize("shape", [(3, 224, 224), (1, 100, 300), (1, 2, 500), (1, 81, 81)])
def test_large_pictures_are_averaged_down(shape: tuple[int, int, int]) -> None:
    small = pictures.shrink(np.full(shape, 0.25))
    assert max(small.shape[1:]) <= pictures.LARGEST_SIDE
    assert np.allclose(small, 0.25)


def test_small_pictures_are_left_alone() -> None:
    pixels = np.random.default_rng(0).random((1, 28, 28))
    assert pictures.shrink(pixels) is pixels


@given(st.integers(1, 500), st.integers(4, 12))
def test_shown_ranks_start_with_the_worst_and_reach_the_last(samples: int, columns: int) -> None:
    ranks = pictures.shown_ranks(samples, columns)
    assert ranks == sorted(set(ranks))
    assert len(ranks) == min(samples, columns)
    assert ranks[0] == 0
    assert ranks[-1] == samples - 1


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_a_round_scale_holds_its_range(low: float, span: float) -> None:
    scale = figures.round_scale(low, low + span)
    slack = 1e-6 * (abs(low) + span)
    assert scale.low <= low + slack
    assert scale.high >= low + span - slack
    assert 2 <= len(scale.ticks) <= 16


def test_marks_lie_where_their_numbers_are() -> None:
    scale = figures.scale_for([0.2, 0.9])
    mark = figures.mark(scale, Estimate(mean=0.25, low=0.2, high=0.4, worst=0.9, n=9), "naive", "0.25", "x")
    assert (mark.at, mark.low, mark.width) == (25.0, 20.0, 20.0)
    assert scale.at(-3) == 0
    assert scale.at(7) == 100
    assert figures.scale_for([-0.3, 0.5]).at(0) == pytest.approx(100 * 0.4 / 1.4, abs=0.01)
    assert figures.scale_for([0.0, 26.4], bounded=False).high >= 26.4  # decibels


def test_a_distribution_counts_every_sample() -> None:
    found = figures.distribution([0.0, 0.5, 0.51, 1.0, 1.2], [-0.4], figures.scale_for([0.0, 1.0]))
    assert sum(bar.count for bar in found.upper) == 5
    assert sum(bar.count for bar in found.lower) == 1
    assert found.tallest == (2, 1)
    assert figures.distribution([0.5], [], figures.scale_for([])).lower_mean is None


def test_a_loss_curve_falls_from_the_top_left() -> None:
    found = figures.curve("rmle", "rmle", [(0, 10.0), (50, 1.0), (100, 0.01)])
    assert found is not None
    assert found.logarithmic
    assert found.points.split()[0] == "0.0,4.0"
    assert found.points.split()[-1] == "100.0,96.0"
    assert figures.curve("rmle", "rmle", [(0, 1.0)]) is None
    flat = figures.curve("rmle", "rmle", [(0, 1.0), (10, 1.0)])
    assert flat is not None
    assert "nan" not in flat.points


def test_labels_that_would_cover_another_move_or_go() -> None:
    points = [sweep.Point("t", f"0.{i}", "", 80.0, None, 50.0, "adaptive") for i in range(5)]
    placed = sweep._with_room(points, [])
    assert [p.label_y for p in placed if p.label] == [50.0, 50 + sweep.LABEL_GAP, 50 + 2 * sweep.LABEL_GAP]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("none", "no defence"),
        ("dropout:0.6", "dropout 0.6 on the activation"),
        ("gaussian:0.5@input", "gaussian 0.5 on the input"),
        ("odd", "odd on the activation"),
    ],
)
def test_defences_in_words(spec: str, words: str) -> None:
    assert wording.defence_title(spec) == words


def test_levels_of_one_kind_are_one_family() -> None:
    assert sweep.family("dropout:0.6") == sweep.family("dropout:0.9") == "dropout"
    assert sweep.family("gaussian:1@input") != sweep.family("gaussian:1")
    assert sweep._levels("gaussian:1e-3@input+dropout:0.5") == [0.001, 0.5]


def test_a_negative_zero_is_no_minus() -> None:
    assert wording.MetricWords("SSIM").format(-0.001) == "0.00"
    assert wording.MetricWords("SSIM").format(-0.11) == "\N{MINUS SIGN}0.11"
