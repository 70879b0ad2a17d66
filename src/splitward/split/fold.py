"""Two straight graphs that part at one decision, folded into one graph with a ``Branch``."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Callable
from typing import Any

from torch import SymBool, SymFloat, SymInt, Tensor, fx
from torch.fx.node import map_aggregate

from splitward.core.errors import CutError
from splitward.split.blocks import Branch, Guard, Loop, Select
from splitward.split.leaks import operator_name
from splitward.split.program import Program, Stack, add_module, copy_node, module_of, prune, stack_of
from splitward.split.shapes import affine, value

Pair = tuple[Any, Any]
"""A value on the one side (a node or a constant) and the value in its place on the other."""


def fold(if_true: Program, if_false: Program, kept: int) -> Program:
    """One program for the two sides of a decision.

    Outputs of both: the model's leaves, then the conditions of this path's decisions, of which the first ``kept``
    remain outputs and the next one chooses the side. All nodes are free of side effects, so what both sides compute is
    computed once, before the branch; and the longest run of nodes at the end that does the same on both sides, with
    other values, comes once, after it.
    """
    if if_true.structure[1][0] != if_false.structure[1][0]:
        raise CutError("the model returns another structure on another path of its control flow.")
    leaves = len(if_true.outputs) - kept - 1
    pairs = list(zip(if_true.outputs[:leaves], if_false.outputs[:leaves], strict=True))
    return _Fold(if_true, if_false, pairs).build(if_true.outputs[leaves:])


def describe(program: Program, node: fx.Node) -> str:
    """What the node calls, equal in two programs for equal work."""
    return _text(program.modules[str(node.target)]) if node.op == "call_module" else f"{node.op} {node.target}"


def _text(module: Any) -> str:
    """A control-flow module's content, whatever its nodes are called."""
    if isinstance(module, Guard):
        return f"guard {module.expected} {module.last_index}"
    if not isinstance(module, fx.GraphModule):
        return f"{type(module).__name__}({', '.join(_text(child) for child in module.children())})"
    numbers: dict[fx.Node, str] = {}
    lines = []
    for node in module.graph.nodes:
        call = _text(module.get_submodule(node.target)) if node.op == "call_module" else f"{node.op} {node.target}"
        lines.append(f"{'' if node.op == 'placeholder' else call} {_replaced((node.args, node.kwargs), numbers)}")
        numbers[node] = f"%{len(numbers)}"
    return "; ".join(lines)


def _replaced(args: Any, names: dict[fx.Node, str]) -> str:
    return repr(map_aggregate(args, lambda a: names[a] if isinstance(a, fx.Node) else a))


_FAILING = re.compile(
    r"linalg_|cholesky|inverse|lu_|gather|index|take|embedding|scatter|one_hot|item|_local_scalar|nonzero|masked_select"
    r"|multinomial|bincount|repeat_interleave|unpool|nll_loss|cross_entropy"
)
"""Operators that refuse some values, so that they must not be computed where the model would not have."""


def is_safe(node: fx.Node, program: Program) -> bool:
    """Whether the node can be computed from any values, needed or not."""
    if node.op == "call_module":
        return _is_safe_block(program.modules[str(node.target)])
    return not _FAILING.match(operator_name(node))


def _is_safe_block(block: Any) -> bool:
    if isinstance(block, fx.GraphModule):
        inner = Program(block.graph, modules=dict(block.named_children()))
        return all(is_safe(n, inner) for n in block.graph.nodes)
    if isinstance(block, Guard):
        return block.last_index
    return not isinstance(block, Loop) and all(_is_safe_block(child) for child in block.children())


def _keys(program: Program) -> dict[fx.Node, str]:
    """A digest of what each node computes: equal in two programs for equal work on equal values; repeats differ."""
    keys: dict[fx.Node, str] = {}
    repeats: dict[str, int] = {}
    for node in program.graph.nodes:
        if node.op != "output":
            what = f"{describe(program, node)} {_replaced((node.args, node.kwargs), keys)}"
            repeats[what] = repeats.get(what, 0) + 1
            keys[node] = hashlib.sha256(f"{what} {repeats[what]}".encode()).hexdigest()
    return keys


def _form(held: Any) -> Any:
    """What must agree for two values to stand for one another after the branch; None where they never may."""
    if isinstance(held, Tensor):
        return (held.dtype, tuple(affine(size) or str(size) for size in held.shape))
    if isinstance(held, (tuple, list)):
        return tuple(_form(part) for part in held)
    return None if isinstance(held, (SymInt, SymFloat, SymBool)) else type(held)


class _Fold:
    """The two sides: what they have in common, their tails, and what differs in between."""

    def __init__(self, if_true: Program, if_false: Program, outputs: list[Pair]) -> None:
        self.programs = (if_true, if_false)
        self.outputs = outputs
        self.keys = (_keys(if_true), _keys(if_false))
        self.shared = set(self.keys[0].values()) & set(self.keys[1].values())
        self.rests = tuple(
            [n for n, key in keys.items() if key not in self.shared and n.op != "get_attr"] for keys in self.keys
        )
        self.tail = self._match()
        self.heads = tuple(rest[: len(rest) - len(self.tail)] for rest in self.rests)

    def _match(self) -> list[Pair]:
        """The tails, last pair first."""
        tail: list[Pair] = []
        demanded = list(self.outputs)
        for pair in zip(reversed(self.rests[0]), reversed(self.rests[1]), strict=False):
            clash = any((x is pair[0]) is not (y is pair[1]) for x, y in demanded)
            if clash or not self._alike(*pair):
                break
            tail.append(pair)
            demanded += _pairs(*pair)
        while True:
            differing = self.differing(tail)
            if all(_form(value(x)) == _form(value(y)) and _is_tensor(x) and _is_tensor(y) for x, y in differing):
                return tail
            if not tail:
                raise CutError("the model returns other shapes or types on another path of its control flow.")
            tail.pop()

    def _alike(self, one: fx.Node, other: fx.Node) -> bool:
        """Whether two nodes do the same to whatever they are given."""
        if describe(self.programs[0], one) != describe(self.programs[1], other):
            return False
        if [path for _, path in stack_of(one)] != [path for _, path in stack_of(other)]:
            return False
        if _form(value(one)) != _form(value(other)) or _skeleton(one) != _skeleton(other):
            return False
        pairs = set(_pairs(one, other))
        weights = [(x, y) for x, y in pairs if "get_attr" in (x.op, y.op)]
        return len({x for x, _ in pairs}) == len(pairs) and all(self.same(x, y) for x, y in weights)

    def same(self, x: Any, y: Any) -> bool:
        """Whether the pair is one value, known before the branch."""
        if not isinstance(x, fx.Node) or not isinstance(y, fx.Node):
            return not isinstance(x, fx.Node) and not isinstance(y, fx.Node) and bool(x == y)
        return self.keys[0][x] == self.keys[1][y]

    def differing(self, tail: list[Pair]) -> list[Pair]:
        """The pairs of values that the tails and the outputs need and that the branch has to return."""
        matched = {(id(x), id(y)) for x, y in tail}
        needed = [*self.outputs, *(p for pair in tail for p in _pairs(*pair))]
        unique = {(id(x), id(y)): (x, y) for x, y in needed}
        return [pair for ids, pair in unique.items() if ids not in matched and not self.same(*pair)]

    def build(self, conditions: tuple[Any, ...]) -> Program:
        """The folded program; the last of ``conditions`` chooses the side."""
        result = Program(fx.Graph(), structure=self.programs[0].structure)
        made: dict[str, fx.Node] = {}
        for program, keys in zip(self.programs, self.keys, strict=True):
            for node, key in keys.items():
                if key not in made and (key in self.shared or node.op == "get_attr"):
                    made[key] = copy_node(node, program, result, _through(keys, made))
            result.tensors.update(program.tensors)
        differing = self.differing(self.tail)
        results: dict[tuple[int, int], fx.Node] = {}
        if differing:
            chosen = made[self.keys[0][conditions[-1]]]
            call = self._select(chosen, differing, made, result) or self._branch(chosen, differing, made, result)
            call.meta.update(val=tuple(value(x) for x, _ in differing), stack=self._stack(conditions[-1]))
            for k, (x, y) in enumerate(differing):
                results[id(x), id(y)] = result.graph.call_function(operator.getitem, (call, k))
                results[id(x), id(y)].meta.update(val=value(x), stack=call.meta["stack"])

        def resolve(x: Any, y: Any) -> Any:
            return results[id(x), id(y)] if (id(x), id(y)) in results else made[self.keys[0][x]]

        for x, y in reversed(self.tail):
            results[id(x), id(y)] = copy_node(
                x, self.programs[0], result, {a: resolve(a, b) for a, b in _pairs(x, y)}.__getitem__
            )
        outputs = [resolve(x, y) if isinstance(x, fx.Node) else x for x, y in self.outputs]
        result.graph.output((*outputs, *(made[self.keys[0][c]] for c in conditions[:-1])))
        prune(result)
        return result

    def _select(
        self, condition: fx.Node, differing: list[Pair], made: dict[str, fx.Node], result: Program
    ) -> fx.Node | None:
        """Where only one side computes anything (an early exit, an ``if`` without ``else``): compute it always, then
        choose, so that the model can be cut inside of it. None where both do, or where that side could fail."""
        if all(self.heads) or not all(is_safe(n, p) for p, h in zip(self.programs, self.heads, strict=True) for n in h):
            return None
        for program, keys, head in zip(self.programs, self.keys, self.heads, strict=True):
            for node in head:
                made[keys[node]] = copy_node(node, program, result, _through(keys, made))
        values = [made[self.keys[k][pair[k]]] for k in (0, 1) for pair in differing]
        return result.graph.call_module(add_module(result, "cond", Select()), (condition, *values))

    def _branch(self, condition: fx.Node, differing: list[Pair], made: dict[str, fx.Node], result: Program) -> fx.Node:
        """A node that computes one side or the other."""
        operands = self._operands(made, differing)
        sides = [self._side(k, operands, [pair[k] for pair in differing]) for k in (0, 1)]
        name = add_module(result, "cond", Branch(*sides))
        return result.graph.call_module(name, (condition, *operands.values()))

    def _operands(self, made: dict[str, fx.Node], differing: list[Pair]) -> dict[str, fx.Node]:
        """What the sides take from before the branch."""
        operands: dict[str, fx.Node] = {}
        for k in (0, 1):
            used = [n for node in self.heads[k] for n in node.all_input_nodes] + [pair[k] for pair in differing]
            for node in used:
                key = self.keys[k][node]
                if key in made:
                    operands.setdefault(key, made[key])
        return operands

    def _side(self, k: int, operands: dict[str, fx.Node], results: list[fx.Node]) -> fx.GraphModule:
        """One side of the branch."""
        side = Program(fx.Graph())
        env: dict[str, fx.Node] = {}
        for n, (key, node) in enumerate(operands.items()):
            env[key] = side.graph.placeholder(f"value_{n}")
            env[key].meta.update(node.meta)
        for node in self.heads[k]:
            env[self.keys[k][node]] = copy_node(node, self.programs[k], side, lambda n: env[self.keys[k][n]])
        side.graph.output(tuple(env[self.keys[k][node]] for node in results))
        prune(side)
        return module_of(side.graph, dict(side.modules))

    def _stack(self, condition: fx.Node) -> Stack:
        """The module calls around everything that differs, and the decision itself."""
        stacks = [stack_of(n) for n in (condition, *self.heads[0], *self.heads[1]) if stack_of(n)]
        depth = 0
        while all(len(s) > depth and s[depth][0] == stacks[0][depth][0] for s in stacks):
            depth += 1
        return stacks[0][:depth] if stacks else ()


def _through(keys: dict[fx.Node, str], made: dict[str, fx.Node]) -> Callable[[fx.Node], fx.Node]:
    return lambda node: made[keys[node]]


def _is_tensor(x: Any) -> bool:
    return isinstance(x, fx.Node) and isinstance(value(x), Tensor)


def _skeleton(node: fx.Node) -> str:
    return repr(map_aggregate((node.args, node.kwargs), lambda a: "%" if isinstance(a, fx.Node) else a))


def _pairs(one: fx.Node, other: fx.Node) -> list[Pair]:
    """The nodes that two nodes of equal skeleton take, side by side."""
    return list(zip(_flat(one), _flat(other), strict=True))


def _flat(node: fx.Node) -> list[fx.Node]:
    found: list[fx.Node] = []
    map_aggregate((node.args, node.kwargs), lambda a: found.append(a) if isinstance(a, fx.Node) else None)
    return found
