"""Where a model can be cut, what crosses there, and what each side then holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from splitward.core.edge import Normalised
from splitward.core.spec import TensorSpec
from splitward.split.flow import Flow
from splitward.split.graph import capture, check_example
from splitward.split.leaks import operator_name
from splitward.split.profile import Parameters, operations
from splitward.split.program import Program, stack_of
from splitward.split.shapes import Layout, transportable, value
from splitward.split.wire import Wire, find_layouts, make_wire

_PLAIN_NAMES = {"native_batch_norm_legit_no_training": "batch_norm", "scaled_dot_product_attention": "attention"}


@dataclass(frozen=True)
class Cut:
    """One position of the graph: everything up to the named layer runs on the edge.

    ``activation``: what crosses, as one sample of each tensor; the edge returns them as (N, *shape). Masks and indices
    cross as float32, complex numbers as pairs, a value that all samples share once per sample.
    ``edge_flops``, ``total_flops``: floating-point operations for one sample (see ``profile.operations``).
    ``refused``: one sentence, empty where the cut can be made; ``activation`` is then what has the form of the wire.
    ``leaks_input``: it is refused because the raw input itself, or a mere reordering or normalisation of it, would
    cross.
    """

    name: str
    index: int
    operation: str
    activation: tuple[TensorSpec, ...]
    bytes_per_sample: int
    edge_flops: int
    total_flops: int
    edge_parameters: int
    total_parameters: int
    leaks_input: bool = False
    refused: str = ""

    def __str__(self) -> str:
        what = ", ".join(map(str, self.activation))
        return f"{self.name}: {what} ({self.bytes_per_sample:,} bytes a sample)" + (self.refused and " - refused")


def cuts(model: nn.Module, example: Tensor) -> list[Cut]:
    """Every position at which ``model`` can be cut, in order, refused ones included.

    ``example``: a batch (N, ...) of what the model takes; a single one is enough. The model is left alone. Raises
    CutError for a model that torch.export cannot trace.
    """
    return list(Positions.of(model, example).cuts)


class Positions:
    """A captured model with its cuts; export once, cut at many positions."""

    def __init__(self, program: Program, normalise: nn.Module, example: Tensor, input_spec: TensorSpec) -> None:
        self.program = program
        self.normalise = normalise
        self.input = input_spec
        flow = Flow(program)
        offered = [p for p in range(len(flow.heads)) if not flow.raw_so_far(p)]
        names = dict(zip(offered, _names([flow.heads[p] for p in offered]), strict=True))
        crossing = {p: flow.crossing(p) for p in offered}
        nodes = list(dict.fromkeys(n for p in offered for n in crossing[p]))
        where = find_layouts(flow, nodes, example)
        counts = operations(program.graph, program.modules)
        total_flops = sum(counts[n] for n in flow.depends)
        parameters = Parameters(program)
        self.wires: dict[str, list[Wire]] = {}
        self.cuts: list[Cut] = []
        for p in offered:
            refused, leaks = _refusal(flow, names, crossing, where, p)
            known = [(n, where[n]) for n in crossing[p] if transportable(value(n))]
            wires = [make_wire(n, layout) for n, layout in known if layout is not None]
            specs = tuple(w.spec for w in wires)
            self.wires[names[p]] = wires
            self.cuts.append(
                Cut(
                    name=names[p],
                    index=len(self.cuts),
                    operation=_operation(flow.heads[p]),
                    activation=specs,
                    bytes_per_sample=sum(s.bytes_per_sample for s in specs),
                    edge_flops=sum(counts[n] for n in flow.depends if flow.position[n] <= p),
                    total_flops=total_flops,
                    edge_parameters=parameters.behind(crossing[p]),
                    total_parameters=parameters.total,
                    leaks_input=leaks,
                    refused=refused,
                )
            )

    @classmethod
    def of(cls, model: nn.Module, example: Any) -> Positions:
        """The positions of ``model``; a ``Normalised`` model is cut inside, after its normalisation."""
        check_example(example)
        pixels = TensorSpec(tuple(example.shape[1:]), str(example.dtype).removeprefix("torch."))
        normalise: nn.Module = nn.Identity()
        if isinstance(model, Normalised):
            normalise, model = model.normalise, model.model
            example = normalise(example).detach()
        return cls(capture(model, example), normalise, example, pixels)


def _refusal(
    flow: Flow,
    names: dict[int, str],
    crossing: dict[int, list[fx.Node]],
    where: dict[fx.Node, Layout | None],
    p: int,
) -> tuple[str, bool]:
    """Why a cut cannot be made (empty: it can), and whether that is because the raw input would cross."""
    if any(flow.is_raw(n) for n in crossing[p]):
        clean = (q for q in crossing if q > p and not any(flow.is_raw(n) for n in crossing[q]))
        after = next(
            (f"the first cut after its last use is {names[q]!r}" for q in clean), "so it is at every later cut"
        )
        return f"the raw input itself is still needed after {names[p]!r} and would cross the wire; {after}.", True
    for node in crossing[p]:
        held = value(node)
        if where[node] is None:
            shape = "x".join(map(str, held.shape))
            return f"at {names[p]!r} a tensor of shape {shape} would cross, which has no part for each sample.", False
        if not transportable(held):
            return f"at {names[p]!r} a tensor of type {held.dtype} would cross, which the wire does not carry.", False
    return "", False


def _operation(node: fx.Node) -> str:
    plain = operator_name(node).strip("_")
    return _PLAIN_NAMES.get(plain, plain)


def _names(heads: list[fx.Node]) -> list[str]:
    """A readable name for each position, unique and the same in every export of the same model.

    The path of the layer whose call ends here (``layer2.0.conv1``); inside a call, or in the model's own code, the
    path and the operator (``layer2.0.add``, ``flatten``); repeats are counted (``ReLU#2``).
    """
    last = {key: n for n, head in enumerate(heads) for key, _ in stack_of(head)}
    names: list[str] = []
    seen: dict[str, int] = {}
    for n, head in enumerate(heads):
        calls = stack_of(head)
        key, path = calls[-1] if calls else ("", "")
        name = path if path and last[key] == n else ".".join(filter(None, (path, _operation(head))))
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return names
