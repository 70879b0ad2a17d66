"""Python control flow that depends on the data, as control flow in the graph.

``torch.export`` cannot trace ``if h.mean() > 0:``: one trace follows one side. So the model is traced once along every
path: whenever its code asks a tensor for a truth value (or a small index), a schedule answers. The straight traces are
then folded, two by two, into one graph: what both have in common comes before and after, what differs goes
into the two sides of a ``Branch``. The result offers cuts before, between and after the branches, not inside them.

Loops are followed up to ``MAX_DECISIONS`` decisions; a path that fails, or is longer, ends in a ``Guard`` that raises
when an input takes it.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.overrides import TorchFunctionMode

from splitward.core.errors import CutError
from splitward.split.blocks import Guard
from splitward.split.fold import fold
from splitward.split.program import Program, add_module, prune, stack_of
from splitward.split.shapes import is_number_like, value

MAX_DECISIONS = 16
"""On one path. A loop is unrolled at most so often; indices are enumerated below it."""

MAX_PATHS = 64


class PathTooLong(Exception):  # noqa: N818 - caught by the exploration, never seen by a user
    """More decisions than we follow."""


class Decide(TorchFunctionMode):
    """Answers the questions that the model's code asks about values, by a schedule, then always with yes."""

    def __init__(self, schedule: Sequence[bool]) -> None:
        super().__init__()
        self.schedule = schedule
        self.taken: list[bool] = []
        self.conditions: list[Tensor] = []

    def decide(self, condition: Tensor) -> bool:
        """The next answer of the schedule; the condition (one element) is recorded."""
        if len(self.taken) >= MAX_DECISIONS:
            raise PathTooLong
        answer = self.schedule[len(self.taken)] if len(self.taken) < len(self.schedule) else True
        self.conditions.append(condition.reshape(()).clone())
        self.taken.append(answer)
        return answer

    def index(self, number: Tensor) -> int:
        """0, 1, 2, ... until the schedule says that this is the one."""
        number = number.trunc() if number.is_floating_point() else number
        candidate = 0
        while not self.decide(number == candidate):
            candidate += 1
        return candidate

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.__bool__, torch.Tensor.is_nonzero, torch.is_nonzero):
            return self.decide(args[0])
        if func is torch.Tensor.item:  # a number is a tensor without dimensions; Python's own numbers carry no gradient
            return args[0].detach().reshape(())
        if func in (torch.Tensor.__int__, torch.Tensor.__index__):
            return self.index(args[0])
        if func in (torch.equal, torch.Tensor.equal):
            return args[0].shape == args[1].shape and self.decide((args[0] == args[1]).all())
        if func in (torch.allclose, torch.Tensor.allclose):
            return self.decide(torch.isclose(*args, **(kwargs or {})).all())
        return func(*args, **(kwargs or {}))


Trace = Callable[[Sequence[bool]], tuple[Program | None, list[bool], bool]]
"""From a schedule to the program of that path, the decisions that it took, and whether it ran out of an index.

The program's outputs are the model's, then one condition for each decision; None where the model fails on that path."""


def explore(trace: Trace) -> Program:
    """Every path, folded into one program. Raises CutError where there are too many, or all fail."""
    traced = 0

    def below(prefix: list[bool]) -> tuple[Program | None, bool]:
        """The program of all paths that begin so, and whether they begin with an index beyond the last."""
        nonlocal traced
        traced += 1
        if traced > MAX_PATHS:
            raise CutError(f"the model's control flow has more than {MAX_PATHS} paths that depend on the data.")
        program, taken, exhausted = trace(prefix)
        if exhausted and len(taken) == len(prefix) + 1:
            return None, True  # no larger index needs to be tried
        for depth in reversed(range(len(prefix), len(taken))):
            other, beyond = below([*taken[:depth], False])
            program = _either(program, other, depth, beyond)
        return program, False

    program, _ = below([])
    if program is None:
        raise CutError("the model fails on every path of its control flow that depends on the data.")
    program.structure = program.structure[1][0]  # the model's own: no condition is left
    return program


def _either(if_true: Program | None, if_false: Program | None, depth: int, last_index: bool = False) -> Program | None:
    """One program for both answers to the decision at ``depth``; conditions of earlier decisions stay outputs."""
    if if_true is not None and if_false is not None:
        return fold(if_true, if_false, kept=depth)
    program, expected = (if_true, True) if if_true is not None else (if_false, False)
    if program is not None:
        _guard(program, Guard(expected, last_index), depth)
    return program


def _guard(program: Program, guard: Guard, depth: int) -> None:
    """Make the program raise where the condition of the decision at ``depth`` is not as expected.

    The guard sits on the value that the condition was computed from, or else on the outputs: so that it is met, and
    that what comes after the decision still looks the same on all paths.
    """
    leaves = len(program.outputs) - depth - 1
    condition = program.outputs[-1]
    assert isinstance(condition, fx.Node)
    output = program.graph.output_node()
    output.args = (program.outputs[:-1],)
    before = set(itertools.takewhile(lambda n: n is not condition.next, program.graph.nodes))
    guarded = next((n for n in reversed(_ancestors(condition)) if _used_outside(n, before)), None)
    outputs = [n for n in program.outputs[:leaves] if isinstance(n, fx.Node)]
    targets = [guarded] if guarded is not None else list(dict.fromkeys(outputs))
    name = add_module(program, "guard", guard)
    with program.graph.inserting_before(output if guarded is None else condition.next):
        call = program.graph.call_module(name, (condition, *targets))
        call.meta.update(val=tuple(value(t) for t in targets), stack=stack_of(condition))
        for k, target in enumerate(targets):
            users = [u for u in target.users if u not in before and u is not call]
            passed = program.graph.call_function(operator.getitem, (call, k))
            passed.meta.update(target.meta)
            for user in users if guarded is not None else [output]:
                user.replace_input_with(target, passed)
    prune(program)


def _ancestors(node: fx.Node) -> list[fx.Node]:
    """What a node is computed from, in order, without weights."""
    seen: set[fx.Node] = set()
    waiting = list(node.all_input_nodes)
    while waiting:
        one = waiting.pop()
        if one not in seen and one.op != "get_attr":
            seen.add(one)
            waiting.extend(one.all_input_nodes)
    return [n for n in node.graph.nodes if n in seen]


def _used_outside(node: fx.Node, before: set[fx.Node]) -> bool:
    """Whether it is a float tensor that something after the decision uses."""
    held = value(node)
    return isinstance(held, Tensor) and is_number_like(held) and any(user not in before for user in node.users)
