"""Small worlds for the learned attacks: smooth pictures, an edge of one convolution, seconds at most."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from splitward.audit.grant import grant
from splitward.audit.world import World, observe
from splitward.core.defence import Chain
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.knowledge import BlackBox, Samples, as_tuple
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.core.task import Classification


def smooth(count, seed, shape=(1, 16, 16)):
    """Pictures with 16 degrees of freedom a channel; the class is the brightest of the four quarters."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, shape[0], 4, 4, generator=generator)
    images = nn.functional.interpolate(coarse, size=shape[1:], mode="bilinear")
    quarters = nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 2).flatten(1)
    return Samples(images, quarters.argmax(1), f"smooth {seed}")


class Scene:
    """A world and its secrets, and an attack let loose on them as the audit does it."""

    def __init__(self, body, cloud=None, shape=(1, 16, 16), public=160, secrets=12, task=None):
        self.public, self.secrets = smooth(public, 1, shape), smooth(secrets, 2, shape)
        edge = Edge(Normalise((0.5,), (0.5,)), body).requires_grad_(False).eval()
        parts = as_tuple(edge(self.public.images[:1]))
        specs = tuple(TensorSpec(tuple(p.shape[1:])) for p in parts)
        cloud = cloud or nn.Sequential(nn.Flatten(), nn.Linear(specs[0].elements, 4))
        self.world = World(
            edge, cloud.requires_grad_(False).eval(), Chain(), task or Classification(), TensorSpec(shape), specs,
            self.public, smooth(64, 3, shape), 1, "scene",
        )  # fmt: skip

    def having(self, **changes):
        """The same scene in a world that differs in ``changes``."""
        other = copy.copy(self)
        other.world = dataclasses.replace(self.world, **changes)
        return other

    def play(self, attack, defence="none", k=1, budget=None, kind=BlackBox, naive=False, seed=2):
        """(pixels of the secrets, knowledge, run)."""
        world = dataclasses.replace(self.world, chain=parse_chain(defence), observations=k)
        believed = world.undefended() if naive else world
        knowledge = grant(kind, believed, Run(1, torch.device("cpu")), budget)
        run = Run(seed, torch.device("cpu"))
        inverter = attack.prepare(knowledge, run)
        sent = observe(world, self.secrets.images, torch.Generator().manual_seed(9))
        return inverter(sent), knowledge, run

    def share(self, guess):
        """Squared error of a guess, as a share of the mean public image's."""
        truth = self.secrets.images
        mean = self.public.images.mean(0, keepdim=True)
        return float((guess - truth).square().mean() / (mean - truth).square().mean())


@pytest.fixture(scope="session")
def scene():
    """Convolution and ReLU: (1, 16, 16) to (6, 12, 12)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Scene(nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU()))


@pytest.fixture(scope="session")
def make_scene():
    """Builds a scene around a body; its weights come from a fixed seed."""

    def make(factory, **settings):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return Scene(factory(), **settings)

    return make
