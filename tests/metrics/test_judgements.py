"""Judgements: against brute force with judges whose answers are known, and on real digits with a trained one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Samples
from splitward.core.registry import discover, find
from splitward.core.run import Run
from splitward.metrics import perceptual
from splitward.models.judge import train_judge

ORL = Path("/work/shared/data/orl_faces.npz")
CPU = torch.device("cpu")


class Told:
    """A judge whose features, embeddings and names are read off the picture's first pixels."""

    def __init__(self, classes=None):
        self.classes = classes

    def features(self, images):
        return images, F.avg_pool2d(images, 2)

    def embed(self, images):
        return F.normalize(images[:, 0, 0, :2] - 0.5, dim=1)

    def classify(self, images):
        return self.classes[(images[:, 0, 0, 2] * (len(self.classes) - 1)).round().long()]


def random_samples(count, seed=0, labels=3):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 2, 4, 6, generator=generator)
    return Samples(images, torch.arange(count) % labels, f"random {seed}")


@pytest.fixture(scope="session")
def judge(digits):
    return train_judge(digits.public, Run(0, CPU).child("judge"))


def prepared(name, judge, secrets, others=None):
    return find("judgement", name)().prepare(judge, secrets, others)


def brute_force_distance(judge, guess, truth):
    """Zhang et al., eq. 1, with loops: unit vectors over the channels, mean over places, then over layers."""
    layers = []
    for x, y in zip(judge.features(guess[None]), judge.features(truth[None]), strict=True):
        a_layer, b_layer = x[0].double().numpy(), y[0].double().numpy()
        total = 0.0
        for row in range(a_layer.shape[1]):
            for column in range(a_layer.shape[2]):
                a, b = a_layer[:, row, column], b_layer[:, row, column]
                total += float(((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum())
        layers.append(total / (a_layer.shape[1] * a_layer.shape[2]))
    return float(np.mean(layers))


def test_perceptual_distance_is_equation_1(monkeypatch):
    monkeypatch.setattr(perceptual, "BATCH", 2)  # several batches
    secrets, guess = random_samples(5), random_samples(5, 1).images
    expected = [brute_force_distance(Told(), g, t) for g, t in zip(guess, secrets.images, strict=True)]
    assert prepared("perceptual", Told(), secrets).score(guess).tolist() == pytest.approx(expected, rel=1e-5)


def test_perceptual_distance_to_itself_is_zero_and_grows_with_blur(judge, digits):
    secrets = digits.held_out[:60]
    yardstick = prepared("perceptual", judge, secrets)
    assert yardstick.score(secrets.images).abs().max() == 0
    means = [yardstick.score(blurred(secrets.images, sigma)).mean().item() for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert means == sorted(means)
    assert 0 < means[0] < means[-1]
    assert means[1] < yardstick.chance


def blurred(images, sigma):
    place = torch.arange(-12, 13)
    kernel = (-(place**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    padded = F.pad(images, (12, 12, 12, 12), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).clamp(0, 1)


def test_perceptual_chance_is_the_distance_of_other_originals():
    secrets = random_samples(9)
    pairs = [
        brute_force_distance(Told(), secrets.images[i], secrets.images[j]) for i in range(9) for j in range(9) if i != j
    ]
    assert prepared("perceptual", Told(), secrets).chance == pytest.approx(np.mean(pairs), rel=1e-5)
    assert prepared("perceptual", Told(), secrets[:1]).chance is None


def test_a_zero_feature_is_no_nan():
    black = Samples(torch.zeros(3, 1, 4, 4), None)
    assert prepared("perceptual", Told(), black).score(black.images).tolist() == [0, 0, 0]


def test_semantic_compares_names_with_labels():
    secrets = random_samples(6)
    named = secrets.images.clone()
    named[:, 0, 0, 2] = torch.tensor([0, 1, 2, 0, 0, 0]) / 2
    yardstick = prepared("semantic", Told(torch.arange(3)), secrets)
    assert yardstick.score(named).tolist() == [1, 1, 1, 1, 0, 0]
    assert yardstick.chance == pytest.approx(1 / 3)


def test_the_judge_names_originals_at_its_accuracy_and_grey_at_chance(judge, digits):
    """Its accuracy was measured on public images; these are others. Three standard deviations either way."""
    yardstick = prepared("semantic", judge, digits.held_out)
    originals = yardstick.score(digits.held_out.images).mean().item()
    assert originals > 0.95
    assert abs(originals - judge.accuracy) < 3 * (0.25 * 0.2 / judge.tested_on) ** 0.5
    grey = yardstick.score(torch.full_like(digits.held_out.images, 0.5)).mean().item()
    assert abs(grey - yardstick.chance) < 0.05
    shuffled = yardstick.score(digits.held_out.images[torch.randperm(len(digits.held_out))]).mean().item()
    assert abs(shuffled - yardstick.chance) < 0.05


def test_a_picture_of_the_released_label_alone_is_named(judge, digits):
    """The floor of the released label: the public mean image of the class tells the class, and shows nobody's digit."""
    public, secrets = digits.public, digits.held_out
    means = torch.stack([public.images[public.labels == c].mean(0) for c in range(10)])
    guess = means[secrets.labels]
    assert prepared("semantic", judge, secrets).score(guess).mean() > 0.85
    assert prepared("match", judge, secrets).score(guess).mean() > 0.85
    yardstick = prepared("perceptual", judge, secrets)
    assert 0.1 < yardstick.score(guess).mean() < yardstick.chance


def test_match_is_a_brute_force_search_of_the_others():
    judge, secrets, others = Told(torch.arange(3)), random_samples(7), random_samples(12, 1, labels=4)
    guess = random_samples(7, 2).images
    gallery = [(secrets.images[i], int(secrets.labels[i]), i) for i in range(7)]
    gallery += [(others.images[i], int(others.labels[i]), None) for i in range(12) if int(others.labels[i]) < 3]
    expected, chances = [], []
    for i in range(7):
        rivals = [(image, label) for image, label, own in gallery if own != i]
        alike = [float(judge.embed(guess[i : i + 1])[0] @ judge.embed(image[None])[0]) for image, _ in rivals]
        expected.append(float(rivals[int(np.argmax(alike))][1] == int(secrets.labels[i])))
        chances.append(np.mean([label == int(secrets.labels[i]) for _, label in rivals]))
    yardstick = prepared("match", judge, secrets, others)
    assert yardstick.score(guess).tolist() == expected
    assert yardstick.chance == pytest.approx(np.mean(chances))


def test_match_does_not_find_the_secret_itself():
    """Two pictures of each of two people who cannot be told apart: a copy of the secret is nearest to itself only."""
    images = torch.full((4, 1, 4, 4), 0.5)
    for i, angle in enumerate((0.0, 3.0, 0.1, 3.1)):
        images[i, 0, 0, :2] = 0.5 + 0.4 * torch.tensor([np.cos(angle), np.sin(angle)])
    secrets = Samples(images, torch.tensor([0, 0, 1, 1]))
    assert prepared("match", Told(torch.arange(2)), secrets).score(images).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("name", "judge", "secrets", "why"),
    [
        ("semantic", Told(), random_samples(4), "public images carry no labels"),
        ("match", Told(), random_samples(4), "public images carry no labels"),
        ("semantic", Told(torch.arange(2)), Samples(torch.rand(4, 1, 4, 4), None), "secrets carry no labels"),
        ("match", Told(torch.arange(2)), Samples(torch.rand(4, 1, 4, 4), None), "secrets carry no labels"),
        ("semantic", Told(torch.arange(2)), random_samples(6), "2 of 6 secrets are of a class"),
        ("match", Told(torch.arange(3)), random_samples(4), "2 of 4 secrets have a label that no other"),
        ("match", Told(torch.arange(3)), random_samples(4, labels=1), "all have one label"),
    ],
)
def test_what_cannot_be_judged_says_why(name, judge, secrets, why):
    with pytest.raises(NotApplicable, match=why):
        prepared(name, judge, secrets)


def test_the_registry_knows_them():
    assert set(discover("judgement")) >= {"match", "perceptual", "semantic"}
    assert not set(discover("judgement")) & set(discover("metric"))


def orl():
    """Faces at 56x46: 20 people as public images, 20 others as secrets."""
    if not ORL.is_file():
        pytest.skip(f"needs the ORL faces in {ORL}")
    with np.load(ORL) as stored:
        images = torch.from_numpy(stored["images"]).float()[:, None] / 255
        people = torch.from_numpy(stored["subject"]).long()
    images = F.interpolate(images, size=(56, 46), mode="area").clamp(0, 1)
    public = people % 2 == 0
    return Samples(images[public], people[public], "ORL, even"), Samples(images[~public], people[~public], "ORL, odd")


@pytest.mark.slow
def test_people_who_were_never_seen_are_recognised():
    public, secrets = orl()
    judge = train_judge(public, Run(0, CPU).child("judge"))
    yardstick = prepared("match", judge, secrets)
    assert yardstick.chance == pytest.approx(9 / 199)
    assert yardstick.score(secrets.images).mean() > 0.95
    assert yardstick.score(blurred(secrets.images, 2.0)).mean() > 0.7
    assert abs(yardstick.score(torch.full_like(secrets.images, 0.5)).mean() - yardstick.chance) < 0.02
    with pytest.raises(NotApplicable, match="200 of 200 secrets are of a class that no public image shows"):
        prepared("semantic", judge, secrets)
