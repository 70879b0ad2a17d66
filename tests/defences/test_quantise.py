"""Quantisation: the values, the staircase's likelihood, and that repetition says nothing."""

import pytest
import torch

from splitward.audit.densities import weigh
from splitward.audit.draws import scales_of
from splitward.core.defence_text import parse_chain
from splitward.core.errors import DefenceError
from splitward.core.registry import find


def quantise(bits):
    return find("defence", "quantise")(bits)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_it_sends_the_nearest_of_its_values(bits):
    values = torch.linspace(-1, 1, 2**bits)
    clean = torch.linspace(-1.7, 1.7, 501).view(-1, 1)
    sent = quantise(bits).sample(clean, torch.Generator())
    nearest = values[(clean - values).abs().argmin(1)].view(-1, 1)
    inside = (clean - nearest).abs() < quantise(bits).step / 2 - 1e-5
    assert torch.allclose(sent[inside | (clean.abs() > 1)], nearest[inside | (clean.abs() > 1)], atol=1e-6)
    assert len(sent.mul(1e4).round().unique()) == 2**bits


def test_a_repetition_says_nothing_and_the_gradient_is_that_of_the_identity():
    clean = torch.rand(4, 9, requires_grad=True)
    stream = torch.Generator()
    first, second = (quantise(2).sample(clean, stream) for _ in range(2))
    assert torch.equal(first, second)
    first.sum().backward()
    assert torch.equal(clean.grad, torch.ones_like(clean))


@pytest.mark.parametrize("bits", [1, 3])
def test_the_likelihood_is_flat_in_the_cell_and_falls_outside(bits):
    channel = quantise(bits)
    clean = torch.rand(50, 6) * 3 - 1.5
    sent = channel.sample(clean, torch.Generator())
    assert torch.allclose(channel.log_density(sent, clean, 0.01), torch.zeros(50), atol=1e-4)
    top = torch.ones(1, 1)
    width = channel.step
    assert channel.log_density(top, top + 5, 0.1) == 0  # the last cell has no outer edge
    outside = channel.log_density(top, top - width / 2 - 0.2, 0.1)
    assert outside.item() == pytest.approx(-((2 + 6) ** 2) / 2, abs=1e-2)


@pytest.mark.parametrize("bits", [1, 2])
def test_an_audit_finds_that_its_likelihood_is_that_of_what_is_sent(bits):
    """Also where an entry is exactly 0, which is an edge between two cells: one of them is sent, and only one."""
    channel, clean = quantise(bits), torch.tanh(3 * torch.randn(64, 12))
    edge = torch.zeros(1, 1)
    sent = channel.sample(edge, torch.Generator())
    assert channel.log_density(sent, edge, 0.01) == 0
    assert channel.log_density(-sent, edge, 0.01) < -10
    look = weigh(
        channel, channel, clean, scales_of(clean, channel.sample(clean, torch.Generator())), 2000, torch.Generator()
    )
    assert look is None or look.p > 0.01


def test_levels():
    assert str(parse_chain("quantise:4@input")) == "quantise:4@input"
    for level in (0, 0.5, 17, -1, True):
        with pytest.raises(DefenceError, match="quantise: the level is the bits a number"):
            quantise(level)


def test_integers_pass():
    whole = torch.arange(3)
    assert quantise(1).sample(whole, torch.Generator()) is whole
