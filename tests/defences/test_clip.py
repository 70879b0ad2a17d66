"""Clipping: a projection onto a ball."""

import pytest
import torch

from splitward.core.defence_text import parse_chain, parse_defence
from splitward.core.errors import DefenceError


@pytest.mark.parametrize("shape", [(30, 7), (30, 2, 3, 4)])
def test_what_is_longer_is_brought_to_the_norm_and_nothing_moves_apart(shape):
    clip = parse_defence("clip:2")
    one, other = (torch.randn(shape, generator=torch.Generator().manual_seed(s)) * 1.5 for s in (1, 2))
    sent = clip.sample(one, torch.Generator())
    norms, before = sent.flatten(1).norm(dim=1), one.flatten(1).norm(dim=1)
    assert torch.allclose(norms, before.clamp_max(2.0))
    assert bool((before > 2).any())
    apart = (sent - clip.sample(other, torch.Generator())).flatten(1).norm(dim=1)
    assert bool((apart <= (one - other).flatten(1).norm(dim=1) + 1e-5).all())  # expansion 1
    assert bool((norms <= clip.radius + 1e-5).all())


def test_it_stands_in_a_chain_and_leaves_zero_and_integers_alone():
    assert str(parse_chain("clip:5+gaussian:1")) == "clip:5+gaussian:1"
    clip = parse_defence("clip:5")
    zeros, whole = torch.zeros(2, 3), torch.full((2, 3), 100)
    assert torch.equal(clip.sample(zeros, torch.Generator()), zeros)
    assert torch.equal(clip.sample(whole, torch.Generator()), whole)


@pytest.mark.parametrize("level", ["0", "-1", "nan", "inf", "1e7"])
def test_a_norm_that_is_none_is_refused(level):
    with pytest.raises(DefenceError, match="clip: the level is the largest norm"):
        parse_defence(f"clip:{level}")
