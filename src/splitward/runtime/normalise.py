"""Pixels to what the device's half takes; the same bits as the PyTorch model's own normalisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from splitward.runtime.manifest import Normalisation


def normalise(pixels: NDArray[np.float32], scale: Normalisation | None) -> NDArray[np.float32]:
    """(N, C, H, W) float32 in [0, 1] to (pixels - mean) / std per channel, float32; None: as they are."""
    if scale is None:
        return pixels
    mean, std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (scale.mean, scale.std))
    return (pixels - mean) / std
