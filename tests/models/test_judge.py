"""The judge's training: what it learns, that it repeats, and what it does without labels."""

import pytest
import torch

from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Samples
from splitward.core.run import Run
from splitward.models import judge as judges
from splitward.models.judge import Degrade, JudgeNetwork, _held_back, _recipe, _turned, shrunk, train_judge

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(judges, "SEEN", 1500)
    monkeypatch.setattr(judges, "SEEN_PER_CLASS", 1)


def trained(samples, seed=0):
    return train_judge(samples, Run(seed, CPU).child("judge"))


def test_the_same_seed_gives_the_same_bytes_and_the_global_generator_is_left_alone(tiny):
    state = torch.get_rng_state()
    first, again, other = trained(tiny.public), trained(tiny.public), trained(tiny.public, 1)
    assert torch.equal(state, torch.get_rng_state())
    images = tiny.held_out.images
    assert torch.equal(first.embed(images), again.embed(images))
    assert first.accuracy == again.accuracy
    assert not torch.equal(first.embed(images), other.embed(images))


def test_it_is_frozen_and_names_the_labels_that_it_was_shown(tiny):
    public = Samples(tiny.public.images, 10 * tiny.public.labels + 5, "tiny")
    judge = trained(public)
    assert judge.classes.tolist() == [5, 15, 25]
    assert set(judge.classify(tiny.held_out.images).tolist()) <= {5, 15, 25}
    assert not any(p.requires_grad for p in judge.network.parameters())
    assert not judge.network.training
    assert judge.embed(public.images).norm(dim=1).tolist() == pytest.approx([1.0] * 40, abs=1e-5)
    assert (judge.task, judge.told_apart, judge.trained_on + judge.tested_on) == ("classes", 3, 40)


@pytest.mark.parametrize("labels", [None, torch.zeros(40, dtype=torch.int64)])
def test_without_labels_it_learns_rotations(tiny, labels):
    judge = trained(Samples(tiny.public.images, labels, "bare"))
    assert judge.classes is None
    assert (judge.task, judge.told_apart) == ("rotations", 4)
    assert judge.trained_on + judge.tested_on == 4 * 40
    assert len(judge.features(tiny.held_out.images)) == 4
    with pytest.raises(NotApplicable, match="without labels"):
        judge.classify(tiny.held_out.images)


def test_few_images_make_no_judge(tiny):
    with pytest.raises(NotApplicable, match="19 public images are too few"):
        trained(tiny.public[:19])


def test_what_is_held_back_is_a_fifth_of_each_class():
    samples = Samples(torch.rand(33, 1, 4, 4), torch.tensor([0] * 20 + [1] * 11 + [2] * 2))
    learn, test = _held_back(samples, torch.Generator().manual_seed(0))
    assert torch.bincount(test.labels, minlength=3).tolist() == [4, 2, 0]
    assert torch.bincount(learn.labels, minlength=3).tolist() == [16, 9, 2]
    both = torch.cat([learn.images, test.images]).flatten(1)
    assert len(both.unique(dim=0)) == 33


def test_turned_images_are_square_and_turned():
    images = torch.rand(2, 3, 6, 9)
    turned = _turned(Samples(images, None))
    assert turned.images.shape == (8, 3, 6, 6)
    assert turned.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert torch.equal(turned.images[0], images[0, :, :, 1:7])
    assert torch.equal(turned.images[4], turned.images[0].flip(1, 2))


def test_degrading_blurs_while_training_only():
    images = torch.rand(16, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    degrade = Degrade(torch.Generator().manual_seed(0))
    assert torch.equal(degrade.eval()(images), images)
    spoiled = degrade.train()(images)
    assert spoiled.min() >= 0
    assert spoiled.max() <= 1
    assert spoiled.std() < images.std()
    flat = Degrade(torch.Generator().manual_seed(0)).train()(torch.full((400, 1, 8, 8), 0.5))
    assert flat.mean().item() == pytest.approx(0.5, abs=0.01)  # a blur keeps the brightness, at the border too


@pytest.mark.parametrize(("size", "expected"), [((28, 28), (28, 28)), ((128, 96), (64, 48)), ((3, 300), (1, 64))])
def test_large_images_are_shrunk(size, expected):
    assert shrunk(torch.rand(1, 3, *size)).shape[2:] == expected


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (28, 28), (224, 224)])
def test_any_size_can_be_looked_at(size):
    network = JudgeNetwork(3, 5)
    assert network(torch.rand(2, 3, *size)).shape == (2, 5)


def test_the_schedule_is_bounded(monkeypatch):
    monkeypatch.undo()
    for count, side, classes in ((540, 28, 10), (15000, 28, 10), (5000, 224, 1000), (20, 8, 2)):
        recipe = _recipe(Samples(torch.zeros(1, 1, side, side).expand(count, -1, -1, -1), None), classes)
        pixels = recipe.epochs * count * min(side, judges.SIDE) ** 2
        assert recipe.epochs * count >= min(judges.SEEN, count)
        assert pixels <= 2 * judges.PIXELS
