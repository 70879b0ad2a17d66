"""One cut of a device's bundle at work: pixels in, the bytes of a request out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import BundleError
from splitward.runtime import messages
from splitward.runtime.bundle import Bundle
from splitward.runtime.draws import Draws, identity
from splitward.runtime.manifest import EdgeCut, EdgeManifest
from splitward.runtime.manifest import Tensor as Spec
from splitward.runtime.normalise import normaliser
from splitward.runtime.session import Session
from splitward.runtime.switching import Cost
from splitward.runtime.wire import Packing

Array = NDArray[np.generic]
Pixels = NDArray[np.float32]


class Half:
    """The device's half at one cut, its defence and its form on the wire. ``key``: of keyed noise; None: fresh."""

    def __init__(
        self, bundle: Bundle[EdgeManifest], cut: EdgeCut, key: bytes | None, packing: Packing, threads: int = 1
    ) -> None:
        self.cut, self.packing = cut, packing
        self._bundle, self._threads = bundle, threads
        half = bundle.manifest.files[cut.half].sha256
        self.context = f"{half} {cut.defence}".encode()
        self._normalise = normaliser(bundle.manifest.normalise)
        self.draws = Draws(cut.defence, key, self.context)

    @cached_property
    def _session(self) -> Session:
        about = self._bundle.manifest
        values = Spec(name="values_0", dtype="float32", shape=about.input.shape)
        model = self._bundle.contents[self.cut.half]
        return Session(model, [values], self.cut.activation, self._threads, self.cut.half)

    @cached_property
    def _offline(self) -> Session:
        if self.cut.offline is None:
            raise BundleError(
                f"the bundle does not carry the cloud's half of {self.cut.cut}: export it with --offline."
            )
        model = self._bundle.contents[self.cut.offline]
        return Session(model, self.cut.activation, self.cut.outputs, self._threads, self.cut.offline)

    def load(self) -> None:
        """Load the half now rather than at the first input."""
        assert self._session

    def release(self, pixels: Pixels) -> list[Array]:
        """What is sent for ``pixels`` (N, C, H, W) in [0, 1]: one draw of the defence for each."""
        values = self._normalise(pixels)
        if not self.draws.channels:
            return self._session.run([values])
        streams = self.draws.streams(list(pixels))
        values = self.draws.at("input", values, streams).astype(np.float32, copy=False)
        return [self.draws.at("wire", part, streams) for part in self._session.run([values])]

    def request(self, identifier: str, pixels: Pixels, extended: bool) -> messages.Request:
        """``release`` as a message."""
        return messages.make(identifier, self.cut, self.packing, self.release(pixels), extended)

    def alone(self, pixels: Pixels) -> list[Array]:
        """The answer of the whole model on the device, without a defence: nothing leaves. Raises BundleError."""
        return self._offline.run(self._session.run([self._normalise(pixels)]))

    def cost(self) -> Cost:
        """Of one input, for switching; without a plan this device is timed, and the cloud's time not known."""
        bits = {"fp32": 32, "fp16": 16, "int8": 8, "packed": self.packing.bits}[self.packing.precision]
        up = sum(
            -(-t.elements * bits // 8) if t.dtype == "float32" else t.bytes_per_sample for t in self.cut.activation
        )
        down = sum(t.bytes_per_sample for t in self.cut.outputs)
        planned = self.cut.planned
        if planned is not None:
            return Cost(planned.edge_ms, planned.cloud_ms, up, down)
        blank = np.zeros((1, *self._bundle.manifest.input.shape), np.float32)
        return Cost(min(self._timed(blank) for _ in range(5)), 0.0, up, down)

    def _timed(self, pixels: Pixels) -> float:
        start = time.perf_counter()
        self.release(pixels)
        return 1e3 * (time.perf_counter() - start)


def identities(pixels: Pixels) -> Sequence[bytes]:
    """What the ledger knows each input by."""
    return [identity(one) for one in pixels]
