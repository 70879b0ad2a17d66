"""The models that are served, by name and version."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from splitward.core.errors import BundleError, in_one_line
from splitward.runtime.bundle import Bundle
from splitward.runtime.cloud.batching import Batcher, Limits
from splitward.runtime.cloud.refusal import Kind, Refusal, shown
from splitward.runtime.manifest import CloudManifest
from splitward.runtime.session import Session

LONG_S = 5e-3

PLATFORM = "onnxruntime_onnx"

Observe = Callable[[CloudManifest, int, float, float], None]


@dataclass(frozen=True)
class Served:
    """One version of one model, ready to run."""

    manifest: CloudManifest
    batcher: Batcher


class Models:
    """What is served. A request without a version gets the newest."""

    def __init__(self, served: Iterable[Served]) -> None:
        self._served: dict[str, dict[str, Served]] = {}
        for one in served:
            versions = self._served.setdefault(one.manifest.name, {})
            if one.manifest.version in versions:
                raise BundleError(
                    f"two bundles are {one.manifest.name} version {one.manifest.version}: export one of them under "
                    "another --name or --model-version."
                )
            versions[one.manifest.version] = one
        for name, versions in self._served.items():
            self._served[name] = dict(sorted(versions.items(), key=lambda item: int(item[0])))

    def find(self, name: str, version: str = "") -> Served:
        """The model; Refusal where there is none of this name or version."""
        versions = self._served.get(name)
        if versions is None:
            raise Refusal(Kind.UNKNOWN, f"there is no model {shown(name)} here.")
        if not version:
            return next(reversed(versions.values()))
        if version not in versions:
            raise Refusal(Kind.UNKNOWN, f"there is no version {shown(version)} of {name} here.")
        return versions[version]

    def versions(self, name: str) -> list[str]:
        """Of a model that is served, oldest first."""
        return list(self._served[name])

    def all(self) -> list[Served]:
        """Every version of every model."""
        return [one for versions in self._served.values() for one in versions.values()]


def serve(
    bundle: Bundle[CloudManifest], limits: Limits, executor: Executor, threads: int | None, observe: Observe
) -> Served:
    """A session for a bundle, run before it is served. Raises BundleError where its half is not what its manifest says.

    ``threads`` of a run; None: one for a half that takes less than ``LONG_S``, else all processors. To wake a second
    thread takes longer than a short run.
    """
    about = bundle.manifest
    session, seconds = _warm(bundle, threads or 1)
    if threads is None and seconds > LONG_S:
        session, seconds = _warm(bundle, processors())
    return Served(
        about, Batcher(about.name, session.run, limits, executor, lambda *told: observe(about, *told), seconds)
    )


def _warm(bundle: Bundle[CloudManifest], threads: int) -> tuple[Session, float]:
    """A session, and the seconds of one sample's second run."""
    about = bundle.manifest
    session = Session(bundle.contents[about.half], about.activation, about.outputs, threads, f"{about.name}'s half")
    zeros = [np.zeros((1, *t.shape), t.dtype) for t in about.activation]
    try:
        session.run(zeros)
        start = time.monotonic()
        session.run(zeros)
    except Exception as error:  # ONNX Runtime raises many kinds
        raise BundleError(f"{about.name}'s half does not run: {in_one_line(error)}.") from None
    return session, time.monotonic() - start


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
