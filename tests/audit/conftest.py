"""A small system to audit: one convolution and a linear layer on soft random pictures."""

import pytest
import torch
from torch import nn

import splitward as sw
from splitward.core.edge import Normalise, Normalised
from splitward.core.knowledge import Samples


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 5)
        self.relu1 = nn.ReLU()
        self.fc1 = nn.Linear(4 * 12 * 12, 6)

    def forward(self, x):
        return self.fc1(self.relu1(self.conv1(x)).flatten(1))


def pictures(count, seed):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 5, 5, generator=generator)
    images = nn.functional.interpolate(coarse, size=16, mode="bilinear")
    return Samples(images, torch.randint(6, (count,), generator=generator), f"pictures {seed}")


@pytest.fixture(scope="session")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Normalised(Normalise((0.5,), (0.5,)), Small()).eval()


@pytest.fixture(scope="session")
def public():
    return pictures(64, 1)


@pytest.fixture(scope="session")
def pool():
    return pictures(80, 2)


@pytest.fixture(scope="session")
def halves(model, public):
    return {at: sw.split(model, public.images[:2], at=at) for at in ("relu1", "fc1")}
