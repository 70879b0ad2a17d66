"""``splitward cloud``: serve the cloud's halves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def cloud_command(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Cloud bundles of `splitward export`.")],
    grpc: Annotated[str | None, Option("--grpc", metavar="HOST:PORT", help="Port 0: any that is free.")] = None,
    http: Annotated[
        str | None, Option("--http", metavar="HOST:PORT", help="[default: both, on 127.0.0.1:8001 and :8000]")
    ] = None,
    tls: Annotated[
        Path | None, Option("--tls", metavar="DIR", help="server.pem, server.key, ca.pem: mutual TLS 1.3.")
    ] = None,
    key: Annotated[
        Path | None, Option("--key", help="signing.pub of the exporter. [default: that in --tls, and your own]")
    ] = None,
    insecure: Annotated[bool, Option("--insecure", help="Let other machines in without TLS.")] = False,
    max_batch: Annotated[int, Option("--max-batch", min=1, help="Samples that run together, and of a request.")] = 64,
    max_delay: Annotated[
        float, Option("--max-delay", min=0, max=10_000, help="ms that a request waits for company at most.")
    ] = 0,
    batching: Annotated[bool, Option("--batching/--no-batching", help="Run requests that wait together.")] = True,
    max_queue: Annotated[int, Option("--max-queue", min=1, help="Requests that wait for a model at most.")] = 256,
    max_message: Annotated[
        int | None, Option("--max-message", min=1024, help="Bytes of a request. [default: a full batch's]")
    ] = None,
    max_concurrent: Annotated[int, Option("--max-concurrent", min=1, help="Requests and streams at once.")] = 512,
    threads: Annotated[
        int | None, Option("--threads", min=1, help="Of one run. [default: 1; all for long runs]")
    ] = None,
    drain: Annotated[float, Option("--drain", min=0, help="Seconds to finish in on SIGTERM.")] = 10,
) -> None:
    """Serve cloud bundles over the Open Inference Protocol; says `ready` on standard error when it does.

    Each model is named as its bundle says. Every bundle's signature and hashes are checked first.
    """
    from splitward.runtime.cloud.environment import prepare_grpc

    prepare_grpc()
    from splitward.runtime.cloud.addresses import Address, parse_address
    from splitward.runtime.cloud.batching import Limits
    from splitward.runtime.cloud.server import Settings, run

    over_grpc = parse_address(grpc, "--grpc") if grpc else None
    over_http = parse_address(http, "--http") if http else None
    if over_grpc is None and over_http is None:
        over_grpc, over_http = Address("127.0.0.1", 8001), Address("127.0.0.1", 8000)
    limits = Limits(max_batch, max_delay / 1e3, max_queue, batching)
    run(
        Settings(
            tuple(bundles), over_grpc, over_http, tls=tls, key=key, insecure=insecure, limits=limits,
            message_bytes=max_message, concurrent=max_concurrent, threads=threads, drain_s=drain,
        )
    )  # fmt: skip
