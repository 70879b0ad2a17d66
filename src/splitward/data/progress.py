"""Where a download says how far it is: the shape of ``splitward.core.run.Progress``, free of torch."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """As ``splitward.core.run.Progress``; one unit is one byte."""

    def start(self, description: str, total: int | None) -> None:
        """A new piece of work begins."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """``steps`` more are done."""

    def finish(self) -> None:
        """The piece of work is done."""


class Silent:
    """Progress that nobody watches."""

    def start(self, description: str, total: int | None) -> None:
        """Says nothing."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Says nothing."""

    def finish(self) -> None:
        """Says nothing."""
