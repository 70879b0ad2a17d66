"""``splitward edge``: a device at work, from images to answers."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from splitward.runtime.edge import Edge
    from splitward.runtime.options import Answer, Options

    Named = tuple[str, NDArray[np.float32]]

Option = typer.Option


def edge_command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The edge's folder of `splitward export`.")],
    cloud: Annotated[str, Option("--cloud", help="HOST:PORT of any server of the Open Inference Protocol (gRPC).")],
    trust: Annotated[
        Path | None,
        Option("--trust", "--key", help="signing.pub of the exporter. [default: that in --tls, or your own]"),
    ] = None,
    tls: Annotated[Path | None, Option("--tls", help="Folder with ca.pem, client.pem and client.key.")] = None,
    insecure: Annotated[
        bool, Option("--insecure", help="Without TLS to another machine: read and changed by all.")
    ] = False,
    images: Annotated[
        Path | None, Option("--images", help="Folder of images. [default: netpbm frames on standard input]")
    ] = None,
    watch: Annotated[
        float | None, Option("--watch", min=0.05, help="Look for new images every so many seconds, until interrupted.")
    ] = None,
    stream: Annotated[bool, Option("--stream", help="Over one stream, several at a time.")] = False,
    wire: Annotated[str, Option("--wire", help="fp32; fp16, int8, or packed for quantise:BITS (our cloud).")] = "fp32",
    zstd: Annotated[bool, Option("--zstd", help="Compress; the sizes then depend on what is sent.")] = False,
    keyed: Annotated[bool, Option("--keyed", help="The same input always gets the same noise.")] = False,
    ledger: Annotated[Path | None, Option("--ledger", help="Privacy ledger. [default: your own]")] = None,
    releases: Annotated[
        int | None, Option("--releases", help="Of one input, at most. [default: what was audited]")
    ] = None,
    per_window: Annotated[
        int | None, Option("--per-window", min=1, help="Inputs of one source within --window, at most.")
    ] = None,
    window: Annotated[float, Option("--window", min=0.001, help="Seconds.")] = 10.0,
    without_cloud: Annotated[str, Option("--without-cloud", help="fail, queue, or local (the whole model).")] = "fail",
    deadline: Annotated[float, Option("--deadline", min=0.01, help="Seconds until a request is given up.")] = 10.0,
    threads: Annotated[int, Option("--threads", min=1, help="Of the half.")] = 1,
    record: Annotated[
        Path | None, Option("--record", help="A new file for exactly what crosses: see `splitward audit --from-wire`.")
    ] = None,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
) -> int:
    """Run the device: each image through its half and its defence, counted in the ledger, and sent.

    Exit status: 0 every input has an answer; 1 one has none (refused by the ledger, or failed); 2 wrong usage.
    """
    return _run(dict(locals()))


def _run(given: dict[str, Any]) -> int:
    from splitward.core.errors import UsageError
    from splitward.runtime.bundle import read_edge
    from splitward.runtime.edge import Edge
    from splitward.runtime.remote import Remote
    from splitward.runtime.retry import Patience
    from splitward.runtime.signing import trusted_keys

    if given["watch"] is not None and given["images"] is None:
        raise UsageError("--watch looks at a folder: name it with --images.")
    if given["stream"] and given["without_cloud"] == "queue":
        raise UsageError("with --stream nothing is queued: leave it away, or choose --without-cloud fail or local.")
    options, tls, deadline = _options(given), given["tls"], given["deadline"]
    read = read_edge(given["bundle"], trusted_keys(given["trust"], tls))
    patience = Patience(deadline_s=deadline, attempt_s=min(Patience.attempt_s, deadline))
    remote = Remote(given["cloud"], tls, insecure=given["insecure"], patience=patience)
    rows: list[dict[str, Any]] = []
    with Edge(read, remote, given["ledger"], options) as edge:
        source = str(given["images"] or "standard input")
        try:
            for row in _rows(edge, _inputs(edge, given["images"], given["watch"]), source, given["stream"]):
                rows.append(row)
                if not given["as_json"]:
                    _print(row)
                if row["where"] == "cloud" and edge.queued:  # it is back
                    _flush(edge, rows, given["as_json"])
        except KeyboardInterrupt:
            if given["watch"] is None:
                raise
        _flush(edge, rows, given["as_json"])
        for row in rows:
            if row["where"] == "queued":
                row.update(where="failed", reason="no cloud answered until the end, and what was queued is lost.")
        _finish(edge, rows, given["as_json"])
    return 0 if rows and all(row["where"] in ("cloud", "local") for row in rows) else 1


def _options(given: dict[str, Any]) -> Options:
    from typing import get_args

    from splitward.core.errors import UsageError
    from splitward.runtime.ledger import Window
    from splitward.runtime.options import Options, WithoutCloud
    from splitward.runtime.wire import Precision

    for name, option, known in (("wire", "--wire", Precision), ("without_cloud", "--without-cloud", WithoutCloud)):
        if given[name] not in get_args(known):
            raise UsageError(f"{option} is {given[name]!r}; it is one of {', '.join(get_args(known))}.")
    limit = given["per_window"]
    same = ("keyed", "wire", "zstd", "releases", "without_cloud", "threads", "record")
    return Options(window=Window(limit, given["window"]) if limit else None, **{name: given[name] for name in same})


def _inputs(edge: Edge, folder: Path | None, watch: float | None) -> Iterator[Named]:
    """Names and pixels (1, C, H, W), as the audit reads them."""
    import numpy as np

    from splitward.core.errors import UsageError
    from splitward.data.images import frames, images_in, read_image

    channels, height, width = edge.bundle.manifest.input.shape
    shape = channels, height, width
    scale = np.float32(255)
    if folder is None:
        for number, frame in enumerate(frames(sys.stdin.buffer, shape)):
            yield f"frame {number}", np.divide(frame[None], scale, dtype=np.float32)
        return
    seen: set[Path] = set()
    while True:
        for path in images_in(folder):
            if path not in seen:
                seen.add(path)
                yield str(path.relative_to(folder)), np.divide(read_image(path, shape)[None], scale, dtype=np.float32)
        if watch is None and not seen:
            raise UsageError(f"{folder} holds no image; name a folder with images, or --watch it.")
        if watch is None:
            return
        time.sleep(watch)


def _rows(edge: Edge, inputs: Iterator[Named], source: str, stream: bool) -> Iterator[dict[str, Any]]:
    """One row for each input, in their order."""
    from splitward.core.errors import CloudError, LedgerRefusal, WireError

    if not stream:
        for name, pixels in inputs:
            try:
                yield _row(name, edge.infer(pixels, source))
            except (CloudError, LedgerRefusal, WireError) as error:
                yield _failed(name, error)
        return
    names: list[str] = []

    def batches() -> Iterator[NDArray[np.float32]]:
        for name, pixels in inputs:
            names.append(name)
            yield pixels

    for number, result in enumerate(edge.stream(batches(), source)):
        yield _failed(names[number], result) if isinstance(result, Exception) else _row(names[number], result)


def _row(name: str, answer: Answer) -> dict[str, Any]:
    first = answer.outputs[0] if answer.outputs else None
    return {
        "input": name, "label": int(first[0].argmax()) if first is not None and first.ndim == 2 else None,
        "where": answer.where, "cut": answer.cut, "sent_bytes": answer.sent_bytes, "ms": round(answer.ms, 3),
        "attempts": answer.attempts, "releases": answer.releases[0] if answer.releases else 0, "id": answer.id,
    }  # fmt: skip


def _failed(name: str, error: Exception) -> dict[str, Any]:
    from splitward.core.errors import LedgerRefusal

    return {"input": name, "where": "refused" if isinstance(error, LedgerRefusal) else "failed", "reason": str(error)}


def _flush(edge: Edge, rows: list[dict[str, Any]], as_json: bool) -> None:
    """Send what is queued; its rows become what came of it in the end."""
    known = {row["id"]: row for row in rows if row["where"] == "queued"}
    for identifier, result in edge.flushed():
        if (row := known.get(identifier)) is not None:
            name = row["input"]
            row.update(_failed(name, result) if isinstance(result, Exception) else _row(name, result))
            if not as_json:
                _print(row)


def _print(row: dict[str, Any]) -> None:
    if "reason" in row:
        typer.echo(f"{row['input']}\t{row['where']}: {row['reason']}")
        return
    label = "-" if row["label"] is None else row["label"]
    typer.echo(f"{row['input']}\t{label}\t{row['where']}\t{row['sent_bytes']} bytes\t{row['ms']:.1f} ms")


def _finish(edge: Edge, rows: list[dict[str, Any]], as_json: bool) -> None:
    import dataclasses
    import json

    from splitward.runtime.ledger import BLIND

    counted = edge.ledger.summary()
    if as_json:
        document = {
            "bundle_sha256": edge.bundle.sha256, "cut": edge.half.cut.cut, "defence": edge.half.cut.defence,
            "limit": edge.limit, "answers": rows,
            "ledger": dataclasses.asdict(counted) | {"cannot_see": BLIND},
        }  # fmt: skip
        typer.echo(json.dumps(document, indent=1))
        return
    places = dict.fromkeys(row["where"] for row in rows)
    told = ", ".join(f"{sum(row['where'] == place for row in rows)} {place}" for place in places)
    typer.echo(f"splitward: {len(rows)} inputs: {told or 'none'}", err=True)
    typer.echo(
        f"splitward: the ledger has {counted.releases} releases of {counted.inputs} inputs, at most {counted.most} of "
        f"one (the limit is {edge.limit}), and {counted.repeats} repeats that told nothing new",
        err=True,
    )
    typer.echo(f"splitward: it cannot see {'; '.join(BLIND)}", err=True)
