"""Fisher's information about the pixels that noise leaves in what crosses, band by band of pixel space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy import stats
from torch import Generator, Tensor

from splitward.bounds.channel import Noise
from splitward.bounds.jacobian import Map, energies, flattened, principal_directions, self_check, units
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.record.certificate import Band

EXACT = 1024
"""Pixels up to which every direction is looked at."""
BANDS, PROBES = 32, 64
CHECKED = 2
"""Images at which the derivatives are checked."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Measured:
    """Energies u^T J^T J u, (images, bands) float64, the mean over the directions of a band; and how they came about.

    ``largest``: for each image, the limit of Tr(J^T J) / d; its value where all directions were looked at.
    """

    energies: Tensor
    directions: tuple[int, ...]
    largest: Tensor
    method: str
    self_check: float

    @property
    def pixels(self) -> int:
        """Of one image."""
        return sum(self.directions)

    @property
    def weights(self) -> Tensor:
        """The share of pixel space that each band takes."""
        return torch.tensor(self.directions, dtype=torch.float64, device=self.energies.device) / self.pixels

    @property
    def traces(self) -> Tensor:
        """Tr(J^T J) / d of each image."""
        return self.energies @ self.weights

    def bands(self) -> tuple[Band, ...]:
        """Each mean over images with its upper limit, all of which hold together (Student's t, Bonferroni)."""
        means, limits = self.energies.mean(0), upper_limits(self.energies, CONFIDENCE)
        rows = zip(self.directions, limits.tolist(), means.tolist(), strict=True)
        return tuple(Band(directions=n, energy=limit, energy_mean=mean) for n, limit, mean in rows)

    def worst(self, information: float, floor: float) -> float:
        """The least, over the images, of the mean of 1 / (information x energy + floor): 1 / floor = dither^2."""
        per_image = (1 / (information * self.energies + floor)) @ self.weights
        return (
            float(per_image.min()) if self.method != "probes" else 1 / (information * float(self.largest.max()) + floor)
        )


def upper_limits(values: Tensor, confidence: float) -> Tensor:
    """Of the mean of each column of independent rows (n, m): one-sided, by Student's t at (1 - confidence) / m."""
    n, m = values.shape
    t = float(stats.t.ppf(1 - (1 - confidence) / m, n - 1))
    return values.mean(0) + t * values.std(0) / math.sqrt(n)


def seen_by_noise(edge: Edge, chain: Chain, noise: Noise, generator: Generator) -> Map:
    """From pixels to the numbers that the noise is added to; other noise on the way is drawn anew at each call.

    What acts just before the noise is left out: it is in the noise's variance, by its expansion.
    """
    if noise.position == "input":
        return flattened(edge.normalise)
    at_input = chain.at("input")

    def numbers(pixels: Tensor) -> Tensor:
        normalised = edge.normalise(pixels)
        if at_input:
            zero = torch.zeros_like(normalised[:1]).detach()
            frozen = torch.Generator(pixels.device).manual_seed(seed)
            normalised = normalised + at_input.sample(zero, frozen)
        return body(normalised)

    seed = int(torch.randint(1 << 62, (1,), generator=generator, device=generator.device))
    body = flattened(edge.body)
    return numbers


def measure(
    edge: Edge, chain: Chain, noise: Noise, images: Tensor, dither: float, generator: Generator, probes: int | None
) -> Measured:
    """Energies at ``images`` (N, C, H, W) with the dither on them, each image with its own draws.

    Up to 1,024 pixels the bands follow the eigenvectors of J^T J at one draw, and the energies are taken at another, so
    that their mean is not biased by the choice. Beyond, the trace alone: exactly with ``probes`` 0, else by as many
    normal probes v, of which E|J v|^2 is the trace. Raises BoundError where the derivatives are wrong.
    """
    pixels = images[0].numel()
    probes = (PROBES if pixels > EXACT else 0) if probes is None else probes

    def dithered(image: Tensor) -> Tensor:
        return image + dither * torch.randn(image.shape, generator=generator, device=image.device)

    few = torch.stack([dithered(image) for image in images[:CHECKED]])
    worst = self_check(seen_by_noise(edge, chain, noise, generator), few, generator)
    shares = torch.tensor_split(torch.arange(pixels), min(BANDS, pixels) if pixels <= EXACT and not probes else 1)
    rows, largest = [], []
    for image in images:
        there, numbers = dithered(image), seen_by_noise(edge, chain, noise, generator)
        if probes:
            shape = (probes, *image.shape)
            directions = torch.randn(shape, generator=generator, device=image.device)
        else:
            other = seen_by_noise(edge, chain, noise, generator)
            directions = principal_directions(other, dithered(image)) if len(shares) > 1 else units(image)
        found = energies(numbers, there, directions)
        found = found.mean(0, keepdim=True).div(pixels) if probes else found
        rows.append(torch.stack([found[share.to(found.device)].mean() for share in shares]) if not probes else found)
        largest.append(float(found.mean()) * (probe_limit(probes) if probes else 1.0))
    method = "probes" if probes else "bands" if len(shares) > 1 else "trace"
    sizes = tuple(len(share) for share in shares)
    return Measured(torch.stack(rows), sizes, torch.tensor(largest, dtype=torch.float64), method, worst)


def probe_limit(probes: int, confidence: float = CONFIDENCE) -> float:
    """By which factor a trace may exceed the mean of ``probes`` normal quadratic forms, at most.

    mean >= Tr M - 2 |M|_F sqrt(t / p) with probability 1 - e^-t (Laurent and Massart 2000, lemma 1), and |M|_F <= Tr M;
    infinite for so few probes that nothing follows.
    """
    short = 2 * math.sqrt(math.log(1 / (1 - confidence)) / probes)
    return 1 / (1 - short) if short < 1 else math.inf
