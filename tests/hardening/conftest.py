"""A small classifier of the ``tiny`` squares, its halves, and what a search stands on."""

import pytest
import torch
from torch import nn

from splitward.core.edge import Normalise, Normalised
from splitward.core.spec import TensorSpec
from splitward.models.zoo import Victim, weights_sha256
from splitward.split import split


class Small(nn.Module):
    input = (1, 16, 16)

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.relu1 = nn.ReLU()
        self.fc1 = nn.Linear(4 * 12 * 12, 3)

    def forward(self, x):
        return self.fc1(self.relu1(self.conv1(x)).flatten(1))


@pytest.fixture(scope="session")
def victim():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Normalised(Normalise((0.5,), (0.5,)), Small()).eval().requires_grad_(False)
    return Victim(model, "small", TensorSpec((1, 16, 16)), 3, weights_sha256(model), "here")


@pytest.fixture(scope="session")
def halves(victim, tiny):
    return split(victim.model, tiny.public.images[:2], at="relu1")
