"""What both protocols share: the models, the limits, the counters, and whether the server is going away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from splitward._version import __version__
from splitward.runtime.cloud.call import Array, Call
from splitward.runtime.cloud.logs import Log
from splitward.runtime.cloud.metrics import Metrics
from splitward.runtime.cloud.models import Models, Served
from splitward.runtime.cloud.refusal import Kind, Refusal
from splitward.runtime.encoding import PARAMETER

NAME = "splitward"
VERSION = __version__
EXTENSIONS = ("binary_tensor_data", PARAMETER)


@dataclass
class Core:
    """One server. ``message_bytes``: the largest request; ``rows``: samples of one request."""

    models: Models
    metrics: Metrics
    log: Log
    message_bytes: int
    rows: int
    draining: bool = False
    idle: set[asyncio.Task[None]] = field(default_factory=set)
    """Streams that wait for their client's next request."""

    async def infer(self, served: Served, call: Call, left_s: float | None) -> list[Array]:
        """The model's outputs; ``left_s``: until the protocol's own deadline. Raises Refusal."""
        waits = [t for t in (call.timeout_s, left_s) if t is not None]
        return await served.batcher.submit(call.arrays, call.count, min(waits) if waits else None)

    def refuse_draining(self) -> None:
        """No new work once the server is going away."""
        if self.draining:
            raise Refusal(Kind.DRAINING, "this server is going away: ask another one, or try again.")

    def refused(self, protocol: str, refusal: Refusal) -> None:
        """Log what the server itself is to blame for."""
        if refusal.kind is Kind.FAILED:
            self.log("failed", "error", protocol=protocol, why=str(refusal))

    def drain(self) -> None:
        """From now on nothing new; streams that wait for a request are ended."""
        self.draining = True
        for task in list(self.idle):
            task.cancel()
