"""An attack in a process of its own, which holds its knowledge and nothing else.

The type of its argument already keeps an attack from what its threat model forbids. A hostile or careless attack could
still look around in the process (``gc``, frames, globals). Here there is nothing to find: the child is started afresh
and is sent the attack, its knowledge without the oracle, and the activations; the oracle is a pipe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import traceback
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from splitward.core.errors import AttackError, BudgetExceeded
from splitward.core.knowledge import Activations, BlackBox, QueryFree
from splitward.core.run import Run


class PipeOracle:
    """The oracle as the child sees it: questions go into the pipe, answers come out of it."""

    def __init__(self, connection: Connection, budget: int | None) -> None:
        self.used = 0
        self.budget = budget
        self._connection = connection

    def __call__(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Ask the device for the activations of ``pixels``; raises BudgetExceeded as the device says."""
        self._connection.send(("query", pixels.detach().cpu()))
        answer, used = self._connection.recv()
        self.used = used
        if isinstance(answer, str):
            raise BudgetExceeded(answer)
        return tuple(part.to(pixels.device) for part in answer)


def _child(connection: Connection, threads: int) -> None:
    torch.set_num_threads(threads)
    attack, kind, held, budget, seed, device, activations, probe = connection.recv()
    try:
        if issubclass(kind, BlackBox):
            held["query"] = PipeOracle(connection, budget)
        run = Run(seed, torch.device(device))
        guess = attack.prepare(kind(**held), run)(activations)
        connection.send(("done", (guess.detach().cpu(), run.trace, probe() if probe is not None else None)))
    except Exception as error:
        connection.send(("failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))
    with contextlib.suppress(EOFError):
        connection.recv()  # tensors are fetched from this process while they are unpacked: stay until that is done


def run_isolated(
    attack: Any, knowledge: QueryFree, activations: Activations, run: Run, probe: Any = None
) -> tuple[Tensor, Any]:
    """What ``attack`` recovers in a fresh process: (pixels, what ``probe()`` returned there).

    ``probe``: a module-level function that is called in the child after the attack, for tests of what can be seen from
    there. Raises AttackError with the child's reason.
    """
    held = {f.name: getattr(knowledge, f.name) for f in dataclasses.fields(knowledge) if f.name != "query"}
    oracle = getattr(knowledge, "query", None)
    budget = None if oracle is None else oracle.budget
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, torch.get_num_threads()), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.send((attack, type(knowledge), held, budget, run.seed, str(run.device), activations, probe))
        while True:
            kind, content = ours.recv()
            if kind == "query" and oracle is not None:
                ours.send((_asked(oracle, content), oracle.used))
            elif kind == "done":
                guess, trace, seen = content
                run.trace.update(trace)
                return guess, seen
            else:
                raise AttackError(f"attack {attack.name!r} failed in its own process: {content}")
    except EOFError as error:
        raise AttackError(f"the process of attack {attack.name!r} ended without an answer.") from error
    finally:
        ours.close()
        process.join(timeout=5)
        if process.is_alive():
            process.terminate()


def _asked(oracle: Any, pixels: Tensor) -> Any:
    try:
        return tuple(part.cpu() for part in oracle(pixels))
    except BudgetExceeded as error:
        return str(error)
