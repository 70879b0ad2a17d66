"""Do the ONNX halves give what the PyTorch model gave? Measured on images before a bundle is written."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splitward.core.errors import BundleError
from splitward.deploy.halves import Flat, OnnxHalf
from splitward.runtime.manifest import Normalisation, Parity
from splitward.runtime.normalise import normalise
from splitward.runtime.session import Session
from splitward.split.halves import Halves

TOLERANCE = 1e-4
"""Largest difference that rounding in another order explains, as a share of the largest number, or of 1."""

BATCHES = (1, 7, 32)
"""Sizes of batch that are tried in turn."""

Array = NDArray[np.generic]


@torch.no_grad()
def parity(
    original: nn.Module, halves: Halves, edge: OnnxHalf, cloud: OnnxHalf, scale: Normalisation | None, images: Tensor
) -> Parity:
    """Each ONNX half, and both, against the PyTorch ones on ``images`` (N, C, H, W) in [0, 1].

    Raises BundleError where they differ by more than rounding, or in an answer.
    """
    first = Session(edge.model, edge.inputs, edge.outputs, where="the edge's half")
    second = Session(cloud.model, cloud.inputs, cloud.outputs, where="the cloud's half")
    differences = np.zeros(3)
    same, start, sizes = True, 0, 0
    while start < len(images):
        batch = images[start : start + BATCHES[sizes % len(BATCHES)]]
        start, sizes = start + len(batch), sizes + 1
        sent = [t.numpy() for t in Flat(halves.edge)(batch)]
        answer, whole = ([t.numpy() for t in Flat(m)(*p)] for m, p in ((halves.cloud, map(torch.from_numpy, sent)),
                                                                       (original, (batch,))))  # fmt: skip
        onnx_sent = first.run([normalise(batch.numpy(), scale)])
        onnx_whole = second.run(onnx_sent)
        pairs = ((onnx_sent, sent), (second.run(sent), answer), (onnx_whole, whole))
        differences = np.maximum(differences, [_difference(a, b) for a, b in pairs])
        same = same and bool(np.array_equal(_answer(onnx_whole), _answer(whole)))
    if differences.max() > TOLERANCE or not same:
        raise BundleError(
            f"the ONNX halves differ from the PyTorch model by {differences.max():.2g} of its largest number on "
            f"{len(images)} images, with {'the same' if same else 'other'} answers; at most {TOLERANCE:g} is rounding."
        )
    edge_, cloud_, chain = differences.tolist()
    return Parity(samples=len(images), edge=edge_, cloud=cloud_, chain=chain, same_argmax=same)


def _difference(found: list[Array], due: list[Array]) -> float:
    return max((_one(a, b) for a, b in zip(found, due, strict=True)), default=0.0)


def _one(found: Array, due: Array) -> float:
    if found.shape != due.shape or found.dtype != due.dtype:
        raise BundleError(f"an ONNX half returns {found.dtype} {found.shape}; {due.dtype} {due.shape} is due.")
    distance = np.abs(found.astype(np.float64) - due.astype(np.float64)).max()
    return float(distance / max(1.0, np.abs(due.astype(np.float64)).max()))


def _answer(outputs: list[Array]) -> Array:
    result: Array = outputs[0].reshape(len(outputs[0]), -1).argmax(1)
    return result
