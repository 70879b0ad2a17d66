"""The floor of the released answer: as strong as the class mean at least, and nothing where nothing is released."""

import dataclasses

import pytest
import torch
from torch import nn

from splitward.attacks import allowed as module
from splitward.attacks._training import picture_loss
from splitward.attacks.allowed import Allowed, ClassMeans
from splitward.attacks.inverse_network import InverseNetwork
from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Released, Samples
from splitward.core.run import Run
from splitward.core.spec import TensorSpec

IMAGE = TensorSpec((1, 16, 16))
SMALL = Allowed(steps=40, batch=32, width=16)


def pictures(count, seed):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 4, 4, generator=generator)
    images = nn.functional.interpolate(coarse, size=16, mode="bilinear")
    return Samples(images, images.mean((1, 2, 3)).gt(0.5).long())


def one_hot(labels, k=1):
    return nn.functional.one_hot(labels, 3).float()[:, None].expand(-1, k, -1)


def play(floor, kind, known, theirs, seed=0):
    run = Run(seed, torch.device("cpu"))
    public, secrets = pictures(200, 1), pictures(30, 2)
    guess = floor.prepare(Released(IMAGE, public, known(public), kind), run)(theirs(secrets), 30)
    assert guess.shape == secrets.images.shape
    assert guess.min() >= 0
    assert guess.max() <= 1
    mean = public.images.mean(0)
    return float((guess - secrets.images).square().mean() / (mean - secrets.images).square().mean()), run


def test_nothing_released_is_not_applicable():
    released = Released(IMAGE, pictures(20, 1), None, "none")
    with pytest.raises(NotApplicable, match="nothing is released"):
        Allowed().prepare(released, Run(0, torch.device("cpu")))


@pytest.mark.parametrize("steps", [0, 40])
def test_a_label_gives_at_least_the_class_mean(steps):
    floor = dataclasses.replace(SMALL, steps=steps, structure=0.0)
    share, run = play(floor, "label", lambda s: one_hot(s.labels), lambda s: one_hot(s.labels))
    public, secrets = pictures(200, 1), pictures(30, 2)
    means = ClassMeans(one_hot(public.labels), public.images)(one_hot(secrets.labels))
    mean = public.images.mean(0)
    reference = float((means - secrets.images).square().mean() / (mean - secrets.images).square().mean())
    assert reference < 0.97
    assert share < 1.05 * reference
    assert run.trace["decoder"]


def test_a_label_has_one_picture_which_is_better_than_the_class_mean():
    """By the loss that the attacks have too: a mean of pictures is no picture of the same structure."""
    public, run = pictures(2000, 1), Run(0, torch.device("cpu"))
    floor = dataclasses.replace(SMALL, steps=200, structure=1.0)
    released = Released(IMAGE, public, one_hot(public.labels), "label")
    guess = floor.prepare(released, run)(one_hot(torch.tensor([0, 1, 0, 1])), 4)
    assert torch.equal(guess[:2], guess[2:])
    means = ClassMeans(one_hot(public.labels), public.images)(one_hot(public.labels))
    table = guess[public.labels]
    assert picture_loss(table, public.images, 1.0) < picture_loss(means, public.images, 1.0) - 0.002


TAUGHT = [("label", 2, {}), ("probabilities", 1, {}), ("label", 1, {"ENOUGH": 150}), ("label", 1, {"TABLE_NUMBERS": 9})]


@pytest.mark.parametrize(("kind", "k", "limits"), [*TAUGHT, ("label", 1, {})])
def test_only_one_label_of_many_images_takes_no_decoder(kind, k, limits, monkeypatch):
    taught = []
    monkeypatch.setattr(module, "teach", lambda decoder, *_: taught.append(decoder))
    for name, value in limits.items():
        monkeypatch.setattr(module, name, value)
    floor = dataclasses.replace(SMALL, steps=2, observations=k)
    play(floor, kind, lambda s: one_hot(s.labels, k), lambda s: one_hot(s.labels, k))
    assert len(taught) == ((kind, k, limits) in TAUGHT)


def test_the_picture_of_a_label_is_learnt_from_several_draws_and_the_same_for_the_same_seed():
    """Answers of a noisy device: four draws for each public image, one for a secret."""
    public = pictures(400, 1)
    draws = one_hot(public.labels, 4).clone()
    draws[:, 3] = draws[:, 3].roll(1, 0)
    released = Released(IMAGE, public, draws, "label")
    ask = one_hot(torch.tensor([0, 1, 2]))
    first, again, other = (SMALL.prepare(released, Run(s, torch.device("cpu")))(ask, 3) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.allclose(first[2], public.images.mean(0), atol=0.02)  # the label that nobody has


def test_class_means_are_the_means_of_the_classes():
    public = pictures(50, 1)
    means = ClassMeans(one_hot(public.labels), public.images)
    answers = one_hot(torch.tensor([0, 1, 2]))
    expected = [public.images[public.labels == c].mean(0) for c in (0, 1)]
    assert torch.allclose(means(answers)[:2], torch.stack(expected), atol=1e-6)
    assert torch.allclose(means(answers)[2], public.images.mean(0))  # a class that nobody has


def test_richer_answers_give_more():
    """The answer holds a thumbnail of the picture: the floor finds it."""
    share, _ = play(SMALL, "logits", thumbnails, thumbnails)
    assert share < 0.1


def thumbnails(samples):
    return nn.functional.avg_pool2d(samples.images, 4).flatten(1)[:, None]


def test_answers_that_say_nothing_leave_the_mean_image():
    def noise(samples):
        return torch.randn(len(samples), 1, 6, generator=torch.Generator().manual_seed(len(samples)))

    share, _ = play(SMALL, "logits", noise, noise)
    assert share < 1.05


def test_more_draws_of_a_noisy_answer_say_more():
    def noisy(k):
        def answers(samples):
            generator = torch.Generator().manual_seed(len(samples))
            clean = thumbnails(samples).expand(-1, k, -1)
            return clean + 0.5 * torch.randn(clean.shape, generator=generator)

        return answers

    one, _ = play(SMALL, "logits", noisy(4), noisy(1))  # several draws of the public answers are known
    five, _ = play(dataclasses.replace(SMALL, observations=5), "logits", noisy(5), noisy(5))
    assert five < 0.8 * one


def test_the_same_seed_gives_the_same_bytes():
    public, secrets = pictures(60, 1), pictures(5, 2)
    released = Released(IMAGE, public, thumbnails(public), "logits")
    guesses = [
        dataclasses.replace(SMALL, steps=5).prepare(released, Run(s, torch.device("cpu")))(thumbnails(secrets), 5)
        for s in (1, 1, 2)
    ]
    assert torch.equal(guesses[0], guesses[1])
    assert not torch.equal(guesses[0], guesses[2])


def test_has_the_attacks_own_effort():
    for effort, fields in Allowed.efforts.items():
        theirs = InverseNetwork(**InverseNetwork.efforts[effort])
        ours = Allowed(**fields)
        assert all(
            getattr(ours, n) == getattr(theirs, n) for n in ("steps", "laps", "batch", "width", "depth", "structure")
        )
