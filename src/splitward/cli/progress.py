"""Progress on standard error, and only to a terminal."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Bars:
    """The progress of nested pieces of work as bars; silent where standard error is no terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("[dim]{task.fields[note]}"),
            console=console, transient=True, disable=not sys.stderr.isatty(),
        )  # fmt: skip
        self._open: list[TaskID] = []

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._progress.stop()

    def start(self, description: str, total: int | None) -> None:
        """A new piece of work, inside the one that is under way."""
        indent = "  " * len(self._open)
        self._open.append(self._progress.add_task(f"{indent}{description}", total=total, note=""))

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more of the innermost piece of work are done; an empty note leaves the last one."""
        if self._open:
            self._progress.update(self._open[-1], advance=steps)
            if note:
                self._progress.update(self._open[-1], note=note)

    def finish(self) -> None:
        """The innermost piece of work is done."""
        if self._open:
            self._progress.remove_task(self._open.pop())


def audits_at_once() -> int:
    """Processes that audit side by side, where nothing else is said: one a processor, 4 at most; 1 on a GPU."""
    import torch

    return 1 if torch.cuda.is_available() else min(4, os.cpu_count() or 1)
