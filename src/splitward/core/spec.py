"""What a tensor looks like, without the tensor. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

BYTES_PER_ELEMENT = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True)
class TensorSpec:
    """Shape of one sample (no batch dimension) and data type.

    >>> TensorSpec((16, 8, 8)).bytes_per_sample
    4096
    """

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def elements(self) -> int:
        """Numbers per sample."""
        return math.prod(self.shape)

    @property
    def bytes_per_sample(self) -> int:
        """Bytes per sample on an uncompressed wire."""
        return self.elements * BYTES_PER_ELEMENT[self.dtype]

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'scalar'} {self.dtype}"
