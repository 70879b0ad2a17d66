"""The judge: a small convolutional network, trained on public images, that looks at reconstructions for the audit.

It shares nothing with the victim: neither its architecture, nor its training images, nor its random streams. It is
trained on pictures that were blurred and made noisy at random, so that it names what a patient eye could still name;
one that knows sharp pictures only would find too little in a reconstruction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from splitward.core.errors import NotApplicable
from splitward.core.knowledge import Samples
from splitward.core.run import Run
from splitward.models.training import Recipe, train

WIDTHS = (16, 32, 64, 64)
"""Channels of the layers."""
SIDE = 64
"""Pixels of the longer side at which larger images are looked at: the judge takes seconds, whatever the image."""
GROUPS = 4
"""Of channels, for the normalisation."""
PLACES = 2
"""The last layer is averaged over this many by this many parts of the picture: a face is known by what lies where."""
BATCH = 256
"""Pictures looked at at a time."""

FEWEST = 20
"""Public images below which there is no judge."""
HELD_BACK = 5
"""One in so many public images of each class is kept from the training, to measure the judge."""

SEEN, SEEN_PER_CLASS, SEEN_PER_IMAGE = 7000, 600, 6
"""Images shown in training, whichever is most: 99 % right on digits after 4 s of one core, and no better with more."""
PIXELS = 50_000_000
"""Pixels shown in training, at most (but never fewer than SEEN images): half a minute of one core."""

BLUR, NOISE = 2.0, 0.15
"""Largest standard deviation of the blur, in pixels, and of the noise, that the training pictures are given."""

RECIPE = Recipe(batch=32, learning_rate=8e-3, label_smoothing=0.05, rotate=8.0, translate=0.06, scale=0.08)


class Degrade(nn.Module):
    """While training, each picture under a blur and a noise of its own strength; otherwise the picture as it is."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to the same."""
        if not self.training:
            return images
        device, n = images.device, len(images)
        deviation = BLUR * torch.rand(n, 1, 1, generator=self.generator, device=device).clamp_min(0.05)

        def along(size: int) -> Tensor:  # (N, 1, size, size): a Gaussian blur of one side as a matrix
            place = torch.arange(size, dtype=torch.float32, device=device)
            weight = (-((place[:, None] - place) ** 2) / (2 * deviation**2)).exp()
            return (weight / weight.sum(2, keepdim=True))[:, None]

        blurred = along(images.shape[2]) @ images @ along(images.shape[3]).transpose(2, 3)
        strength = NOISE * torch.rand(n, 1, 1, 1, generator=self.generator, device=device)
        noise = torch.randn(images.shape, generator=self.generator, device=device)
        return (blurred + strength * noise).clamp(0, 1)


class JudgeNetwork(nn.Module):
    """Four 3x3 convolutions with group normalisation and max-pooling, means over quarters, a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        inputs = (channels, *WIDTHS[:-1])
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, padding=1) for i, o in zip(inputs, WIDTHS, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for width in WIDTHS)
        self.names = nn.Linear(WIDTHS[-1] * PLACES**2, classes)

    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The output of each layer for pixels (N, C, H, W) in [0, 1]."""
        layers: list[Tensor] = []
        values = 4 * (shrunk(images) - 0.5)  # pixels to about zero mean and unit deviation
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = F.max_pool2d(values, 2, ceil_mode=True) if layers else values
            values = F.relu(norm(convolution(values)))
            layers.append(values)
        return tuple(layers)

    def pooled(self, images: Tensor) -> Tensor:
        """The means of the last layer over the parts of the picture, (N, D)."""
        return F.adaptive_avg_pool2d(self.features(images)[-1].float(), PLACES).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, (N, classes)."""
        logits: Tensor = self.names(self.pooled(images))
        return logits


def shrunk(images: Tensor) -> Tensor:
    """Images whose longer side has at most ``SIDE`` pixels, by averaging over areas."""
    height, width = images.shape[2:]
    factor = SIDE / max(height, width)
    if factor >= 1:
        return images
    return F.interpolate(images, size=(max(1, round(height * factor)), max(1, round(width * factor))), mode="area")


@dataclass(frozen=True)
class TrainedJudge:
    """A judge, as ``splitward.core.judging.Judge`` describes it, and what its training came to.

    ``task``: what it was trained to tell, the ``classes`` of the public images or, where they have none, by which of
    four ``rotations`` a picture was turned (S. Gidaris, P. Singh, N. Komodakis, ICLR 2018). ``accuracy``: share of
    right answers on ``tested_on`` public images that it was not trained on; None without any.
    """

    network: JudgeNetwork
    classes: Tensor | None
    centre: Tensor
    task: Literal["classes", "rotations"]
    told_apart: int
    trained_on: int
    tested_on: int
    accuracy: float | None
    seed: int
    seconds: float

    @property
    def parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, ...]:
        """The output of each layer, float32."""
        return self.network.features(images)

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """(N, D) of unit length, after the mean over the public images was subtracted."""
        pooled = torch.cat([self.network.pooled(part) for part in images.split(BATCH)])
        return F.normalize(pooled - self.centre, dim=1)

    @torch.no_grad()
    def classify(self, images: Tensor) -> Tensor:
        """The label of each picture, (N,); raises NotApplicable where the judge knows no labels."""
        if self.classes is None:
            raise NotApplicable("the judge was trained without labels and can name no class.")
        index = torch.cat([self.network(part).argmax(1) for part in images.split(BATCH)])
        return self.classes[index]


def train_judge(public: Samples, run: Run) -> TrainedJudge:
    """A judge from ``public`` images, whose weights and order follow from ``run`` alone.

    Where they carry no labels, or all the same, it learns to tell rotations. Raises NotApplicable for fewer than 20
    images.
    """
    if len(public) < FEWEST:
        raise NotApplicable(f"{len(public)} public images are too few to train a judge on; {FEWEST} are the least.")
    classes, learn, test = _lesson(public, run)
    told_apart = 4 if classes is None else len(classes)
    with run.constructing("judge"):
        network = JudgeNetwork(public.images.shape[1], told_apart)
    model = nn.Sequential(Degrade(run.stream("degradation")), network)
    trained = train(model, learn, test if len(test) else learn[:1], _recipe(learn, told_apart), run)
    model.requires_grad_(False)
    with torch.no_grad():
        pooled = torch.cat([network.pooled(part) for part in public.images.to(run.device).split(BATCH)])
    return TrainedJudge(
        network=network,
        classes=classes,
        centre=pooled.mean(0),
        task="rotations" if classes is None else "classes",
        told_apart=told_apart,
        trained_on=trained.train_samples,
        tested_on=len(test),
        accuracy=trained.accuracy if len(test) else None,
        seed=run.seed,
        seconds=trained.seconds,
    )


def _lesson(public: Samples, run: Run) -> tuple[Tensor | None, Samples, Samples]:
    """The labels that are told apart, and what is learnt from and tested on, with their indices as labels."""
    images = public.images.to(run.device)
    labels = torch.zeros(len(images), dtype=torch.int64) if public.labels is None else public.labels
    classes, index = labels.to(run.device).unique(return_inverse=True)
    if len(classes) > 1:
        learn, test = _held_back(Samples(images, index, public.name), run.stream("held back"))
        return classes, learn, test
    learn, test = _held_back(Samples(images, index, public.name), run.stream("held back"))
    return None, _turned(learn), _turned(test)


def _held_back(samples: Samples, generator: Generator) -> tuple[Samples, Samples]:
    """One in ``HELD_BACK`` of each class apart from the others."""
    assert samples.labels is not None
    order = torch.randperm(len(samples), generator=generator, device=samples.labels.device)
    test = torch.zeros_like(samples.labels, dtype=torch.bool)
    for label in samples.labels.unique():
        members = order[samples.labels[order] == label]
        test[members[: len(members) // HELD_BACK]] = True
    return samples[~test], samples[test]


def _turned(samples: Samples) -> Samples:
    """Each image, cropped to its middle square, under the four rotations, which are its labels."""
    height, width = samples.images.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = samples.images[:, :, top : top + side, left : left + side]
    turned = torch.cat([square.rot90(quarter, (2, 3)) for quarter in range(4)])
    labels = torch.arange(4, device=turned.device).repeat_interleave(len(square))
    return Samples(turned, labels, samples.name)


def _recipe(learn: Samples, told_apart: int) -> Recipe:
    """The recipe with as many epochs as show enough images, and not too many pixels."""
    height, width = shrunk(learn.images[:1]).shape[2:]
    wanted = max(SEEN, SEEN_PER_CLASS * told_apart, SEEN_PER_IMAGE * len(learn))
    seen = min(wanted, max(SEEN, PIXELS // (height * width)))
    return Recipe(**{**RECIPE.__dict__, "epochs": math.ceil(seen / len(learn))})
