"""The life of a server: bundles are read, ports bound, ``ready`` is said, and on SIGTERM what was begun is finished."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import uvicorn

from splitward.core.errors import BundleError, UsageError
from splitward.runtime.bundle import read_cloud
from splitward.runtime.cloud import grpc_service
from splitward.runtime.cloud.addresses import Address, Tls, listen, read_tls, refuse_open, takes_tls_12
from splitward.runtime.cloud.batching import Limits
from splitward.runtime.cloud.core import Core
from splitward.runtime.cloud.http_app import Endpoints
from splitward.runtime.cloud.http_protocol import Bounded
from splitward.runtime.cloud.logs import Libraries, Log
from splitward.runtime.cloud.metrics import Metrics
from splitward.runtime.cloud.models import Models, serve
from splitward.runtime.signing import trusted_keys

READ_S = 0.1
"""What clients have to read the last answers, before their connections are closed."""


@dataclass(frozen=True)
class Settings:
    """How a server runs. ``message_bytes`` None: what a full batch of the largest activation needs, at least 1 MiB.

    ``concurrent``: requests (of gRPC: streams too) that are worked on or wait. ``drain_s``: how long what was begun may
    take once the server is to stop.
    """

    bundles: tuple[Path, ...]
    grpc: Address | None
    http: Address | None
    tls: Path | None = None
    key: Path | None = None
    insecure: bool = False
    limits: Limits = field(default_factory=Limits)
    message_bytes: int | None = None
    concurrent: int = 512
    threads: int | None = None
    drain_s: float = 10.0


@dataclass
class _Listening:
    """What is bound; ``None``: that protocol is not served. ``tls``: where gRPC is, if secured."""

    grpc: grpc.aio.Server | None
    http: uvicorn.Server | None
    socket: socket.socket | None
    tls: Address | None


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises UsageError or BundleError before anything is served."""
    addresses = [a for a in (settings.grpc, settings.http) if a is not None]
    refuse_open(addresses, settings.tls is not None, settings.insecure)
    tls = read_tls(settings.tls) if settings.tls else None
    log = Log()
    handler = Libraries(log)
    logging.getLogger().addHandler(handler)
    try:
        with ThreadPoolExecutor(2, "model") as executor:
            asyncio.run(_serve(settings, tls, _core(settings, executor, log), log))
    finally:
        logging.getLogger().removeHandler(handler)
        log.close()


def _core(settings: Settings, executor: ThreadPoolExecutor, log: Log) -> Core:
    keys = trusted_keys(settings.key, settings.tls)
    bundles = [read_cloud(folder, keys) for folder in settings.bundles]
    metrics = Metrics()
    models = Models([serve(b, settings.limits, executor, settings.threads, metrics.ran) for b in bundles])
    metrics.watch(lambda: models)
    for bundle in bundles:
        about = bundle.manifest
        log("model", name=about.name, version=about.version, manifest_sha256=bundle.sha256, pairing=about.pairing)
    return Core(models, metrics, log, settings.message_bytes or _message_bytes(models, settings), settings.limits.rows)


def _message_bytes(models: Models, settings: Settings) -> int:
    rows = settings.limits.rows
    largest = max(sum(t.bytes_per_sample for t in one.manifest.activation) for one in models.all())
    return max(1 << 20, rows * largest + (64 << 10))


async def _serve(settings: Settings, tls: Tls | None, core: Core, log: Log) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    listening = _bind(settings, tls, core, log)
    serving = await _start(listening)
    log.line("ready")
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({stopped, serving} if serving else {stopped}, return_when=asyncio.FIRST_COMPLETED)
    log("draining", seconds=settings.drain_s)
    core.drain()
    end = time.monotonic() + settings.drain_s
    await _settle(core, end)
    await _stop(listening, serving, max(0.0, end - time.monotonic()))
    log("stopped")


def _bind(settings: Settings, tls: Tls | None, core: Core, log: Log) -> _Listening:
    bound = listen(settings.http, "--http") if settings.http else None
    web = _web(settings, tls, core) if bound else None
    server = secured = None
    if settings.grpc:
        server, port = grpc_service.make_server(core, settings.grpc, tls, settings.concurrent)
        secured = Address(settings.grpc.host, port) if tls else None
        log("listening", protocol="grpc", address=str(Address(settings.grpc.host, port)), tls="1.3" if tls else None)
    if bound and settings.http:
        address = Address(settings.http.host, bound.getsockname()[1])
        log("listening", protocol="http", address=str(address), tls="1.3" if tls else None)
    return _Listening(server, web, bound, secured)


async def _start(listening: _Listening) -> asyncio.Future[Any] | None:
    if listening.grpc:
        await listening.grpc.start()
        agreed = await asyncio.to_thread(takes_tls_12, listening.tls) if listening.tls else False
        if agreed:
            raise UsageError("gRPC would take TLS 1.2 here: it was imported before `prepare_grpc` was called.")
    if listening.http is None or listening.socket is None:
        return None
    serving = asyncio.ensure_future(listening.http.serve(sockets=[listening.socket]))
    while not listening.http.started and not serving.done():
        await asyncio.sleep(0.005)
    if serving.done():
        raise BundleError("the HTTP server did not start.")
    return serving


async def _settle(core: Core, end: float) -> None:
    """What was begun is answered, and the answers are read: a socket that is closed with something in it is reset."""
    while core.metrics.in_flight and time.monotonic() < end:
        await asyncio.sleep(0.01)
    await asyncio.sleep(READ_S)


async def _stop(listening: _Listening, serving: asyncio.Future[Any] | None, seconds: float) -> None:
    """What was begun has ``seconds`` to finish."""
    if listening.http:
        listening.http.config.timeout_graceful_shutdown = max(1, round(seconds))
        listening.http.should_exit = True
    if listening.grpc:
        await listening.grpc.stop(seconds)
    if serving:
        with contextlib.suppress(asyncio.CancelledError):
            await serving


class _Web(uvicorn.Server):
    """Signals are the whole server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _web(settings: Settings, tls: Tls | None, core: Core) -> uvicorn.Server:
    config = uvicorn.Config(
        Endpoints(core).app(), http=Bounded, ws="none", lifespan="off", access_log=False, log_config=None,
        limit_concurrency=settings.concurrent, timeout_keep_alive=30, server_header=False,
    )  # fmt: skip
    config.load()
    config.ssl = tls.context if tls else None
    return _Web(config)
