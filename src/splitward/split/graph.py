"""From any model to its graph, by ``torch.export``, with a free batch size; and the check that it is the model."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.export import Dim
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.utils import _pytree

from splitward.core.errors import CutError
from splitward.split import paths
from splitward.split.program import Program, module_of, translate

TOLERANCE = 1e-4
"""Relative to the largest output: how far the graph may be from the model. Another kernel or another order of
summation gives about 1e-6 in float32; a graph that is wrong gives about 1."""

_DATA_DEPENDENT = ("data-dependent", "data dependent", "zuf", "Could not guard", ".item()", "to a Python")


class _Whole(nn.Module):
    """The model behind one argument; under a schedule of decisions it also returns the conditions that it met."""

    def __init__(self, model: nn.Module, decide: paths.Decide | None) -> None:
        super().__init__()
        self.model = model
        self.__dict__["decide"] = decide

    def forward(self, values: Tensor) -> Any:
        decide: paths.Decide | None = self.__dict__["decide"]
        if decide is None:
            return self.model(values)
        with decide:
            output = self.model(values)
        return [output, *decide.conditions]


def capture(model: nn.Module, example: Tensor) -> Program:
    """The graph of ``model`` in evaluation mode, for any batch size.

    ``example``: a batch (N, ...). Python control flow that depends on the data becomes control flow in the graph: the
    model is traced along each of its paths. The model itself is left alone; the graph holds copies of its weights.

    Raises CutError where torch.export cannot trace the model, where its code fixes the batch size, or where the graph
    does not reproduce the model.
    """
    check_example(example)
    twin = _evaluation_copy(model)
    batch = torch.cat([example, example])[:2].detach()  # not 1: torch.export treats sizes 0 and 1 as constants
    with _quiet():
        program = _straight(twin, batch) or _explore(twin, batch)
    _check_batch_is_free(program)
    _check_reproduces(program, twin, example)
    for name, tensor in program.tensors.items():
        tensor.requires_grad_(name in _trainable(model))
    return program


def check_example(example: Any) -> None:
    """Raises CutError for anything but a batch in one tensor."""
    if not isinstance(example, Tensor):
        raise CutError(
            f"the example is a {type(example).__name__}; one tensor that holds a batch of inputs is needed (models "
            "with several inputs cannot be cut)."
        )
    if example.ndim == 0 or example.shape[0] == 0:
        raise CutError(f"the example has shape {tuple(example.shape)}; a batch (N, ...) of at least one is needed.")


def _evaluation_copy(model: nn.Module) -> nn.Module:
    """A deep copy in evaluation mode, with gradients on: without them some layers take fused, opaque shortcuts."""
    try:
        twin = copy.deepcopy(model)
    except Exception as error:  # a deep copy runs arbitrary code of the model
        raise CutError(f"the model cannot be copied: {_first_line(error)}") from error
    for module in twin.modules():
        module.training = False  # not eval(): modules that torch.export returned refuse it
        if isinstance(module, fx.GraphModule):
            _drop_guards(module)
    for parameter in twin.parameters():
        parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
    return twin


def _drop_guards(module: fx.GraphModule) -> None:
    """An exported program refuses other batch sizes than it was traced for; whether it can bear them we check."""
    guards = [n for n in module.graph.nodes if n.op == "call_module" and n.target == "_guards_fn"]
    for node in guards:
        module.graph.erase_node(node)
    if guards:
        module.recompile()


def _export(whole: nn.Module, batch: Tensor) -> torch.export.ExportedProgram:
    with torch.enable_grad():
        return torch.export.export(whole, (batch,), dynamic_shapes=({0: Dim.AUTO},), strict=False)


def _straight(twin: nn.Module, batch: Tensor) -> Program | None:
    """The program of a model that never asks for a value; None where it does."""
    # a program that torch.export returned keeps the names of its layers only when it is itself exported
    again = isinstance(twin, fx.GraphModule)
    try:
        exported = _export(twin if again else _Whole(twin, None), batch)
    except Exception as error:  # torch.export raises whatever the traced code and its own passes raise
        if _depends_on_data(error):
            return None
        raise CutError(_cannot(error)) from error
    return translate(exported, "" if again else "model")


def _explore(twin: nn.Module, batch: Tensor) -> Program:
    """The program of a model whose Python code asks for values: traced along every path (see ``paths``)."""

    def trace(schedule: Sequence[bool]) -> tuple[Program | None, list[bool], bool]:
        decide = paths.Decide(schedule)
        try:
            exported = _export(_Whole(twin, decide), batch)
        except Exception as error:  # as above; an error of the model itself ends this path only
            if _depends_on_data(error) or not decide.taken:
                raise CutError(_cannot(error)) from error
            return None, decide.taken, isinstance(error, IndexError)
        return translate(exported, "model"), decide.taken, False

    return paths.explore(trace)


def _check_batch_is_free(program: Program) -> None:
    size = program.input.meta["val"].shape[0]
    if isinstance(size, int):
        raise CutError(f"the model's code fixes the batch size ({size} was tried): it must run at any batch size.")
    # torch's own range of a free size is 2 to infinity (1 is tested by running the graph)
    limits = size.node.shape_env.bound_sympy(size.node.expr)
    if limits.lower == limits.upper:
        raise CutError(
            f"the model's code fixes the batch size ({limits.lower} was tried): it must run at any batch size."
        )
    if limits.lower > 2 or limits.upper < 2**31:
        raise CutError(
            f"the model computes something else at other batch sizes (this trace holds from {limits.lower} to "
            f"{limits.upper}): it must be the same at any batch size."
        )


def _check_reproduces(program: Program, twin: nn.Module, example: Tensor) -> None:
    """Run both at batch sizes that the trace has not seen. Raises CutError where they differ."""
    module = runnable(program)
    for size in (1, 3):
        batch = torch.cat([example] * size)[:size].detach()
        with torch.no_grad(), _quiet():
            # each on a clone: a model may overwrite its input
            truth, again = (_tensors(twin(batch.clone())) for _ in range(2))
            graph = [t for t in module(batch.clone()) if isinstance(t, Tensor)]
        if not all(_close(a, b) for a, b in zip(truth, again, strict=True)):
            raise CutError(
                "the model gives two answers to the same input: it must be deterministic in evaluation mode."
            )
        if len(graph) != len(truth) or not all(_close(a, b) for a, b in zip(graph, truth, strict=True)):
            raise CutError(
                f"the exported graph differs from the model at batch size {size}: the model's code must not depend on "
                "the batch size or on anything but its input."
            )


def runnable(program: Program) -> fx.GraphModule:
    """The whole program as a module that returns the flat tuple of its output's leaves."""
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    return module_of(graph, {**program.tensors, **program.modules})


def _tensors(output: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(output) if isinstance(leaf, Tensor)]


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return bool((one == other).all())
    scale = float(other.abs().nan_to_num(0, 0, 0).max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)


def _trainable(model: nn.Module) -> set[str]:
    """Names of the parameters that are to keep their gradient, tied ones under each of their names."""
    return {n for n, p in model.named_parameters(remove_duplicate=False) if p.requires_grad}


def _depends_on_data(error: BaseException) -> bool:
    if isinstance(error, (GuardOnDataDependentSymNode, DataDependentOutputException)):
        return True
    return any(mark in str(error) for mark in _DATA_DEPENDENT)


def _cannot(error: BaseException) -> str:
    return f"the model cannot be exported by torch.export: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    """The first line of what torch says, as the end of a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= 200 else text[:197] + "...").rstrip(".") + "."


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch.export warns and logs for its own developers; what the user needs to know is in our exceptions."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        previous = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(previous)
