"""The device: pixels in, an answer out, and between them nothing but what was audited.

```python
from splitward.runtime.edge import Edge

with Edge.open("bundles/edge", trust="signing.pub", cloud="localhost:8001") as edge:
    answer = edge.infer(pixels)          # (N, C, H, W) float32 in [0, 1]
```

An input passes the half in ONNX Runtime and its defence, is counted in the ledger, and only then sent. Nothing here
imports torch.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splitward.core.errors import CloudError, CloudUnavailable, LedgerRefusal, SplitwardError, UsageError
from splitward.runtime import messages
from splitward.runtime.bundle import Bundle, read_edge
from splitward.runtime.half import Half, identities
from splitward.runtime.ledger import Ledger
from splitward.runtime.manifest import EdgeManifest
from splitward.runtime.messages import Request
from splitward.runtime.options import Answer, Options, own_ledger, packing, release_limit
from splitward.runtime.remote import Remote, Reply
from splitward.runtime.retry import Patience
from splitward.runtime.signing import trusted_key
from splitward.runtime.streaming import Stream
from splitward.runtime.switching import Cost, Link

Pixels = NDArray[np.float32]

if TYPE_CHECKING:
    from splitward.runtime.recording import Recorder

PING_EVERY_S = 5.0


@dataclass(frozen=True)
class _Prepared:
    """A counted release, ready to be sent."""

    half: Half
    request: Request
    pictures: tuple[str, ...]
    releases: tuple[int, ...]
    begun: float


class Edge:
    """One device and its cloud. Threads may share it.

    ``ledger``: a file, or a ledger that is shared; None: that of the user. Raises UsageError for options that the
    bundle cannot keep; other errors are those of its parts.
    """

    def __init__(
        self, bundle: Bundle[EdgeManifest], remote: Remote, ledger: Ledger | Path | None = None,
        options: Options | None = None,
    ) -> None:  # fmt: skip
        self.bundle, self.remote, self.options = bundle, remote, options or Options()
        self.limit = release_limit(bundle.manifest, self.options.releases)
        self.ledger = ledger if isinstance(ledger, Ledger) else Ledger(ledger or own_ledger())
        key = self.ledger.noise_key if self.options.keyed else None
        self.halves = [
            Half(bundle, cut, key, packing(self.options, cut), self.options.threads) for cut in bundle.manifest.cuts
        ]
        if self.options.without_cloud == "local" and not any(h.cut.offline for h in self.halves):
            raise UsageError(
                "the bundle does not carry the whole model: export it with --offline, or do not ask for it."
            )
        self.halves[0].load()
        self.link, self.counts = Link(), Counter[str]()
        self._present, self._pinged = 0, -PING_EVERY_S
        self._costs: list[Cost] = []
        self._queue: deque[_Prepared] = deque()
        self._lock = threading.Lock()
        self._recorder = self._begin() if self.options.record else None

    def _begin(self) -> Recorder:
        from splitward.runtime.recording import About, Recorder

        assert self.options.record is not None
        cuts = self.bundle.manifest.cuts
        return Recorder(
            self.options.record, About(bundle_sha256=self.bundle.sha256, keyed=self.options.keyed, cuts=cuts)
        )

    @classmethod
    def open(
        cls, bundle: Path | str, *, trust: Path | str, cloud: str, tls: Path | None = None, insecure: bool = False,
        ledger: Path | None = None, options: Options | None = None, patience: Patience | None = None,
    ) -> Edge:  # fmt: skip
        """A device from the bundle's folder, the exporter's public key, and the address of a cloud."""
        read = read_edge(Path(bundle), [trusted_key(Path(trust))])
        return cls(read, Remote(cloud, tls, insecure=insecure, patience=patience), ledger, options)

    def __enter__(self) -> Edge:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def half(self) -> Half:
        """The cut in use."""
        return self.halves[self._present]

    def infer(self, pixels: Pixels, source: str = "") -> Answer:
        """The answer to a batch (N, C, H, W) float32 in [0, 1]; ``source``: the camera, for the ledger's window.

        Raises LedgerRefusal where an input may not be released again, CloudUnavailable where no cloud answers in time
        and nothing else was asked for, CloudError where it refuses or answers nonsense.
        """
        begun, images = time.perf_counter(), self._checked(pixels)
        self.counts["asked"] += 1
        try:
            answer = self._infer(images, source, begun)
        except SplitwardError as error:
            self.counts["refused" if isinstance(error, LedgerRefusal) else "failed"] += 1
            raise
        self.counts[answer.where] += 1
        return answer

    def _infer(self, images: Pixels, source: str, begun: float) -> Answer:
        policy, half = self.options.without_cloud, self._choose()
        if policy != "queue" and self.remote.breaker.is_open:
            return self._without(images, None, CloudUnavailable(f"{self.remote.address} does not answer."), begun)
        try:
            prepared = self._prepare(half, images, source, begun)
        except LedgerRefusal:
            if policy != "local":
                raise
            return self._local(images, begun)
        except CloudUnavailable as error:
            return self._without(images, None, error, begun)
        try:
            return self._answered(prepared, self._ask(prepared))
        except CloudUnavailable as error:
            return self._without(images, prepared, error, begun)

    def _without(self, images: Pixels, prepared: _Prepared | None, error: CloudUnavailable, begun: float) -> Answer:
        """What was chosen for the time without a cloud."""
        if self.options.without_cloud == "local":
            return self._local(images, begun, prepared)
        if self.options.without_cloud == "fail" or prepared is None:
            raise error
        with self._lock:
            if len(self._queue) >= self.options.queue:
                raise CloudUnavailable(f"{error} The queue of {self.options.queue} is full.")
            self._queue.append(prepared)
        request = prepared.request
        return Answer(
            request.id, (), "queued", prepared.half.cut.cut, len(request.message), _ms(begun), 0, prepared.releases
        )

    def _local(self, images: Pixels, begun: float, prepared: _Prepared | None = None) -> Answer:
        half = next(h for h in self.halves if h.cut.offline)
        outputs = tuple(half.alone(images))
        size, releases = (len(prepared.request.message), prepared.releases) if prepared else (0, ())
        return Answer(secrets.token_hex(8), outputs, "local", half.cut.cut, size, _ms(begun), 0, releases)

    def _prepare(self, half: Half, images: Pixels, source: str, begun: float) -> _Prepared:
        """The message, made and counted; from here on it may be sent."""
        request = half.request(secrets.token_hex(8), images, self._extended(half))
        counted = self.ledger.release(
            identities(images), self.limit, half.context, repeats=half.draws.repeats, source=source,
            window=self.options.window,
        )  # fmt: skip
        pictures = self._recorder.pictures(images) if self._recorder else ()
        return _Prepared(half, request, pictures, tuple(counted), begun)

    def _extended(self, half: Half) -> bool:
        """Whether the server reads our encodings; raises CloudError where it must and does not."""
        plain = half.packing.precision == "fp32" and not half.packing.zstd
        try:
            extended = self.remote.extended()
        except CloudUnavailable:
            if self.options.without_cloud == "queue":
                return not plain  # it is found out when the queue is sent
            raise
        if not extended and not plain:
            raise CloudError(
                f"{self.remote.address} reads plain tensors only, and not {half.packing.precision}"
                f"{' with zstd' if half.packing.zstd else ''}: leave --wire and --zstd away."
            )
        return extended

    def _ask(self, prepared: _Prepared) -> Reply:
        try:
            reply = self.remote.ask(prepared.request)
        except CloudError:
            self._record(prepared, None)
            raise
        size = len(prepared.request.message)
        costs = self._costs[self.halves.index(prepared.half)] if self._costs else None
        if reply.attempts == 1 and costs:
            self.link.carried(size, 1e3 * reply.seconds, prepared.request.samples * costs.cloud_ms)
        return reply

    def _answered(self, prepared: _Prepared, reply: Reply) -> Answer:
        self._record(prepared, reply)
        cut, request = prepared.half.cut, prepared.request
        outputs = tuple(messages.answer(reply.response, request, cut))
        return Answer(
            request.id, outputs, "cloud", cut.cut, len(request.message), _ms(prepared.begun), reply.attempts,
            prepared.releases,
        )  # fmt: skip

    def _record(self, prepared: _Prepared, reply: Reply | None) -> None:
        if self._recorder is not None:
            attempts, size = (reply.attempts, reply.response.ByteSize()) if reply else (0, 0)
            self._recorder.keep(
                prepared.request.message, prepared.half.cut.cut, prepared.pictures, _ms(prepared.begun), attempts, size
            )

    def stream(
        self, batches: Iterable[Pixels], source: str = "", window: int = 16
    ) -> Iterator[Answer | SplitwardError]:
        """Answers in the order of ``batches`` over one open stream; what failed comes as its error, none is lost.

        Without a cloud *local* applies to each batch by itself; nothing is queued.
        """
        under_way: deque[tuple[_Prepared | None, Pixels]] = deque()

        def requests() -> Iterator[Request | SplitwardError]:
            for batch in batches:
                self.counts["asked"] += 1
                images = self._checked(batch)
                try:
                    prepared = self._prepare(self._choose(), images, source, time.perf_counter())
                except SplitwardError as error:
                    under_way.append((None, images))
                    yield error
                else:
                    under_way.append((prepared, images))
                    yield prepared.request

        for result in Stream(self.remote, requests(), window):
            yield self._streamed(*under_way.popleft(), result)

    def _streamed(self, prepared: _Prepared | None, images: Pixels, result: Any) -> Answer | SplitwardError:
        outcome: Answer | SplitwardError
        try:
            outcome = self._outcome(prepared, images, result)
        except SplitwardError as error:
            outcome = error
        if isinstance(outcome, Answer):
            self.counts[outcome.where] += 1
        else:
            self.counts["refused" if isinstance(outcome, LedgerRefusal) else "failed"] += 1
        return outcome

    def _outcome(self, prepared: _Prepared | None, images: Pixels, result: Any) -> Answer | SplitwardError:
        if isinstance(result, Reply) and prepared is not None:
            return self._answered(prepared, result)
        if prepared is not None:
            self._record(prepared, None)
        if self.options.without_cloud == "local" and isinstance(result, CloudUnavailable | LedgerRefusal):
            return self._local(images, time.perf_counter(), prepared)
        error: SplitwardError = result
        return error

    @property
    def queued(self) -> int:
        """Messages that wait for the cloud."""
        return len(self._queue)

    def flush(self) -> list[Answer | SplitwardError]:
        """Send what is queued, oldest first, until the cloud cannot be reached; each one's answer or error."""
        return [result for _, result in self.flushed()]

    def flushed(self) -> Iterator[tuple[str, Answer | SplitwardError]]:
        """``flush`` one by one: the identifier of each message, and its answer or error as soon as it is there.

        A message whose sending is interrupted stays queued.
        """
        while self._queue:
            with self._lock:
                prepared = self._queue.popleft()
            try:
                result: Answer | SplitwardError = self._answered(prepared, self._ask(prepared))
            except CloudUnavailable:
                with self._lock:
                    self._queue.appendleft(prepared)
                return
            except SplitwardError as error:
                result = error
            except BaseException:
                with self._lock:
                    self._queue.appendleft(prepared)
                raise
            self.counts.update({"queued": -1, "cloud" if isinstance(result, Answer) else "failed": 1})
            yield prepared.request.id, result

    def _choose(self) -> Half:
        """The cut for the present link; where there is one only, that."""
        if len(self.halves) > 1:
            if not self._costs:
                self._costs = [half.cost() for half in self.halves]
            if time.monotonic() - self._pinged > PING_EVERY_S:
                self._pinged = time.monotonic()
                if (ms := self.remote.ping_ms()) is not None:
                    self.link.pinged(ms)
            self._present = self.link.best(self._costs, self._present)
        return self.half

    def _checked(self, pixels: Pixels) -> Pixels:
        due = self.bundle.manifest.input.shape
        images: Pixels = np.ascontiguousarray(pixels)
        if images.dtype != np.float32 or images.shape[1:] != due or not len(images):
            raise UsageError(
                f"pixels are {images.dtype} of shape {images.shape}; float32 (N, {str(due)[1:-1]}) are due."
            )
        if not (images.min() >= 0 and images.max() <= 1):  # NaN too
            raise UsageError("pixels lie outside [0, 1]: give them as they are, normalisation belongs to the bundle.")
        return images

    def close(self) -> None:
        """Hang up and close ledger and recording. What is queued still is lost, and counted as failed."""
        self.counts.update(queued=-len(self._queue), failed=len(self._queue))
        self._queue.clear()
        self.remote.close()
        self.ledger.close()
        if self._recorder is not None:
            self._recorder.close()


def _ms(begun: float) -> float:
    return 1e3 * (time.perf_counter() - begun)
