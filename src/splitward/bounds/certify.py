"""A certificate for an edge and its chain of defences: every bound that holds, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from splitward.bounds import accounting, candidates
from splitward.bounds.channel import Noise, bits_a_number, noises
from splitward.bounds.fisher import Measured, measure
from splitward.bounds.jacobian import flattened
from splitward.core.defence import Chain
from splitward.core.edge import Edge
from splitward.core.errors import BoundError, in_one_line
from splitward.core.knowledge import as_tuple
from splitward.record.certificate import COUNTED, Certificate, Privacy, any_mse, prior_mse, unbiased_mse
from splitward.record.statements import statements

DITHER = 0.1
SAMPLES = 16
FEWEST_PROBES = 16
"""From fewer, no limit follows for a single image."""


@dataclass(frozen=True)
class Settings:
    """``observations``: with independent noise. ``dither``: of the secrets, see ``Certificate``. ``samples``: images at
    which the edge is differentiated. ``probes``: None for exact derivatives up to 1,024 pixels and 64 probes beyond.
    ``delta``, ``queries``: of differential privacy.
    """  # fmt: skip

    observations: int = 1
    dither: float = DITHER
    samples: int = SAMPLES
    probes: int | None = None
    delta: float = accounting.DELTA
    queries: int = 1

    def __post_init__(self) -> None:
        accounting.refuse(self.delta, self.queries)
        for name, least in (("observations", 1), ("samples", 2)):
            if getattr(self, name) < least:
                raise BoundError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if not 0 < self.dither <= 1:
            raise BoundError(f"the dither is a standard deviation of pixels in [0, 1], above 0, not {self.dither:g}.")
        if self.probes is not None and not (self.probes == 0 or self.probes >= FEWEST_PROBES):
            raise BoundError(f"probes is {self.probes}; it must be 0 (exact), or {FEWEST_PROBES} or more.")


def certify(edge: Edge, chain: Chain, images: Tensor, generator: Generator, settings: Settings) -> Certificate:
    """What no attacker can beat on secrets like ``images`` (N, C, H, W) in [0, 1], drawn from where secrets are.

    Where nothing can be proved the certificate says so, with the reason; it is never an error.
    """
    found: list[Certificate] = []
    reasons: list[str] = []
    try:
        for noise in noises(chain):
            try:
                found.append(_bounded(edge, chain, noise, images, generator, settings))
            except (BoundError, RuntimeError) as error:  # torch's own too: no audit fails for want of a certificate
                reasons.append(_told(error))
    except BoundError as error:
        reasons.append(str(error))
    bits = _bits(edge, chain, images, settings.observations)
    made = max(found, key=lambda c: (c.any_mse or 0.0, c.unbiased_mse or 0.0), default=None) or Certificate(
        status="empirical-only" if bits is None else "counted", reason=" ".join(reasons),
        noise="" if bits is None else str(chain), observations=settings.observations, pixels=images[0].numel(),
    )  # fmt: skip
    made = made.model_copy(update={"bits": bits, "fresh": bits is not None and chain.draws})
    return made.model_copy(update={"statements": statements(made)})


@torch.no_grad()
def _bits(edge: Edge, chain: Chain, images: Tensor, observations: int) -> int | None:
    """Bits that all observations of one input together can say, at most; None where they are many or not counted.

    Each release is one of 2^bits messages, and where nothing is drawn, every release of an input is the same.
    """
    each = bits_a_number(chain)
    if each is None:
        return None
    sent = as_tuple(edge(images[:1]))
    bits = each * sum(part.numel() for part in sent) * (observations if chain.draws else 1)
    return bits if bits <= COUNTED and all(part.is_floating_point() for part in sent) else None


def _told(error: Exception) -> str:
    known = isinstance(error, BoundError)
    return str(error) if known else f"a bound could not be computed ({in_one_line(error).rstrip('. ')})."


def _bounded(
    edge: Edge, chain: Chain, noise: Noise, images: Tensor, generator: Generator, settings: Settings
) -> Certificate:
    """From one noise of the chain alone."""
    k, floor = settings.observations, 1 / settings.dither**2
    order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
    some = images[order[: settings.samples]]
    if len(some) < 2:
        raise BoundError("there are fewer than 2 images to differentiate the edge at.")
    with torch.no_grad():
        found = measure(edge, chain, noise, some, settings.dither, generator, settings.probes)
    if not float(found.energies.sum()) > 0:
        raise BoundError("what crosses does not depend on the input at any image that was looked at.")
    flat = images[order[: candidates.MOST]].flatten(1)
    prior = candidates.prior_information(flat[: candidates.NUMBERS // flat.shape[1]], settings.dither, generator)
    listed, on_the_list = _on_the_list(edge, chain, noise, images[order], k, generator)
    bare = Certificate(
        status="bounded", noise=str(noise), variance=noise.variance, observations=k, pixels=found.pixels,
        dither=settings.dither, samples=len(some), method=found.method, bands=found.bands(),
        prior_information=prior[0], prior_information_upper=min(prior[1], floor), self_check=found.self_check,
        candidates=listed, candidates_mse=on_the_list and on_the_list[0],
        candidates_mse_low=on_the_list and on_the_list[1], privacy=_privacy(edge, noise, images[:1], settings),
    )  # fmt: skip
    return bare.model_copy(update=_fisher(bare, found, noise))


def _fisher(bare: Certificate, found: Measured, noise: Noise) -> dict[str, float]:
    """The numbers that follow from the bands and from single images."""
    assert bare.dither is not None
    k, worst = bare.observations, float(found.largest.max())
    return {
        "dfil": float(found.traces.mean()) / noise.variance,
        "dfil_upper": bare.trace / noise.variance,
        "dfil_worst": worst / noise.variance,
        "unbiased_mse": unbiased_mse(bare, k),
        "unbiased_worst_mse": noise.variance / (k * worst),
        "any_mse": any_mse(bare, k),
        "prior_mse": prior_mse(bare, k),
        "any_worst_mse": found.worst(k / noise.variance, 1 / bare.dither**2),
    }


def _list(edge: Edge, chain: Chain, noise: Noise, images: Tensor) -> tuple[Tensor, Tensor] | None:
    """What the noise is added to (n, a), and the images (n, d) it stands for; None where that is not fixed."""
    if noise.before or (noise.position == "wire" and chain.at("input")):
        return None
    body = flattened(edge.normalise if noise.position == "input" else edge)
    with torch.no_grad():
        numbers = max(body(images[:1]).shape[1], images[0].numel())
        some = images[: max(2, min(candidates.MOST, candidates.NUMBERS // numbers))]
        return torch.cat([body(part) for part in some.split(256)]), some.flatten(1)


def _on_the_list(
    edge: Edge, chain: Chain, noise: Noise, images: Tensor, observations: int, generator: Generator
) -> tuple[int, tuple[float, float] | None]:
    """How many candidates, and the error of who holds them all; where nothing acts before the noise."""
    listed = _list(edge, chain, noise, images)
    if listed is None:
        return 0, None
    if all(c.name == "gaussian" for c in noise.noises):
        return len(listed[0]), candidates.normal(*listed, (noise.variance / observations) ** 0.5, generator)
    return candidates.general(*listed, Chain(noise.noises), observations, generator) or (0, None)


def listed_variance(
    edge: Edge, chain: Chain, images: Tensor, made: Certificate, target_mse: float, generator: Generator
) -> float:
    """The variance at which an attacker who holds the images errs by ``target_mse``. Raises BoundError.

    For the normal noise on which ``made`` rests, and as many observations.
    """
    noise = next(noise for noise in noises(chain) if str(noise) == made.noise)
    listed = _list(edge, chain, noise, images)
    if listed is None or not all(c.name == "gaussian" for c in noise.noises):
        raise BoundError("computed for normal noise with nothing before it only.")
    return candidates.scale_for(*listed, target_mse, generator) ** 2 * made.observations


def _privacy(edge: Edge, noise: Noise, image: Tensor, settings: Settings) -> Privacy | None:
    """Where the noise follows a clipping, and is of one kind that has an account."""
    kinds = {c.name for c in noise.noises}
    if not noise.radius < float("inf") or len(noise.noises) > 1 or not kinds <= {"gaussian", "laplace"}:
        return None
    with torch.no_grad():
        sent = edge.normalise(image) if noise.position == "input" else edge(image)
    parts = (sent,) if isinstance(sent, Tensor) else tuple(sent)
    span = 2 * noise.radius * len(parts) ** 0.5
    level = noise.noises[0].level
    if kinds == {"gaussian"}:
        epsilon = accounting.gaussian_epsilon(span / level, settings.delta, settings.queries)
    else:
        numbers = sum(p.numel() for p in parts)
        one = accounting.laplace_epsilon(span * numbers**0.5, level)
        epsilon = accounting.pure_epsilon(one, settings.delta, settings.queries)
    return Privacy(clip=noise.radius, queries=settings.queries, delta=settings.delta, epsilon=epsilon)
