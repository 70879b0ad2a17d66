"""A half of a PyTorch model as ONNX bytes that say nothing but what is computed.

Torch's exporter writes layer names, stack traces and file paths into a model. Here every node, value and weight is
numbered in the order of its use and the rest is dropped: two models that compute the same in the same way are the same
bytes, whatever stood before their cut.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

import onnx
import onnx.inliner
import torch
from onnx import ModelProto, helper
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from splitward.core.errors import CutError, in_one_line
from splitward.runtime import manifest

OPSET = 20
IR_VERSION = 10

_ONNX_TYPES = {
    "float64": onnx.TensorProto.DOUBLE, "float32": onnx.TensorProto.FLOAT, "float16": onnx.TensorProto.FLOAT16,
    "int64": onnx.TensorProto.INT64, "int32": onnx.TensorProto.INT32, "int16": onnx.TensorProto.INT16,
    "int8": onnx.TensorProto.INT8, "uint8": onnx.TensorProto.UINT8, "bool": onnx.TensorProto.BOOL,
}  # fmt: skip


@dataclass(frozen=True)
class OnnxHalf:
    """An ONNX model, and what it takes and returns: each (N, *shape), N free."""

    model: bytes
    inputs: tuple[manifest.Tensor, ...]
    outputs: tuple[manifest.Tensor, ...]


class Flat(nn.Module):
    """A half whose inputs are its arguments, and whose result is the tuple of its tensors."""

    def __init__(self, half: nn.Module) -> None:
        super().__init__()
        self.inner = half

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Each (N, ...) to each (N, ...)."""
        return tuple(tree_leaves(self.inner(parts[0] if len(parts) == 1 else parts)))


@torch.no_grad()
def to_onnx(half: nn.Module, example: Sequence[Tensor], takes: str, returns: str) -> OnnxHalf:
    """``half`` as ONNX. ``example``: a batch of at least 3; ``takes``, ``returns``: how its tensors are named.

    Raises CutError for what has no ONNX form, or a result that is not one tensor or several with a row for each sample.
    """
    flat = Flat(half).eval()
    inputs = tuple(_described(t, f"{takes}_{k}", len(example[0])) for k, t in enumerate(example))
    whole, fewer = flat(*example), _of_two(flat, example)
    outputs = tuple(_described(t, f"{returns}_{k}", len(example[0])) for k, t in enumerate(whole))
    for told, t in zip(outputs, fewer, strict=True):
        if t.shape != (2, *told.shape):
            raise CutError(f"{told.name} has shape {tuple(t.shape)} for two samples: it has no row for each sample.")
    batch = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program = torch.onnx.export(
                flat, tuple(example), dynamo=True, opset_version=OPSET, verbose=False,
                dynamic_shapes={"parts": tuple({0: batch} for _ in example)},
                input_names=[t.name for t in inputs], output_names=[t.name for t in outputs],
            )  # fmt: skip
            assert program is not None
            model = program.model_proto
    except Exception as error:  # torch raises many kinds
        raise CutError(f"this half has no ONNX form: {in_one_line(error)}.") from error
    if any(not value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input):
        raise CutError("this half works for one size of batch only, and cannot be served.")
    return OnnxHalf(_anonymous(model, inputs, outputs).SerializeToString(deterministic=True), inputs, outputs)


def _of_two(flat: Flat, example: Sequence[Tensor]) -> tuple[Tensor, ...]:
    try:
        two: tuple[Tensor, ...] = flat(*(t[:2] for t in example))
    except RuntimeError as error:
        raise CutError(
            f"this half works for one size of batch only, and cannot be served: {in_one_line(error)}."
        ) from error
    return two


def _described(tensor: Any, name: str, batch: int) -> manifest.Tensor:
    if not isinstance(tensor, Tensor):
        raise CutError(f"{name} is of type {type(tensor).__name__}; what a half returns must be tensors.")
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in get_args(manifest.DType):
        raise CutError(f"{name} is {dtype}, which has no place in a bundle; cut where {manifest.DType} crosses.")
    if tensor.ndim == 0 or tensor.shape[0] != batch:
        raise CutError(f"{name} has shape {tuple(tensor.shape)} for {batch} samples: it has no row for each sample.")
    return manifest.Tensor(name=name, dtype=cast(manifest.DType, dtype), shape=tuple(tensor.shape[1:]))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own remarks."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def _anonymous(model: ModelProto, inputs: Sequence[manifest.Tensor], outputs: Sequence[manifest.Tensor]) -> ModelProto:
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    names = {v.name: t.name for v, t in zip(model.graph.input, inputs, strict=True)}
    names |= {v.name: t.name for v, t in zip(model.graph.output, outputs, strict=True)}
    graph = _renamed(model.graph, names, itertools.count())
    for field, told in ((graph.input, inputs), (graph.output, outputs)):
        del field[:]
        field.extend(helper.make_tensor_value_info(t.name, _ONNX_TYPES[t.dtype], ["batch", *t.shape]) for t in told)
    opsets = [o for o in model.opset_import if not o.domain or any(n.domain == o.domain for n in graph.node)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="splitward")


def _renamed(graph: onnx.GraphProto, names: dict[str, str], count: Iterator[int]) -> onnx.GraphProto:
    """A copy with numbered names and nothing else; ``names``: those around it, and of its in- and outputs."""
    result = onnx.GraphProto(name="half")
    weights = {w.name: w for w in graph.initializer}

    def new(name: str) -> str:
        if name and name not in names:
            names[name] = f"v{next(count)}"
        return names.get(name, "")

    for value in graph.input:
        result.input.add(name=new(value.name), type=value.type)
    for node in graph.node:
        made = result.node.add(op_type=node.op_type, domain=node.domain, name=f"n{next(count)}")
        for name in node.input:
            if name in weights and name not in names:
                _add_weight(result, weights[name], new(name))
            made.input.append(new(name))
        for attribute in node.attribute:
            kept = made.attribute.add()
            kept.CopyFrom(attribute)
            kept.doc_string = ""
            if attribute.type == onnx.AttributeProto.GRAPH:
                for name in _used(attribute.g) & weights.keys() - names.keys():
                    _add_weight(result, weights[name], new(name))
                kept.g.CopyFrom(_renamed(attribute.g, dict(names), count))
        made.output.extend(new(name) for name in node.output)
    for value in graph.output:
        if value.name in weights and value.name not in {w.name for w in result.initializer}:
            _add_weight(result, weights[value.name], new(value.name))
        result.output.add(name=new(value.name), type=value.type)
    return result


def _add_weight(graph: onnx.GraphProto, weight: onnx.TensorProto, name: str) -> None:
    kept = graph.initializer.add(data_type=weight.data_type, dims=weight.dims, name=name)
    kept.raw_data = onnx.numpy_helper.to_array(weight).tobytes()


def _used(graph: onnx.GraphProto) -> set[str]:
    """Every name that a graph, or one inside it, takes from somewhere."""
    inner = [a.g for n in graph.node for a in n.attribute if a.type == onnx.AttributeProto.GRAPH]
    return {name for n in graph.node for name in n.input} | {name for g in inner for name in _used(g)}
