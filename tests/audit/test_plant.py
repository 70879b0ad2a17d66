"""The planted leak: hidden in any shape of activation, read out again by the cloud half, and recoverable."""

import dataclasses
from typing import ClassVar

import pytest
import torch
from torch import nn

from audit.doubles import entry
from splitward.audit.bench import Bench, came_back
from splitward.audit.plant import Plant, copy_side, planted
from splitward.audit.world import World
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Normalise
from splitward.core.knowledge import BlackBox, Samples
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.core.task import Classification

IMAGE = TensorSpec((1, 28, 28))


@pytest.mark.parametrize("shape", [(16, 8, 8), (1, 24, 24), (120,), (10,), (2,), (17, 32), (4, 5, 6)])
@pytest.mark.parametrize("colours", [1, 3])
def test_reads_out_what_it_hides(shape, colours):
    image = TensorSpec((colours, 28, 28))
    plant = Plant(image, TensorSpec(shape), 0.7, torch.Generator().manual_seed(0))
    images = torch.rand(5, colours, 28, 28)
    copy = plant.shrink(images)
    assert copy.shape[-1] == copy_side(image, TensorSpec(shape))
    sent = plant.hide(torch.randn(5, *shape), copy)
    assert sent.shape == (5, *shape)
    rest, read = plant.read(sent)
    assert rest.shape == (5, *shape)
    room = plant.used * plant.positions if len(shape) != 3 else None
    if len(shape) == 3:
        assert torch.allclose(read, copy[:, : plant.used], atol=1e-5)
    else:
        kept = min(room, copy[0].numel())
        assert torch.allclose(read.flatten(1)[:, :kept], copy.flatten(1)[:, :kept], atol=1e-5)


def test_the_copy_is_not_visible_without_the_rotation():
    plant = Plant(IMAGE, TensorSpec((120,)), 1.0, torch.Generator().manual_seed(0))
    images = torch.rand(200, 1, 28, 28)
    sent = plant.hide(torch.randn(200, 120), plant.shrink(images))
    one = plant.shrink(images)[:, 0, 0, 0]
    correlation = torch.corrcoef(torch.cat([one[None], sent.T]))[0, 1:]
    assert correlation.abs().max() < 0.9


def test_the_planted_world_still_runs_its_cloud():
    body = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU())
    cloud = nn.Sequential(nn.Flatten(), nn.Linear(4 * 24 * 24, 10))
    public = Samples(torch.rand(32, 1, 28, 28), torch.randint(10, (32,)))
    world = World(
        Edge(Normalise((0.5,), (0.5,)), body), cloud, Chain(), Classification(), IMAGE, (TensorSpec((4, 24, 24)),),
        public, None, 1, "fingerprint",
    )  # fmt: skip
    leaky, plant = planted(world, Run(0, torch.device("cpu")))
    sent = leaky.edge(public.images)
    output = leaky.cloud(sent)
    assert output.output.shape == (32, 10)
    assert torch.allclose(output.copy, plant.shrink(leaky.edge.normalise(public.images)), atol=1e-4)
    small = leaky.task.loss(output, public).item()
    other = dataclasses.replace(public, images=public.images.flip(0))
    assert small < leaky.task.loss(output, other).item()
    assert leaky.key != world.key


@dataclasses.dataclass(frozen=True)
class Level:
    """Fits a line from the one number that crosses to every pixel; ``blind``, to nothing but the mean of a label."""

    name: ClassVar[str] = "level"
    blind: bool = False

    def prepare(self, knowledge: BlackBox, run):
        public = knowledge.public
        sent = knowledge.query(public.images)[0].flatten(1).double()

        def rows(x):
            return torch.cat([x if not self.blind else x.sign(), torch.ones_like(x)], 1)

        line = torch.linalg.lstsq(rows(sent), public.images.flatten(1).double()).solution
        run.record_loss("fit", 1, 0.0)
        return lambda given: (
            (rows(given[0].mean(1).double()) @ line).float().clamp(0, 1).view(-1, *knowledge.input.shape)
        )


@pytest.mark.parametrize("blind", [False, True])
def test_a_copy_of_one_number_is_recovered_when_it_comes_back(digits, blind):
    """It tells few secrets apart, however well it is read: what counts is how much of it came back."""
    body = nn.Sequential(nn.Flatten(), nn.Linear(784, 1))
    world = World(
        Edge(Normalise((0.5,), (0.5,)), body), nn.Linear(1, 10), Chain(), Classification(), IMAGE, (TensorSpec((1,)),),
        digits.public, None, 1, "fingerprint",
    )  # fmt: skip
    bench = Bench(Run(0, torch.device("cpu")), digits.held_out[:60])
    control = bench.control(entry(Level(blind=blind)), world)
    assert control.kind == "planted"
    assert control.identification < 0.25
    assert control.recovered != blind, control.reason
    assert "of the planted copy's variance" in control.reason


def test_how_much_of_a_copy_came_back():
    true = torch.randn(500, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert came_back(true, true) == pytest.approx(1)
    assert came_back(true.mean(0).expand_as(true), true) == pytest.approx(0, abs=1e-5)
    assert came_back(true / 2, true) == pytest.approx(0.75, abs=0.01)
    assert came_back(-true, true) < -2
