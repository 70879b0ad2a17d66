"""A model as one straight graph, in our own narrow form, translated from what ``torch.export`` returns.

Nodes: one placeholder (the input), ``get_attr`` for weights, ``call_function`` for functional ATen operators and a few
Python ones, ``call_module`` for control flow (``blocks``), and an output: a flat tuple of leaves. Gone are assertions,
blocks that switch gradients on and off (inlined), and devices (read off the input, so that a half can be moved).
"""

from __future__ import annotations

import hashlib
import keyword
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind
from torch.fx.node import Argument, map_aggregate

from splitward.core.errors import CutError
from splitward.split.blocks import Branch, Loop, Structure
from splitward.split.mutation import functional, is_mutating, is_plain

aten = torch.ops.aten
_higher = torch.ops.higher_order

_IDENTITIES = {aten.alias.default, aten.lift_fresh.default, aten.lift_fresh_copy.default}
_END = 2**63 - 1

Stack = tuple[tuple[str, str], ...]
"""The module calls around a node, outermost first: (the call's key, the module's path)."""


@dataclass(eq=False)
class Program:
    """One graph with what it refers to. ``meta``: ``val`` (what was traced), ``stack`` (module calls)."""

    graph: fx.Graph
    tensors: dict[str, Tensor] = field(default_factory=dict)  # nn.Parameter for parameters
    modules: dict[str, nn.Module] = field(default_factory=dict)
    structure: Structure = 0

    @property
    def input(self) -> fx.Node:
        """The placeholder."""
        found: fx.Node = next(n for n in self.graph.nodes if n.op == "placeholder")
        return found

    @property
    def outputs(self) -> tuple[Argument, ...]:
        """The leaves of the model's output: nodes and constants."""
        leaves: tuple[Argument, ...] = self.graph.output_node().args[0]  # type: ignore[assignment]
        return leaves


def stack_of(node: fx.Node) -> Stack:
    """The module calls around a node."""
    stack: Stack = node.meta.get("stack", ())
    return stack


def translate(exported: ExportedProgram, path: str) -> Program:
    """``exported`` in our form, with its weights; ``path`` is the attribute under which the wrapper held the model.

    Raises CutError for operators that have no place in it.
    """
    graphs = [m.graph for m in exported.graph_module.modules() if isinstance(m, fx.GraphModule)]
    mutating = [n for graph in graphs for n in graph.nodes if is_mutating(n)]
    if not all(is_plain(n) for n in mutating):
        exported = exported.run_decompositions({})  # rewritten by torch; a second or so, and operators get other names
    program = Program(fx.Graph())
    translator = _Translator(program, path)
    env: dict[fx.Node, Any] = {}
    for node, spec in zip(
        exported.graph.find_nodes(op="placeholder"), exported.graph_signature.input_specs, strict=True
    ):
        if spec.kind == InputKind.USER_INPUT:
            env[node] = program.graph.placeholder("values")
            env[node].meta["val"] = node.meta["val"]
            translator.device_source = env[node]
    for node, spec in zip(
        exported.graph.find_nodes(op="placeholder"), exported.graph_signature.input_specs, strict=True
    ):
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR) and spec.target:
            held = exported.state_dict.get(spec.target, exported.constants.get(spec.target))
            env[node] = translator.weight(node, spec.target, held, spec.kind == InputKind.CONSTANT_TENSOR)
        elif spec.kind != InputKind.USER_INPUT:
            raise CutError(f"the model holds {spec.target!r}, which is no tensor and cannot be carried by a half.")
    leaves = translator.run(exported.graph_module, env)
    kinds = [spec.kind for spec in exported.graph_signature.output_specs]
    outputs = [leaf for leaf, kind in zip(leaves, kinds, strict=True) if kind == OutputKind.USER_OUTPUT]
    program.graph.output(tuple(outputs))
    spec = exported.call_spec.out_spec
    program.structure = structure_of(torch.utils._pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    prune(program)
    return program


def prune(program: Program) -> None:
    """Drop every node that the output does not need (all are free of side effects)."""
    for node in reversed(list(program.graph.nodes)):
        if node.op not in ("placeholder", "output") and not node.users:
            program.graph.erase_node(node)


def structure_of(output: Any) -> Structure:
    """The structure of an output whose leaves are their own indices."""
    if isinstance(output, dict):
        for key in output:
            if not isinstance(key, (str, int)):
                raise CutError(f"the model's output has a key {key!r}: only texts and numbers are supported.")
        return ["dict", [[key, structure_of(part)] for key, part in output.items()]]
    if isinstance(output, (tuple, list)):
        return ["list" if isinstance(output, list) else "tuple", [structure_of(part) for part in output]]
    if isinstance(output, int):
        return output
    raise CutError(f"the model returns a {type(output).__name__}: tensors, tuples, lists and dicts are supported.")


class _Translator:
    """Copies nodes one by one into a program."""

    def __init__(self, program: Program, path: str) -> None:
        self.program = program
        self.graph = program.graph
        self.path = path
        self.device_source: fx.Node | None = None
        self.device: fx.Node | None = None

    def weight(self, source: fx.Node, name: str, held: Any, constant: bool) -> fx.Node:
        """A ``get_attr`` node; constants are named after their content, so that two traces agree."""
        if constant:
            digest = hashlib.sha256(held.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
            name = f"constant_{digest.hexdigest()[:12]}_{'x'.join(map(str, held.shape))}_{str(held.dtype)[6:]}"
        else:
            name = ".".join(map(_plain, name.removeprefix(self.path + ".").split(".")))
            while name in self.program.tensors:
                name += "_"
        self.program.tensors[name] = held
        node = self.graph.create_node("get_attr", name)
        node.meta["val"] = source.meta["val"]
        return node

    def run(self, source: fx.GraphModule, env: dict[fx.Node, Any]) -> list[Any]:
        """Copy the body of ``source``, whose placeholders are in ``env``; returns its flat outputs."""
        for node in source.graph.nodes:
            if node.op == "get_attr":
                env[node] = getattr(source, node.target)
            elif node.op == "call_function":
                env[node] = self.call(node, env)
            elif node.op == "output":
                output = node.args[0] if isinstance(node.args[0], (tuple, list)) else (node.args[0],)
                return list(map_aggregate(output, lambda a: env[a] if isinstance(a, fx.Node) else a))
            elif node.op != "placeholder":
                raise CutError(f"the exported graph holds a {node.op} of {node.target!r}, which cannot be cut.")
        return []

    def call(self, node: fx.Node, env: dict[fx.Node, Any]) -> Any:
        """The copy of one call: a node, or a list of nodes for several results of inlined blocks."""
        target: Any = node.target
        name = getattr(target, "__name__", str(target))
        if name.startswith(("_assert", "sym_constrain_range")):
            return None
        args: Any = map_aggregate(node.args, lambda a: self.argument(a, env))
        kwargs: Any = map_aggregate(node.kwargs, lambda a: self.argument(a, env))
        first = args[0] if args else None
        if target is operator.getitem and isinstance(first, (list, tuple)):
            return first[args[1]]
        if target in _IDENTITIES or _is_whole_slice(target, args):
            return first
        if target is _higher.wrap_with_set_grad_enabled:
            return self.inline(args)
        if target is _higher.cond:
            branch = Branch(self.subgraph(args[1]), self.subgraph(args[2]))
            return self.block("cond", branch, (args[0], *args[3]), node)
        if target is _higher.while_loop:
            loop = Loop(self.subgraph(args[0]), self.subgraph(args[1]))
            return self.block("while", loop, (tuple(args[2]), tuple(args[3])), node)
        if target is _higher.wrap_with_autocast:
            return self.autocast(args)
        if target is aten.detach_.default:
            target = aten.detach.default
        if isinstance(target, torch._ops.HigherOrderOperator):
            raise CutError(f"the model uses {target.name()}, which cannot be cut.")
        if is_mutating(node):
            return self.overwrite(node, self.graph.call_function(functional(target), args, kwargs), env)
        return self.finish(self.graph.call_function(target, args, kwargs), node)

    def overwrite(self, node: fx.Node, copy: fx.Node, env: dict[fx.Node, Any]) -> fx.Node:
        """From here on, whoever reads the overwritten tensor reads the result."""
        owner: Any = node
        while is_mutating(owner):
            owner = owner.args[0]
            env[owner] = copy
        return self.finish(copy, node)

    def argument(self, item: Any, env: dict[fx.Node, Any]) -> Any:
        if isinstance(item, fx.Node):
            return env[item]
        source = self.device_source
        if isinstance(item, torch.device) and source is not None and item.type == source.meta["val"].device.type:
            if self.device is None:
                with self.graph.inserting_after(source):
                    self.device = self.graph.call_function(torch.ops.prim.device.default, (source,))
                self.device.meta["val"] = item
            return self.device
        return item

    def finish(self, copy: fx.Node, source: fx.Node) -> fx.Node:
        copy.meta["val"] = source.meta.get("val")
        calls = (source.meta.get("nn_module_stack") or {}).items()
        copy.meta["stack"] = tuple((key, self.relative(where)) for key, (where, _) in calls)
        return copy

    def relative(self, where: str) -> str:
        """The path of a module in the model, from its path in the wrapper."""
        if where in (self.path, "_empty_nn_module_stack_from_metadata_hook"):
            return ""
        return where.removeprefix(self.path + ".")

    def inline(self, args: tuple[Any, ...]) -> list[Any]:
        """A block under ``torch.no_grad`` or ``enable_grad``: its nodes; no gradient flows back out of the former."""
        enabled, body, *operands = args
        results = self.run(body, dict(zip(body.graph.find_nodes(op="placeholder"), operands, strict=True)))
        if enabled:
            return results
        return [self.detached(result) for result in results]

    def autocast(self, args: tuple[Any, ...]) -> list[Any]:
        """A block that switches automatic precision off: its nodes. Switched on, it would have to stay a block."""
        _, _, enabled, _, *rest = args
        if enabled:
            raise CutError("the model switches automatic mixed precision (autocast) on, which cannot be cut.")
        return self.inline((True, *rest))

    def detached(self, result: Any) -> Any:
        if not isinstance(result, fx.Node) or not isinstance(result.meta.get("val"), Tensor):
            return result
        copy = self.graph.call_function(aten.detach.default, (result,))
        copy.meta.update(result.meta)
        return copy

    def subgraph(self, body: fx.GraphModule) -> fx.GraphModule:
        """The body of a control-flow operator as a module of its own."""
        inner = _Translator(Program(fx.Graph(), modules=self.program.modules), self.path)
        env: dict[fx.Node, Any] = {}
        for placeholder in body.graph.find_nodes(op="placeholder"):
            env[placeholder] = inner.graph.placeholder(placeholder.name)
            env[placeholder].meta["val"] = placeholder.meta.get("val")
            if inner.device_source is None and isinstance(placeholder.meta.get("val"), Tensor):
                inner.device_source = env[placeholder]
        inner.graph.output(tuple(inner.run(body, env)))
        prune(inner.program)
        used = {n.target: self.program.modules[n.target] for n in inner.graph.find_nodes(op="call_module")}
        return module_of(inner.program.graph, {**used})

    def block(self, name: str, block: nn.Module, args: tuple[Any, ...], node: fx.Node) -> fx.Node:
        """A node that calls a control-flow module."""
        return self.finish(self.graph.call_module(add_module(self.program, name, block), args), node)


def add_module(program: Program, name: str, module: nn.Module) -> str:
    """Add a control-flow module under a fresh name, which is returned."""
    fresh = next(f"{name}_{k}" for k in range(len(program.modules) + 1) if f"{name}_{k}" not in program.modules)
    program.modules[fresh] = module
    return fresh


def copy_node(node: fx.Node, source: Program, target: Program, map_node: Callable[[fx.Node], Any]) -> fx.Node:
    """A copy of one node, its control-flow module and its meta in another program."""
    if node.op == "placeholder":
        copy = target.graph.placeholder(str(node.target))
    elif node.op == "call_module":
        name = add_module(target, str(node.target).rsplit("_", 1)[0], source.modules[str(node.target)])
        copy = target.graph.call_module(name, fx.map_arg(node.args, map_node), fx.map_arg(node.kwargs, map_node))
    else:
        copy = target.graph.node_copy(node, map_node)
    copy.meta = dict(node.meta)
    return copy


def module_of(graph: fx.Graph, root: dict[str, Any]) -> fx.GraphModule:
    """A runnable module in evaluation mode, from a graph and what its nodes refer to."""
    module = fx.GraphModule(root, graph)
    module.training = False
    return module


def _plain(part: str) -> str:
    """One part of a weight's path as an attribute of a graph module: an identifier that is not taken."""
    part = re.sub(r"\W", "_", part, flags=re.ASCII)
    return part + "_" if keyword.iskeyword(part) or hasattr(fx.GraphModule, part) else part


def _is_whole_slice(target: Any, args: tuple[Any, ...]) -> bool:
    """``x[:, ...]``: takes all of a dimension."""
    if target is not aten.slice.Tensor:
        return False
    start, end, step = [*args[2:], None, None, None][:3]
    return start in (None, 0) and end in (None, _END) and step in (None, 1)
