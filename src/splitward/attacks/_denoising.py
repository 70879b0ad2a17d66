"""Noise on activations, averaged out as far as their neighbours and the other users' activations tell.

The best linear estimate (Wiener 1949) needs the covariance of what is seen, which the traffic gives, and that of the
noise, which the defence's description gives (``_undoing``). Of a map both are taken frequency by frequency, channels by
channels, as if it did not matter where something is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from splitward.attacks._undoing import Response, Undone
from splitward.core.knowledge import Activations

EACH = 2
"""Activations for each channel (for each number of a vector), at least, that a covariance is taken from."""
NUMBERS = 1 << 25
"""Numbers of a filter, at most: of frequencies, by channels, by channels."""
BATCH = 256
"""Activations that are filtered at a time."""


@dataclass(frozen=True)
class Filter:
    """The best linear estimate of one tensor. ``gain``: (frequencies, C, C) of a map, (L, L) of a vector."""

    response: Response
    mean: Tensor
    gain: Tensor
    rectified: bool

    @classmethod
    def of(cls, seen: Tensor, noise: Tensor, rectified: bool, response: Response) -> Filter | None:
        """From estimates (M, *shape) that differ from what was there by ``noise``; None where they are too few."""
        places = seen.shape[-2] * (seen.shape[-1] // 2 + 1) if seen.ndim == 4 else 1
        channels = seen.shape[1] if seen.ndim == 4 else seen[0].numel()
        if len(seen) < EACH * channels or places * channels**2 > NUMBERS:
            return None
        mean = seen.mean(0)
        total = torch.zeros((), device=seen.device)
        for batch in (seen - mean).split(BATCH):
            waves = _waves(batch)
            total = total + waves @ waves.mH / len(seen)
        disturbance = noise.flatten().diag().to(total.dtype)
        values, vectors = torch.linalg.eigh(total - disturbance)
        clean = (vectors * values.clamp_min(0)[..., None, :]) @ vectors.mH
        both = clean + disturbance
        unsure = 1e-6 * both.diagonal(dim1=-2, dim2=-1).real.amax() + 1e-12
        gain = torch.linalg.solve(both + unsure * torch.eye(channels).to(both), clean).mH
        return cls(response, mean, gain, rectified)

    @torch.no_grad()
    def __call__(self, sent: Tensor) -> Tensor:
        """(B, *shape) of what was sent to estimates of what was there, of the same shape."""
        parts = []
        for batch in ((sent.float() - self.response.offset) / self.response.slope - self.mean).split(BATCH):
            found = self.gain @ _waves(batch)
            if batch.ndim == 4:
                height, width = batch.shape[-2:]
                spectrum = found.movedim(-1, 0).unflatten(1, (height, -1)).movedim(-1, 1)
                parts.append(torch.fft.irfft2(spectrum, (height, width), norm="ortho"))
            else:
                parts.append(found[0].T.reshape(batch.shape))
        guess = torch.cat(parts) + self.mean
        return guess.clamp_min(0) if self.rectified else guess


def _waves(centred: Tensor) -> Tensor:
    """(B, C, H, W) to (frequencies, C, B), complex; a vector (B, *shape) to (1, L, B)."""
    if centred.ndim != 4:
        return centred.flatten(1).T[None]
    waves: Tensor = torch.fft.rfft2(centred, norm="ortho")
    return waves.flatten(2).permute(2, 1, 0)


@dataclass(frozen=True)
class Denoiser:
    """A filter for each tensor; None where one is left as it is."""

    filters: tuple[Filter | None, ...] = ()

    @classmethod
    def of(cls, undone: Undone | None) -> Denoiser:
        """What the traffic allows; nothing where its noise could not be undone."""
        if undone is None:
            return cls()
        each = zip(undone.estimates, undone.noise, undone.rectified, undone.responses, strict=True)
        return cls(tuple(Filter.of(e[:, 0], n, p, r) if e.is_floating_point() else None for e, n, p, r in each))

    def __bool__(self) -> bool:
        return any(self.filters)

    def __call__(self, activations: Activations) -> Activations:
        """(N, k, *shape) each, and again."""
        if not self:
            return activations
        pairs = zip(activations, self.filters, strict=True)
        return tuple(a if f is None else f(a.flatten(0, 1)).view(a.shape) for a, f in pairs)
