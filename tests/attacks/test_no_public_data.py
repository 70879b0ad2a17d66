"""The attack of one who holds no picture: pictures of nothing teach it, and nothing of the public set reaches it."""

import pytest
import torch
from torch import nn

from splitward.attacks._leaves import dead_leaves
from splitward.attacks.no_public_data import NoPublicData, levels
from splitward.audit.suite import suite
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import QueryFree, Samples

SHAPE = (1, 16, 16)
SMALL = NoPublicData(**NoPublicData.efforts["quick"] | {"steps": 60, "decoder_steps": 60})


def leaves(count, seed, power):
    """Dead leaves, mostly dark for a ``power`` above 1."""
    images = dead_leaves(count, SHAPE, torch.Generator().manual_seed(seed)) ** power
    return Samples(images, None, f"leaves {seed}")


@pytest.fixture(scope="module")
def dark(make_scene):
    scene = make_scene(lambda: nn.Conv2d(1, 6, 5)).having(others=leaves(800, 5, 3))
    scene.secrets = leaves(24, 6, 3)
    return scene


def identified(guess, truth):
    return float((torch.cdist(guess.flatten(1), truth.flatten(1)).argmin(1) == torch.arange(len(truth))).float().mean())


def test_a_convolution_is_undone_without_a_single_public_picture(dark):
    guess, _, _ = dark.play(SMALL, kind=QueryFree)
    truth = dark.secrets.images
    assert identified(guess, truth) >= 0.4  # chance is 1 in 24
    assert identified(1 - guess, truth) < 0.2  # and no negative


def test_nothing_of_the_public_set_reaches_it(dark):
    noise = Samples(torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0)), None, "noise")
    quick = NoPublicData(**NoPublicData.efforts["quick"] | {"steps": 2, "decoder_steps": 2, "shadows": 1})
    guesses = [scene.play(quick, kind=QueryFree)[0] for scene in (dark, dark.having(public=noise))]
    assert torch.equal(*guesses)


def test_pictures_that_are_mostly_bright_come_back_as_negatives(dark):
    bright = dark.having(others=Samples(1 - dark.world.others.images, None, "bright"))
    bright.secrets = Samples(1 - dark.secrets.images, None, "bright secrets")
    guess, _, _ = bright.play(SMALL, kind=QueryFree)
    assert identified(1 - guess, bright.secrets.images) >= 0.25


def test_zero_steps_recover_nothing(dark):
    broken = NoPublicData(steps=0, decoder_steps=0, shadows=1, width=12)
    guess, _, _ = dark.play(broken, kind=QueryFree)
    assert identified(guess, dark.secrets.images) < 0.2


def test_without_traffic_it_has_nothing_to_go_by(dark):
    with pytest.raises(NotApplicable, match="traffic"):
        dark.having(others=None).play(SMALL, kind=QueryFree)


def test_it_runs_only_where_it_is_named():
    assert "no-public-data" not in [entry.name for entry in suite("all", "quick")]
    assert [entry.name for entry in suite("shadow-model,no-public-data", "quick")] == ["no-public-data", "shadow-model"]


def test_levels_span_the_answers_and_are_skewed_towards_dark():
    drawn = torch.rand(8, *SHAPE, generator=torch.Generator().manual_seed(0)) ** 4 * 0.4 + 0.3
    black, white = levels(drawn)
    assert (black, white) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.69, abs=0.02))
    assert levels(1 - drawn) == (pytest.approx(1 - black), pytest.approx(1 - white))
    assert levels(torch.full((2, *SHAPE), 0.5)) == (0.0, 1.0)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 20, 28)])
def test_dead_leaves_are_pictures(shape):
    pictures, again = (dead_leaves(64, shape, torch.Generator().manual_seed(4)) for _ in range(2))
    assert pictures.shape == (64, *shape)
    assert torch.equal(pictures, again)
    assert 0 <= float(pictures.min()) < 0.05
    assert 0.95 < float(pictures.max()) <= 1
    near = (pictures[..., 1:] - pictures[..., :-1]).abs()
    assert float((near == 0).float().mean()) > 0.6  # even places ...
    assert float((near > 0.2).float().mean()) > 0.03  # ... and edges between them
    if shape[0] == 3:
        channels = pictures.transpose(0, 1).flatten(1)
        assert float(torch.corrcoef(channels)[0, 1]) > 0.8
