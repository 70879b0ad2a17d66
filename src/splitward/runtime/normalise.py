"""Pixels to what the device's half takes; the same bits as the PyTorch model's own normalisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from splitward.runtime.manifest import Normalisation

Values = NDArray[np.float32]


def normalise(pixels: Values, scale: Normalisation | None) -> Values:
    """(N, C, H, W) float32 in [0, 1] to (pixels - mean) / std per channel, float32; None: as they are."""
    return normaliser(scale)(pixels)


def normaliser(scale: Normalisation | None) -> Callable[[Values], Values]:
    """The same as a function of pixels alone."""
    if scale is None:
        return lambda pixels: pixels
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (scale.mean, scale.std))
    return lambda pixels: (pixels - mean) / std
