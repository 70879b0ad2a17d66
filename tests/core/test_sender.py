"""A defended device computes once what its defences do not change, and never sends yesterday's picture."""

import pytest
import torch
from torch import nn

from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Sender


class Counted(nn.Module):
    """Doubles its input, and counts how often."""

    calls = 0

    def forward(self, pixels):
        self.calls += 1
        return 2 * pixels


@pytest.fixture
def device():
    edge = Edge(nn.Identity(), Counted())
    return edge.body, Sender(edge, parse_chain("gaussian:0.001"), torch.Generator().manual_seed(0))


def test_draws_afresh_but_computes_once(device):
    body, send = device
    pixels = torch.rand(2, 1, 4, 4)
    (first,), (second,) = send(pixels), send(pixels.clone())
    assert not torch.equal(first, second)
    assert body.calls == 1


@pytest.mark.parametrize("write", [lambda x: x.fill_(1), lambda x: x.data.fill_(1)])
def test_pictures_that_changed_in_place_are_computed_anew(device, write):
    _, send = device
    pixels = torch.zeros(2, 1, 4, 4)
    send(pixels)
    write(pixels)
    assert float(send(pixels)[0].mean()) == pytest.approx(2, abs=0.01)


def test_works_without_version_counters(device):
    _, send = device
    with torch.inference_mode():
        pixels = torch.ones(2, 1, 4, 4)
        assert float((send(pixels)[0] - send(pixels)[0]).abs().max()) < 0.1


def test_gradients_pass(device):
    _, send = device
    pixels = torch.ones(1, 1, 4, 4)
    send(pixels)
    leaf = pixels.clone().requires_grad_()
    send(leaf)[0].sum().backward()
    assert torch.equal(leaf.grad, torch.full_like(leaf, 2.0))
