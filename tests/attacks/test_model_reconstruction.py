"""Model reconstruction: the surrogate is what the device computes before its defence, and rMLE inverts it."""

import dataclasses

import pytest
import torch
from torch import nn

from splitward.attacks._surrogate import make_edge, rectified
from splitward.attacks.model_reconstruction import Misfit, ModelReconstruction
from splitward.core.defence_text import parse_chain
from splitward.core.edge import Edge, Normalise
from splitward.core.errors import AttackError, NotApplicable
from splitward.core.knowledge import as_tuple
from splitward.core.run import Run

SMALL = ModelReconstruction(
    steps=80, batch=32, width=16, inversion_steps=60, decoder_steps=60, decoder_batch=32, decoder_width=16
)


def test_beats_the_mean_image_and_does_not_at_zero_steps(scene):
    for inversion, phase in (("rmle", "rmle"), ("prior-guided", "inverse-network/decoder")):
        attack = dataclasses.replace(SMALL, inversion=inversion)
        guess, knowledge, run = scene.play(attack)
        assert scene.share(guess) < 0.4
        assert set(run.trace) >= {"surrogate", phase}
        assert knowledge.query.used > 0
        broken, _, _ = scene.play(dataclasses.replace(attack, steps=0, inversion_steps=0, decoder_steps=0))
        assert scene.share(broken) > 0.9


def test_a_linear_edge_is_identified_exactly(make_scene):
    scene = make_scene(lambda: nn.Conv2d(1, 6, 5))
    guess, _, _ = scene.play(ModelReconstruction())
    assert (guess - scene.secrets.images).abs().max() < 1e-4


def test_the_likelihood_sees_through_dropout():
    """What the surrogate says is judged by entries that survived: the truth fits better than the mean answer does."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(50, 1, 4, 4, generator=generator)
    edge = Edge(Normalise(), nn.Identity())
    halved = Edge(Normalise((0.0,), (2.0,)), nn.Identity())
    chain = parse_chain("dropout:0.5")
    sent = chain.sample(pixels, generator)[:, None]
    aware = [float(Misfit(e, chain, (0.1,))((sent,), pixels)) for e in (edge, halved)]
    unaware = [float(Misfit(e, parse_chain("none"), (0.1,))((sent,), pixels)) for e in (edge, halved)]
    assert aware[0] < aware[1]
    assert unaware[0] > unaware[1]


@pytest.mark.parametrize("defence", ["dropout:0.5", "gaussian:0.5", "gaussian:0.3@input", "dropout:0.2+gaussian:0.2"])
def test_works_behind_every_defence(scene, defence):
    guess, _, _ = scene.play(SMALL, defence)
    assert scene.share(guess) < 0.95


def test_keeps_the_budget_and_repeats_itself(scene):
    attack = dataclasses.replace(SMALL, steps=5, inversion_steps=5, decoder_steps=5)
    one, knowledge, _ = scene.play(attack, "dropout:0.5", budget=40)
    two, _, _ = scene.play(attack, "dropout:0.5", budget=40)
    assert knowledge.query.used <= 40
    assert torch.equal(one, two)
    with pytest.raises(NotApplicable, match="two queries"):
        scene.play(attack, budget=1)


class Several(nn.Module):
    def forward(self, x):
        tokens = nn.functional.avg_pool2d(x, 4).flatten(2).transpose(1, 2)
        return tokens.expand(-1, -1, 5), x.flatten(1)[:, :7], x[:, :, 2:14, 2:14].relu(), nn.functional.pad(x, (8,) * 4)


@pytest.mark.parametrize("body", [Several, lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 9))])
def test_surrogates_are_sized_from_shapes_alone(make_scene, body):
    scene = make_scene(body, cloud=nn.Identity())
    knowledge = dataclasses.make_dataclass("K", ["input", "activation", "public"])(
        scene.world.input, scene.world.activation, scene.public
    )
    sent = as_tuple(scene.world.edge(scene.public.images[:9]))
    edge = make_edge(knowledge, "sized", 8, 5, rectified(sent), Run(0, torch.device("cpu")))
    parts = as_tuple(edge(scene.public.images[:3]))
    assert [tuple(p.shape[1:]) for p in parts] == [s.shape for s in scene.world.activation]


def test_an_architecture_that_does_not_fit_is_refused(scene):
    attack = dataclasses.replace(SMALL, steps=3, inversion_steps=2, decoder_steps=2)
    with pytest.raises(AttackError, match="no architecture"):
        scene.play(dataclasses.replace(attack, architecture="nowhere:nothing"))
    with pytest.raises(AttackError, match="are due"):
        scene.play(dataclasses.replace(attack, architecture="torch.nn:Identity"))
