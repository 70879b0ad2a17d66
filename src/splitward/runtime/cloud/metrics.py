"""Counters for Prometheus: what was asked, answered and refused, how long it took, how full the batches were."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from splitward.runtime.cloud.models import Models
from splitward.runtime.cloud.refusal import Refusal
from splitward.runtime.manifest import CloudManifest

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Waiting(Collector):
    def __init__(self, models: Callable[[], Models]) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("splitward_waiting", "Requests in the queue.", labels=["model", "version"])
        for one in self._models().all():
            family.add_metric([one.manifest.name, one.manifest.version], one.batcher.waiting)
        yield family


class Metrics:
    """One registry a server. A label is never a client's text: requests for models that are not here have none."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        of_model = ("model", "version")
        self._requests = Counter(
            "splitward_requests", "Inference requests by what became of them.", ("protocol", "result"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "splitward_request_seconds", "From a request's arrival to its answer, refusals too.", ("protocol",),
            buckets=SECONDS, registry=self._registry,
        )  # fmt: skip
        self.in_flight = 0
        running = Gauge("splitward_in_flight", "Requests being answered.", registry=self._registry)
        running.set_function(lambda: self.in_flight)
        self._rows = Histogram(
            "splitward_batch_rows", "Samples of a run of the model.", of_model, buckets=ROWS, registry=self._registry
        )
        self._waited = Histogram(
            "splitward_queue_seconds", "The longest wait of a batch.", of_model, buckets=SECONDS,
            registry=self._registry,
        )  # fmt: skip
        self._ran = Histogram(
            "splitward_run_seconds", "A run of the model.", of_model, buckets=SECONDS, registry=self._registry
        )

    def watch(self, models: Callable[[], Models]) -> None:
        """Report the queues too."""
        self._registry.register(_Waiting(models))

    @contextmanager
    def request(self, protocol: str) -> Iterator[None]:
        """Counts what happens inside: a Refusal by its kind, a cancellation, or an answer."""
        start, result = time.perf_counter(), "cancelled"
        self.in_flight += 1
        try:
            yield
            result = "answered"
        except Refusal as refusal:
            result = refusal.kind.value.label
            raise
        except Exception:
            result = "error"
            raise
        finally:
            self.in_flight -= 1
            self._requests.labels(protocol, result).inc()
            self._seconds.labels(protocol).observe(time.perf_counter() - start)

    def ran(self, about: CloudManifest, rows: int, waited_s: float, ran_s: float) -> None:
        """One run of a model."""
        for histogram, value in ((self._rows, rows), (self._waited, waited_s), (self._ran, ran_s)):
            histogram.labels(about.name, about.version).observe(value)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)
