"""Is ``log_density`` that of the draws? A test that needs no constant, so no normalised density either.

Let s be drawn for the clean value c, s' for another one c', and R = p(s | c') / p(s | c) as log_density has it. For any
f, E[f(s) R(s)] = E[f(s')] (importance sampling; with f = 1 it is E[R] = 1). Three bounded choices of f are looked at:

- f = min(1, B / R), the ratio cut off at B;
- f = w(log R) / (1 + R), with w the identity cut off at both ends: the score of the slope with which log R would
  have to be multiplied to be right (calibration: D. R. Cox, Biometrika 45, 1958);
- f = h min(1, B / R), with h from -1 to 1 for draws that lie towards c or c': a density that is calibrated because it
  says nothing (or not all that there is to say) is seen by this alone.

Their differences d have mean 0 exactly if the ratio is right, and lie in [-1, 4]. The p-value is that of a bet: who
stakes a share a of what he has on each d owns prod(1 + a d) in the end, 1 on average; more than x with a probability of
at most 1 / x (J. Ville 1939; I. Waudby-Smith and A. Ramdas, JRSS B 86, 2024). It is exact for any law of d.

c' is c with some entries moved by the size of the noise, and c with some entries set to zero. The first tells scales
and shapes, the second the mass of a dropout. Point masses, which log_density widens, are kept narrow beside both.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from splitward.audit.draws import Look, Scales, draw
from splitward.core.defence import Channel

MOVED, ZEROED = 16, 2
"""Entries that are changed at most. Two zeros tell a mass better than one, more are too rarely sent together."""
SIZES = (1.5, 3.0, 4.5)
"""How far c' is from c in units of the median change: one to three standard deviations of a normal law."""
CAP = 4.0
"""B: where the ratio is cut off."""
CLEAR = 0.05
"""An entry is set to zero only where it is larger than this, in units of the root mean square."""
NARROW = 1e-4
"""Width of point masses in units of the smaller scale."""
STAKES = (0.02, 0.05, 0.1, 0.2, 0.4, -0.02, -0.05, -0.1, -0.2)
"""Shares that are staked; 1 + a d > 0 for d in [-1, 4]."""
FURTHEST = 99.0
"""A factor that is told as no more than that."""
CHUNK = 1 << 17
"""Numbers that are drawn at once."""

RATIO = "the mean ratio of likelihoods by its log_density"
SLOPE = "the factor that makes the differences of its log_density right"
SIDE = "the mean side of the draws, weighed by its log_density,"
IMPOSSIBLE = "the share of draws that its log_density calls impossible"


def weigh(
    device: Channel, told: Channel, clean: Tensor, scales: Scales, rows: int, generator: Generator
) -> Look | None:
    """Test the log_density of ``told`` on ``rows`` draws, twice as many where c' is moved; None without one.

    ``clean``: (M, *shape), gone through again and again.
    """
    tolerance = NARROW * min(scales.clean, scales.change)
    if told.log_density(clean[:1], clean[:1], tolerance) is None:
        return None
    looks = []
    for change, count in ((_moved, 2 * rows), (_zeroed, rows)):  # a scale is harder to tell than a mass
        others = change(clean.flatten(1), scales, count, generator)
        found = []
        for index in torch.arange(count, device=clean.device).split(max(1, CHUNK // clean[0].numel())):
            here = clean[index % len(clean)]
            seats, values = (part[index] for part in others)
            there = here.flatten(1).scatter(1, seats, values).view_as(here)
            sent = draw(device, here, generator), draw(device, there, generator)
            ratios = _log_ratios(told, sent, (here, there), tolerance)
            sides = [_side(drawn, here, there, seats, scales) for drawn in sent]
            found.append(torch.stack([*ratios, *sides]))
        looks += _judge(*torch.cat(found, 1).double())
    least = min(looks, key=lambda look: look.p)
    return Look(min(1.0, len(looks) * least.p), least.quantity, least.device, least.described)


def _moved(clean: Tensor, scales: Scales, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Seats and new values, (rows, count): up to 16 entries are moved, in half of the rows all to the same side."""
    count = min(MOVED, clean.shape[1])
    seats = torch.randint(clean.shape[1], (rows, count), generator=generator, device=clean.device)

    def pick(values: tuple[float, ...], *shape: int) -> Tensor:
        index = torch.randint(len(values), shape, generator=generator, device=clean.device)
        return torch.tensor(values, dtype=clean.dtype, device=clean.device)[index]

    sides, common = pick((-1.0, 1.0), rows, count), pick((0.0, 1.0), rows, 1)
    sides = common * sides[:, :1] + (1 - common) * sides
    return seats, _at(clean, seats) + sides * pick(SIZES, rows, 1) * scales.change / math.sqrt(count)


def _zeroed(clean: Tensor, scales: Scales, rows: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Seats and new values, (rows, count): up to 2 entries are set to zero, of those that are clearly not."""
    images, count = len(clean), min(ZEROED, clean.shape[1])
    clear = clean.abs() >= CLEAR * scales.clean
    weights = clear.float() + (~clear.any(1, keepdim=True)).float()
    each = -(-rows // images)
    seats = torch.multinomial(weights, each * count, replacement=True, generator=generator)
    seats = seats.view(images, each, count).transpose(0, 1).reshape(-1, count)[:rows]
    old = _at(clean, seats)
    return seats, torch.where(old.abs() >= CLEAR * scales.clean, torch.zeros_like(old), old)


def _at(clean: Tensor, seats: Tensor) -> Tensor:
    """The values at some seats, (rows, count), of images that are gone through again and again."""
    return clean[torch.arange(len(seats), device=clean.device)[:, None] % len(clean), seats]


def _log_ratios(
    told: Channel, sent: tuple[Tensor, Tensor], clean: tuple[Tensor, Tensor], tolerance: float
) -> list[Tensor]:
    """log R of the draws for c and of those for c', each (n,). NaN where the density denies what was drawn."""

    def density(sent: Tensor, clean: Tensor) -> Tensor:
        value = told.log_density(sent, clean, tolerance)
        return torch.full_like(clean.flatten(1)[:, 0], math.nan) if value is None else value.reshape(-1)

    ratios = []
    for drawn, own in zip(sent, (0, 1), strict=True):
        values = [density(drawn, one) for one in clean]
        possible = torch.isfinite(values[own])
        ratios.append(torch.where(possible, values[1] - values[0], torch.full_like(values[0], math.nan)))
    return ratios


def _side(sent: Tensor, here: Tensor, there: Tensor, seats: Tensor, scales: Scales) -> Tensor:
    """h: from -1 for draws that lie towards c to 1 for those towards c', (n,); ``seats`` are the changed entries."""
    sent, here, there = (tensor.flatten(1).gather(1, seats) for tensor in (sent, here, there))
    step = there - here
    along = ((sent - (here + there) / 2) * step).sum(1) / step.norm(dim=1).clamp_min(1e-30)
    return torch.tanh((along / scales.change).nan_to_num(0.0, 0.0, 0.0))


def _judge(near: Tensor, far: Tensor, near_side: Tensor, far_side: Tensor) -> list[Look]:
    """The three identities, from log R and h of the draws for c (near) and of those for c' (far), each (rows,)."""
    ratios = torch.stack([near, far])
    if bool(ratios.isnan().any()):
        return [Look(0.0, IMPOSSIBLE, ratios.isnan().double().mean().item(), 0.0)]
    here, there = near.clamp_max(math.log(CAP)).exp(), (math.log(CAP) - far).clamp_max(0).exp()
    ratio = Look(bet(here - there), RATIO, here.mean().item(), there.mean().item())
    ours, theirs = here * near_side, there * far_side
    side = Look(bet((ours - theirs) / (CAP + 1)), SIDE, ours.mean().item(), theirs.mean().item())
    gains = torch.sigmoid(near) * near.clamp(-2, 2) - torch.sigmoid(-far) * far.clamp(-2, 2)
    weight = torch.sigmoid(ratios) * torch.sigmoid(-ratios) * ratios.clamp(-2, 2) * ratios.clamp(-30, 30)
    step = gains.mean().item() / max(weight.sum(0).mean().item(), 1e-9)  # Newton's, from a factor of 1
    slope = Look(bet(gains), SLOPE, max(-FURTHEST, min(FURTHEST, 1 - step)), 1.0)
    return [ratio, side, slope]


def bet(gains: Tensor) -> float:
    """The p-value of independent ``gains`` (N,) in [-1, 4] with mean 0: one over what the bets have made of 1.

    >>> bet(torch.tensor([1.0, -1.0]).repeat(100))
    1.0
    >>> bet(torch.ones(100)) < 1e-9
    True
    """
    stakes = torch.tensor(STAKES, dtype=torch.float64, device=gains.device)
    wealth = torch.log1p(stakes[:, None] * gains.double()).sum(1)
    log_mean = torch.logsumexp(wealth, 0).item() - math.log(len(STAKES))
    return math.exp(-max(0.0, log_mean))
