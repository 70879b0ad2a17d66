"""An ONNX half in ONNX Runtime: its bytes to a session that takes and returns what the manifest says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from splitward.core.errors import BundleError, in_one_line
from splitward.runtime.manifest import Tensor

Array = NDArray[np.generic]

_TYPES = {
    "tensor(double)": "float64", "tensor(float)": "float32", "tensor(float16)": "float16", "tensor(int64)": "int64",
    "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}  # fmt: skip


class Session:
    """One half, on the processor. ``threads``: of one run, all of which end with it (none spins between runs).

    Raises BundleError where the model is not readable, or not of these inputs and outputs.
    """

    def __init__(
        self, model: bytes, inputs: Sequence[Tensor], outputs: Sequence[Tensor], threads: int = 1, where: str = "a half"
    ) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises many kinds
            raise BundleError(f"{where} is no model that ONNX Runtime can load: {in_one_line(error)}.") from None
        for held, due in ((self._session.get_inputs(), inputs), (self._session.get_outputs(), outputs)):
            found = [(one.name, _TYPES.get(one.type, one.type), tuple(one.shape[1:])) for one in held]
            if found != [(one.name, one.dtype, one.shape) for one in due]:
                raise BundleError(f"{where} takes or returns {found}, which is not what its manifest says.")
        self._names = [one.name for one in outputs]
        self._inputs = [one.name for one in inputs]

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Each (N, *shape), in the order of the manifest, to the outputs in theirs."""
        result: list[Array] = self._session.run(self._names, dict(zip(self._inputs, arrays, strict=True)))
        return result
