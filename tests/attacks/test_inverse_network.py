"""The inverse network on small worlds, and (slow) the figures that are promised for MNIST."""

import dataclasses

import pytest
import torch
from torch import nn

from splitward.attacks import _asking
from splitward.attacks.inverse_network import InverseNetwork
from splitward.core.errors import NotApplicable

SMALL = InverseNetwork(steps=60, batch=32, width=16)


def test_beats_the_mean_image_and_does_not_at_zero_steps(scene):
    guess, _, run = scene.play(SMALL)
    assert scene.share(guess) < 0.05
    assert len(run.trace["decoder"]) > 3
    broken, _, run = scene.play(dataclasses.replace(SMALL, steps=0))
    assert scene.share(broken) > 0.9
    assert [step for step, _ in run.trace["decoder"]] == [0]


@pytest.mark.parametrize(
    "body",
    [
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.Tanh()),
        lambda: nn.Sequential(nn.Conv2d(1, 24, 4, stride=4), nn.GELU(), nn.Flatten(2), Transposed()),
        lambda: Both(),
    ],
    ids=["vector", "tokens", "several"],
)
def test_inverts_vectors_tokens_and_several_tensors(make_scene, body):
    scene = make_scene(body)
    guess, _, _ = scene.play(SMALL)
    assert scene.share(guess) < 0.25


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(1, 2)


class Both(nn.Module):
    """A map that lost most of the picture, and a vector that has the rest."""

    def __init__(self):
        super().__init__()
        self.map, self.vector = nn.Conv2d(1, 1, 3, stride=4), nn.Linear(256, 24)

    def forward(self, x):
        return self.map(x).relu(), self.vector(x.flatten(1)).tanh()


def test_learns_to_undo_the_defence_that_it_asks(scene):
    naive, _, _ = scene.play(SMALL, "dropout:0.6", naive=True)
    adaptive, _, _ = scene.play(SMALL, "dropout:0.6")
    assert scene.share(adaptive) < 0.7 * scene.share(naive)


def test_more_observations_say_more(scene):
    attack = dataclasses.replace(SMALL, steps=80)
    one, _, _ = scene.play(attack, "dropout:0.8")
    five, _, _ = scene.play(dataclasses.replace(attack, observations=5), "dropout:0.8", k=5)
    averaged, _, _ = scene.play(attack, "dropout:0.8", k=5)  # trained for one, given five
    assert scene.share(five) < 0.7 * scene.share(one)
    assert scene.share(five) < scene.share(averaged) < scene.share(one)


def test_a_device_without_randomness_is_asked_once_for_every_image(scene):
    attack = dataclasses.replace(SMALL, shift=0.0)
    _, knowledge, _ = scene.play(attack)
    assert knowledge.query.used == len(scene.public) + 2 * 4 + 3 * 4  # and the probes
    _, knowledge, _ = scene.play(attack, "dropout:0.5")
    assert knowledge.query.used == len(scene.public) + 2 * 4 + 60 * 32  # hold-out and closed form, then fresh draws


def test_a_long_training_asks_anew_rather_than_learn_by_heart(scene, monkeypatch):
    monkeypatch.setattr(_asking, "ENOUGH", 0)  # no stretching: the public images as they are
    once = len(scene.public) + 2 * 4 + 3 * 4
    _, knowledge, _ = scene.play(dataclasses.replace(SMALL, steps=20, laps=1))  # less than five looks at each
    assert knowledge.query.used == once
    _, knowledge, run = scene.play(SMALL)  # more than twelve
    steps = run.trace["decoder"][-1][0]
    assert 7 * steps < knowledge.query.used - once <= 8 * steps  # a quarter of 32, fewer where one is drawn twice
    _, knowledge, _ = scene.play(SMALL, budget=len(scene.public))  # what may not be asked is not asked
    assert knowledge.query.used <= len(scene.public)


def test_what_is_asked_anew_stays_a_pair_and_leaves_the_public_images_alone(scene, monkeypatch):
    monkeypatch.setattr(_asking, "ENOUGH", 0)
    _, knowledge, run = scene.play(dataclasses.replace(SMALL, steps=0))
    source = _asking.Interview(knowledge, 1, 0.2, 10**6, run)
    before, draws = source.originals.clone(), run.stream("test")
    seen = torch.cat([source.batch(64, draws)[1] for _ in range(20)])
    for (activation,), pixels, _ in (source.batch(64, draws) for _ in range(3)):
        assert torch.allclose(activation[:, 0], knowledge.query(pixels)[0], atol=1e-5)
    assert torch.equal(source.originals, before)  # so that what is augmented was never augmented before
    assert len(seen.flatten(1).unique(dim=0)) > 2 * len(scene.public)


@pytest.mark.parametrize(("wish", "moved"), [(1, 0), (10**6, 16)])
def test_a_random_device_is_asked_about_moved_images_only_by_a_long_training(scene, monkeypatch, wish, moved):
    monkeypatch.setattr(_asking, "ENOUGH", 0)
    _, knowledge, run = scene.play(dataclasses.replace(SMALL, steps=0), "dropout:0.5")
    source = _asking.Interview(knowledge, 1, 0.4, wish, run)
    originals = {image.numpy().tobytes() for image in scene.public.images}
    for _ in range(3):
        pixels = source.batch(64, run.stream("test"))[1]
        new = [image.numpy().tobytes() not in originals for image in pixels]
        assert sum(new) <= moved  # of 64; one that is moved nowhere is the same
        assert sum(new) > moved / 2 or not moved


@pytest.mark.parametrize("budget", [2, 3, 30, 250, 1000])
@pytest.mark.parametrize("k", [1, 4])
def test_keeps_the_budget(scene, budget, k):
    attack = dataclasses.replace(SMALL, steps=4, observations=k)
    guess, knowledge, _ = scene.play(attack, "dropout:0.5", k=k, budget=budget)
    assert torch.isfinite(guess).all()
    assert min(budget, 160) / 2 < knowledge.query.used <= budget


def test_without_queries_there_is_nothing_to_learn_from(scene):
    with pytest.raises(NotApplicable, match="two queries"):
        scene.play(SMALL, budget=1)


def test_a_linear_cut_is_solved_exactly_from_few_queries(make_scene):
    scene = make_scene(lambda: nn.Conv2d(1, 6, 5))
    guess, knowledge, _ = scene.play(InverseNetwork())
    assert (guess - scene.secrets.images).abs().max() < 1e-4
    assert knowledge.query.used < 600


def test_the_same_seed_gives_the_same_bytes(scene):
    attack = dataclasses.replace(SMALL, steps=10, observations=2)
    one, two, other = (scene.play(attack, "gaussian:0.5", k=2, seed=seed)[0] for seed in (2, 2, 3))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_the_scripts_recipe_learns(scene):
    attack = InverseNetwork(**InverseNetwork.presets["scripts"])
    guess, _, _ = scene.play(attack)
    assert not attack.knows_defence
    assert scene.share(guess) < 0.6


@pytest.mark.slow
@pytest.mark.mnist
@pytest.mark.parametrize(
    ("cut", "defence", "psnr_db", "similarity"),
    [("conv1", "none", 45, 0.99), ("ReLU2", "none", 25, 0.94), ("ReLU2", "dropout:0.6", 19, 0.8)],
)
def test_figures_on_mnist(mnist, lenet5_mnist, cut, defence, psnr_db, similarity):
    import splitward as sw

    halves = sw.split(lenet5_mnist.model, mnist.held_out.images[:2], at=cut)
    target = sw.Target(halves, defence=sw.defence(defence))
    record = sw.audit(target, attacks=["inverse-network"], secrets=mnist.held_out, public=mnist.public, samples=100)
    best = max(record.trials, key=lambda t: t.metrics["ssim"].mean)
    assert best.metrics["psnr"].mean >= psnr_db
    assert best.metrics["ssim"].mean >= similarity
