"""Noise on activations, averaged out as far as their neighbours and the other users' activations tell.

The best linear estimate (Wiener 1949) needs the covariance of what is seen, which the traffic gives, and that of the
noise, which the defence's description gives (``_undoing``). Of a map both are taken frequency by frequency, channels by
channels, as if it did not matter where something is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from splitward.attacks._reading import Reading
from splitward.attacks._undoing import Response, Undone
from splitward.core.knowledge import Activations

EACH = 8
"""Activations for each channel (for each number of a vector), at least, that a covariance is taken from."""
NUMBERS = 1 << 25
"""Numbers of a filter, at most: of frequencies, by channels, by channels."""
BATCH = 256
"""Activations that are filtered at a time."""


@dataclass(frozen=True)
class Filter:
    """The best linear estimate of one tensor. ``gain``: (frequencies, C, C) of a map, (1, L, L) of a vector.

    Nothing is clamped, so that the mean of several estimates is that of what was seen on average.
    """

    response: Response
    mean: Tensor
    gain: Tensor

    @classmethod
    def of(cls, seen: Tensor, noise: Tensor, response: Response) -> Filter | None:
        """From estimates (M, C, H, W) or (M, L), off by ``noise``, (C,) or (L,); None where they are too few."""
        places = seen.shape[-2] * (seen.shape[-1] // 2 + 1) if seen.ndim == 4 else 1
        channels = seen.shape[1]
        if len(seen) < EACH * channels or places * channels**2 > NUMBERS:
            return None
        mean, total = seen.mean(0), torch.zeros((), device=seen.device)
        for batch in seen.split(BATCH):
            waves = _waves(batch - mean)
            total = total + waves @ waves.mH / len(seen)
        fine = torch.complex128 if total.is_complex() else torch.float64
        disturbance = noise.diag().to(fine)
        values, vectors = torch.linalg.eigh(total.to(fine) - disturbance)
        clean = (vectors * values.clamp_min(0)[..., None, :]) @ vectors.mH
        both = clean + disturbance
        unsure = 1e-9 * both.diagonal(dim1=-2, dim2=-1).real.amax() + 1e-30
        gain = torch.linalg.solve(both + unsure * torch.eye(channels).to(both), clean).mH
        return cls(response, mean, gain.to(total.dtype))

    @torch.no_grad()
    def __call__(self, sent: Tensor) -> Tensor:
        """(B, *shape) of what was sent to estimates of what was there, of the same shape and type."""
        return torch.cat([self._estimate(batch.float()) for batch in sent.split(BATCH)]).to(sent.dtype)

    def _estimate(self, sent: Tensor) -> Tensor:
        found: Tensor = self.gain @ _waves(self.response.unbiased(sent) - self.mean)
        if sent.ndim == 2:
            return found[0].T + self.mean
        spectrum = found.movedim(-1, 0).unflatten(1, (sent.shape[-2], -1)).movedim(-1, 1)
        maps: Tensor = torch.fft.irfft2(spectrum, sent.shape[-2:], norm="ortho")
        return maps + self.mean


def _waves(centred: Tensor) -> Tensor:
    """(B, C, H, W) to (frequencies, C, B), complex; a vector (B, L) to (1, L, B)."""
    if centred.ndim == 2:
        return centred.T[None]
    waves: Tensor = torch.fft.rfft2(centred, norm="ortho")
    return waves.flatten(2).permute(2, 1, 0)


@dataclass(frozen=True)
class Denoiser:
    """A filter for each tensor; None where one is left as it is."""

    filters: tuple[Filter | None, ...] = ()

    @classmethod
    def of(cls, undone: Undone | None, readings: Sequence[Reading]) -> Denoiser:
        """What the traffic allows, for maps (C, H, W) and vectors (L,); nothing where its noise could not be undone.

        Where numbers are wiped out, those that are left are exact, and a decoder had better look at them as they are
        (LeNet-5 at ReLU2, dropout:0.6, digits: SSIM .88 so, .87 denoised).
        """
        if undone is None:
            return cls()
        filters = []
        for seen, noise, response, reading in zip(
            undone.estimates, undone.noise, undone.responses, readings, strict=True
        ):
            known = (seen.ndim - 2, reading.layout) in ((3, "map"), (1, "vector"))
            filters.append(Filter.of(seen[:, 0], noise, response) if known and response.steady(seen) else None)
        return cls(tuple(filters))

    def __bool__(self) -> bool:
        return any(self.filters)

    def __call__(self, activations: Activations) -> Activations:
        """(N, k, *shape) each, and again: every observation by itself."""
        if not self:
            return activations
        pairs = zip(activations, self.filters, strict=True)
        return tuple(a if f is None else f(a.flatten(0, 1)).reshape(a.shape) for a, f in pairs)

    def jointly(self, activations: Activations) -> Activations:
        """(N, k, *shape) each to (N, 1, *shape): from all k observations; the first of what is left as it is."""
        pairs = zip(activations, self.filters or (None,) * len(activations), strict=True)
        return tuple(a[:, :1] if f is None else f(a.float().mean(1))[:, None] for a, f in pairs)
