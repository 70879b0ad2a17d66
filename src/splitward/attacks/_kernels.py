"""The kernel for the gradient of pixels through a first convolution on a CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

FEW_CHANNELS = 3
"""Input channels up to which oneDNN's gradient of the input is slower (2 to 4 times, measured) than PyTorch's own."""


class _NativeFirstGradient(TorchDispatchMode):
    """Sends the input gradient of convolutions of few channels to PyTorch's own kernel; all else runs as before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution_backward.default:
            gradient, image, weight, _, stride, padding, dilation, transposed, _, groups, wanted = args
            plain = weight.ndim == 4 and groups == 1 and not transposed and set(dilation) == {1}
            if plain and weight.shape[1] <= FEW_CHANNELS and list(wanted) == [True, False, False]:
                native = torch.ops.aten._slow_conv2d_backward.output_mask
                return native(gradient, image, weight, weight.shape[2:], stride, padding, wanted)
        return func(*args, **(kwargs or {}))


def fast_pixel_gradients(device: torch.device) -> AbstractContextManager[Any]:
    """A context in which gradients of images are computed by the faster kernel; nothing changes on a GPU.

    The choice depends on shapes alone, never on a clock, so that the same seed gives the same bytes.
    """
    return _NativeFirstGradient() if device.type == "cpu" else nullcontext()
