"""What unlabelled traffic says of the edge that made it: statistics that a shadow's activations have to share.

Public images and other users' pictures are alike, so the activations of the right edge have the traffic's moments. The
covariance of a linear map's output at several lags is W C W^T, with C that of public images, and the lags fix the
rotation that one lag leaves open (second-order blind identification, Belouchrani et al. 1997); the mean at every place,
class by class, fixes the sign and the position.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from splitward.core.knowledge import Activations

PLENTY = 0.03
"""Sampling error of the traffic's moments up to which they are taken at their word: some 300 activations of LeNet-5."""
WIDEST = 512
"""Numbers whose covariance is compared, at most; of longer vectors only the variances are."""
LAGS = ((0, 0), (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))
"""Rows and columns between two positions of a map whose covariance is compared."""
COMPONENTS = 48
"""Principal components of a map's channels that are looked at, at most."""
FAINT = 1e-3
"""Share of the largest component's variance that is added to every one, so that the faintest are not blown up."""
MAPS = 3.0
"""What the moments of a map count for, beside those of a vector, which fewer numbers settle."""
NUMBERS = 1 << 26
"""Numbers of a map, at most, that covariances are taken over; means are taken over all."""


class Whitening:
    """The principal components of a map's channels, each to variance 1; of a vector the numbers, all at one scale."""

    def __init__(self, part: Tensor, noise: Tensor | None = None) -> None:
        """``part``: (N, *shape) of traffic. ``noise``: its variance, (C,) of a map, which is no part of its own."""
        self.mapped = part.ndim == 4
        if not self.mapped:
            own = float(part.var()) - (0.0 if noise is None else float(noise.mean()))
            self.mean, self.scale = part.mean(0), max(own, 0.0) ** 0.5 or 1.0
            return
        self.mean = part.mean((0, 2, 3))
        shown = _few(part)
        covariance, unsure = _covariance(shown - self.mean[:, None, None]).double(), 0.0
        if noise is not None:
            covariance = covariance - noise.double().diag()
            positions = shown.numel() / len(noise)
            unsure = float(noise.max()) * 2 * math.sqrt(len(noise) / positions)  # what noise alone looks like at most
        values, vectors = torch.linalg.eigh(covariance)
        values, vectors = values.flip(0)[:COMPONENTS].clamp_min(0), vectors.flip(1)[:, :COMPONENTS]
        kept = values > max(FAINT / 10 * float(values[0]), unsure)
        kept[0] = True
        self.directions = vectors[:, kept].float()
        self.deviations = (values[kept] + FAINT * values[0] + unsure).sqrt().float().clamp_min(1e-6)

    def __call__(self, part: Tensor) -> Tensor:
        """(N, C, H, W) to (N, components, H, W); (N, *shape) of a vector to the same."""
        if not self.mapped:
            return (part - self.mean) / self.scale
        centred = part - self.mean[:, None, None]
        return torch.einsum("nchw,cr->nrhw", centred, self.directions / self.deviations)

    def excess(self, noise: Tensor, covariance: Tensor) -> Tensor:
        """What ``noise``, drawn for each number by itself, adds to the whitened ``covariance``; of the same shape."""
        total = torch.zeros_like(covariance)
        if self.mapped:
            turned = self.directions / self.deviations
            total[0] = turned.T @ (noise[:, None] * turned)
        else:
            own = noise.flatten() / self.scale**2
            total[0] = own.diag() if covariance.shape[-2] > 1 else own
        return total


class Moments:
    """First and second moments of traffic, and how far activations are from them.

    Of a map: the mean at every place, and the covariance of channels at ``LAGS`` over all places, in whitened channels.
    Of a vector: mean and covariance. With ``classes`` (M,), what the cloud takes the traffic for, also the mean of each
    class. ``noise``: what numbers of the traffic vary by beside the activation's own variance (``_undoing``).
    ``trust``: 1 where traffic is plenty; less where the moments of so few activations are mostly chance, which a shadow
    had better not be fitted to.
    """

    def __init__(
        self, traffic: Activations, classes: Tensor | None = None, noise: tuple[Tensor, ...] | None = None
    ) -> None:
        flat = tuple(part.flatten(0, 1).float() for part in traffic)
        left = noise or (None,) * len(flat)
        self.whiten = [Whitening(part, own) for part, own in zip(flat, left, strict=True)]
        white = [whiten(part) for whiten, part in zip(self.whiten, flat, strict=True)]
        self.mean = [part.mean(0) for part in white]
        self.covariance = [spread(part) for part in white]
        for i, own in enumerate(left):
            if own is not None:
                self.covariance[i] = self.covariance[i] - self.whiten[i].excess(own, self.covariance[i])
        self.shares = None
        if classes is not None:
            member = classes.repeat_interleave(traffic[0].shape[1])
            self.shares = torch.bincount(member) / len(member)
            self.by_class = [_joint(part - m, member, self.shares) for part, m in zip(white, self.mean, strict=True)]
        self.trust = 1.0 if len(flat[0]) > 1 else 0.0
        if len(flat[0]) >= 4:
            self.trust = min(1.0, PLENTY / max(self._sampling_error(white), 1e-12))

    def _sampling_error(self, white: list[Tensor]) -> float:
        """What the distance of these moments to the true ones is expected to be: a quarter of that of two halves."""
        total = 0.0
        for part, covariance in zip(white, self.covariance, strict=True):
            halves = part[0::2], part[1::2]
            one, two = (half.mean(0) for half in halves)
            first, second = (spread(half) for half in halves)
            total += float((one - two).square().mean())
            total += float((first - second).square().sum() / covariance.square().sum().clamp_min(1e-12))
        return total / 4

    def distance(self, sent: tuple[Tensor, ...], labels: Tensor | None = None) -> Tensor:
        """Of a batch of activations, each (N, *shape), to the traffic; a scalar.

        |mean - mean'|^2 + |covariances - covariances'|^2 / |covariances'|^2, of a map ``MAPS`` times, and with
        ``labels`` (N,) the mean over classes of |mean - mean'|^2. Squares are products of the differences of two halves
        of the batch, so that the batch's own sampling error is not taken for a difference: the expectation is right,
        and single values may be negative.
        """
        total = torch.zeros((), device=sent[0].device)
        for i, part in enumerate(sent):
            apart = self._apart(i, self.whiten[i](part.float()), labels)
            total = total + (MAPS * apart if self.whiten[i].mapped else apart)
        return total

    def _apart(self, i: int, white: Tensor, labels: Tensor | None) -> Tensor:
        mean, covariance = self.mean[i], self.covariance[i]
        halves = white[0::2], white[1::2]
        one, two = (half.mean(0) - mean for half in halves)
        total = (one * two).mean()
        first, second = (_lagged(half - half.mean(0)) - covariance for half in halves)
        total = total + (first * second).sum() / covariance.square().sum().clamp_min(1e-12)
        if self.shares is not None and labels is not None:
            sides = zip(halves, (labels[0::2], labels[1::2]), strict=True)
            one, two = (_joint(half - mean, y, self.shares) - self.by_class[i] for half, y in sides)
            total = total + (one * two).mean()
        return total


def _few(part: Tensor) -> Tensor:
    """The first samples of (N, *shape), of no more numbers than ``NUMBERS``."""
    return part[: max(2, NUMBERS // part[0].numel())]


def _joint(centred: Tensor, labels: Tensor, shares: Tensor) -> Tensor:
    """(N, *shape) to (classes, numbers): the mean of each class, times how often it is seen by how often it is due."""
    member = (labels == torch.arange(len(shares), device=labels.device)[:, None]).float()
    return member @ centred.flatten(1) / (len(labels) * shares.clamp_min(1 / len(labels)))[:, None]


def overlaps(maps: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(C, N, H, W) as pairs of (C, numbers), at every lag that fits: each place, and the one at that lag from it."""
    height, width = maps.shape[-2:]
    pairs = []
    for rows, columns in LAGS:
        if rows < height and abs(columns) < width:
            left, right = max(0, -columns), max(0, columns)
            here, there = maps[..., : height - rows, left : width - right], maps[..., rows:, right : width - left]
            pairs.append((here.flatten(1), there.flatten(1)))
    return pairs


def spread(part: Tensor) -> Tensor:
    """The covariance of (N, *shape) at every lag, of no more numbers than ``NUMBERS``."""
    return _lagged(_few(part) - part.mean(0))


def _lagged(centred: Tensor) -> Tensor:
    """Channels by channels at each lag, stacked; of vectors their covariance."""
    if centred.ndim != 4:
        return _covariance(centred)[None]
    return torch.stack([here @ there.T / here.shape[1] for here, there in overlaps(centred.transpose(0, 1))])


def _covariance(centred: Tensor) -> Tensor:
    """Channels by channels; the variances alone where they are too many."""
    rows = centred.flatten(2).transpose(1, 2).flatten(0, 1) if centred.ndim == 4 else centred.flatten(1)
    if rows.shape[1] > WIDEST:
        return rows.square().mean(0, keepdim=True)
    return rows.T @ rows / len(rows)
