"""One model, two halves: each a module of its own with only the weights that it needs."""

from __future__ import annotations

import copy
import difflib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from splitward.core.edge import Edge
from splitward.core.errors import CutError
from splitward.core.spec import TensorSpec
from splitward.split.blocks import Branch, Cloud, Loop
from splitward.split.cuts import Cut, Positions
from splitward.split.program import Program, module_of
from splitward.split.wire import cloud_program, edge_program


@dataclass(frozen=True, eq=False)
class Halves:
    """``cloud(edge(x)) == model(x)``, in evaluation mode.

    ``edge``: from inputs (N, *input.shape) to the activation, a tensor (N, *shape) or a tuple of them.
    ``cloud``: from that to what the model returns. Both are differentiable in their input and their parameters, which
    are copies of the model's (names kept) and train or freeze on their own.
    """

    edge: Edge
    cloud: nn.Module
    cut: Cut
    input: TensorSpec
    activation: tuple[TensorSpec, ...]

    def save(self, folder: Path | str) -> None:
        """Write both halves to a folder: JSON and safetensors, no pickle. Raises CutError for operators beyond ATen."""
        from splitward.split.files import save_halves

        save_halves(self, Path(folder))


class Exported:
    """A captured model, to be listed and cut as often as needed."""

    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self.input = positions.input

    def cuts(self) -> list[Cut]:
        """As ``cuts(model, example)``."""
        return list(self._positions.cuts)

    def cut(self, at: str) -> Cut:
        """The cut of this name, or behind the module of this path (``layer2``: its last position, ``layer2.1.add``).

        Raises CutError with the nearest names where there is none.
        """
        found = {cut.name: cut for cut in self._positions.cuts}
        inside = [name for name in found if name.startswith(f"{at}.")]
        if at not in found and not inside:
            raise CutError(_unknown(at, list(found)))
        return found[at if at in found else inside[-1]]

    def split(self, at: str) -> Halves:
        """The halves at the cut ``at``. Raises CutError for an unknown or a refused cut."""
        cut = self.cut(at)
        if cut.refused:
            raise CutError(cut.refused)
        program, wires = self._positions.program, self._positions.wires[cut.name]
        body, head = edge_program(program, wires), cloud_program(program, wires)
        edge = Edge(copy.deepcopy(self._positions.normalise), realise(body))
        cloud = Cloud(realise(head), program.structure, len(wires))
        return Halves(edge.eval(), cloud.eval(), cut, self.input, cut.activation)


def export(model: nn.Module, example: Tensor) -> Exported:
    """Capture ``model`` once, to cut it at many positions.

    ``example``: a batch (N, ...) of what the model takes. Raises CutError for a model that cannot be exported.
    """
    return Exported(Positions.of(model, example))


def split(model: nn.Module, example: Tensor, at: str) -> Halves:
    """``model`` cut after the layer ``at``, a name from ``cuts``.

    ``example``: a batch (N, ...) of what the model takes. Of a ``Normalised`` model the edge gets the normalisation.
    Raises CutError for a model that cannot be exported, an unknown cut (with the nearest names), or a refused one.
    """
    return export(model, example).split(at)


def realise(program: Program) -> fx.GraphModule:
    """A module with its own copy of the weights, free of everything that tracing left on the nodes."""
    tensors = {name: _own(tensor) for name, tensor in program.tensors.items()}
    used = {str(n.target) for n in program.graph.find_nodes(op="call_module")}
    blocks = {name: _bare(module) for name, module in program.modules.items() if name in used}
    return module_of(_bare_graph(program.graph), {**tensors, **blocks})


def _bare(block: nn.Module) -> nn.Module:
    """A copy of a control-flow module."""
    if isinstance(block, Branch):
        return Branch(_bare(block.if_true), _bare(block.if_false))
    if isinstance(block, Loop):
        return Loop(_bare(block.condition), _bare(block.body))
    if isinstance(block, fx.GraphModule):
        return module_of(_bare_graph(block.graph), {name: _bare(child) for name, child in block.named_children()})
    return copy.deepcopy(block)


def _bare_graph(graph: fx.Graph) -> fx.Graph:
    result = fx.Graph()
    result.output(result.graph_copy(graph, {}))
    for node in result.nodes:
        node.meta = {}
        if node.target is torch.ops.aten.view.default:  # what crossed a wire has other strides: view may refuse them
            node.target = torch.ops.aten.reshape.default
    return result


def _own(tensor: Tensor) -> Tensor:
    clone = tensor.detach().clone()
    return nn.Parameter(clone, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else clone


def _unknown(at: str, names: list[str]) -> str:
    if not names:
        return f"there is no cut named {at!r}: the model computes nothing from its input."
    near = difflib.get_close_matches(at, names, n=3, cutoff=0.5)
    near = near or [n for n in names if at and (at.lower() in n.lower() or n.lower() in at.lower())][:3]
    some = ", ".join(names if len(names) <= 12 else [*names[:6], "...", *names[-3:]])
    hint = f"did you mean {' or '.join(near)}?" if near else f"the cuts are {some}."
    return f"there is no cut named {at!r} in this model; {hint}"
