"""A recording of a device as the secrets of an audit: whose bytes they are, and what their sizes and times tell.

The truth is found by the hashes of the pictures, among the images that the data set holds out. The attackers hold what
they hold in any audit: nothing of the recording but the bytes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from splitward.audit.crossed import Crossed
from splitward.audit.forms import EightBits, HalfPrecision
from splitward.core.defence import Channel
from splitward.core.errors import RecordError, UsageError
from splitward.core.knowledge import Samples
from splitward.core.run import derive_seed
from splitward.record.wire import Tell, Wire
from splitward.runtime.manifest import EdgeCut
from splitward.runtime.recording import Message, Recording, picture_key, read

NEIGHBOURS, PERMUTATIONS, JUDGED = 5, 199, 1000

Row = tuple[int, int]
"""A message, and a picture within it."""


def fill(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Settings of an audit with the cut and the defence of a recording, where they are not stated.

    Raises UsageError where the recording is of several cuts and none is named, or of another defence.
    """
    recording = read(path)
    at = values.get("at") or []
    named = [at] if isinstance(at, str) else list(at)
    used = list(dict.fromkeys(message.sent.cut for message in recording.messages))
    if len(named) > 1 or (not named and len(used) > 1):
        raise UsageError(f"{path} is of the cuts {', '.join(used)}: name one of them with --at.")
    cut = recording.cut(named[0] if named else used[0])
    stated = values.get("defence") or values.get("defences")
    text = stated if isinstance(stated, str) else "+".join(stated or ())
    if text and text != cut.defence:
        raise UsageError(f"{path} was recorded with the defence {cut.defence}, not {text}: leave --defence away.")
    return values | {"at": [cut.cut], "defence": [] if cut.defence == "none" else [cut.defence]}


@dataclass(frozen=True)
class Matched:
    """The secrets, as indices into the pool, and what crossed for them, in their order."""

    chosen: tuple[int, ...]
    crossed: Crossed
    weights_sha256: str | None  # that the device was exported from, where it was audited


def match(path: Path, at: str, pool: Samples, samples: int, observations: int, seed: int) -> Matched:
    """Up to ``samples`` images of ``pool`` that were sent at least ``observations`` times; of more, a random choice.

    Raises RecordError or UsageError where the recording cannot serve.
    """
    recording = read(path)
    cut = recording.cut(at)
    messages = [message for message in recording.messages if message.sent.cut == at]
    if recording.about.keyed and observations > 1:
        raise UsageError(
            "the noise of this recording is keyed: however often an input was sent, it is one observation; leave "
            "--observations away."
        )
    rows = _rows(messages, pool)
    enough = sorted(index for index, found in rows.items() if len(found) >= observations)
    if len(enough) < 2:
        raise UsageError(
            f"{path} holds {len(enough)} of the {len(pool):,} held-out images of {pool.name} at least {observations} "
            "times, and 2 are due: send such images through the device (`splitward data images` writes them)."
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "secrets"))
    picked = torch.randperm(len(enough), generator=generator)[:samples].sort().values
    chosen = tuple(enough[int(i)] for i in picked)
    sent = tuple(
        torch.from_numpy(
            np.stack([[messages[m].tensors[part][row] for m, row in rows[i][:observations]] for i in chosen])
        )
        for part in range(len(cut.activation))
    )
    stated = _encoding(messages, path)
    wire = _described(path, recording, messages, stated, _classes(rows, pool))
    audited = cut.audited.weights_sha256 if cut.audited else None
    return Matched(chosen, Crossed(sent, _form(stated, cut), wire), audited)


def _rows(messages: list[Message], pool: Samples) -> dict[int, list[Row]]:
    """By index into the pool, where its picture was sent, in the order of time."""
    known = {picture_key(image): index for index, image in enumerate(pool.images.cpu().numpy())}
    found: dict[int, list[Row]] = defaultdict(list)
    for number, message in enumerate(messages):
        for row, key in enumerate(message.sent.pictures):
            if key in known:
                found[known[key]].append((number, row))
    return found


def _encoding(messages: list[Message], path: Path) -> str:
    stated = {message.encoding for message in messages}
    if len(stated) > 1:
        raise RecordError(f"{path} mixes the encodings {', '.join(sorted(s or 'plain' for s in stated))}: record one.")
    return stated.pop()


def _form(stated: str, cut: EdgeCut) -> Channel | None:
    if stated.startswith("fp16"):
        return HalfPrecision()
    if not stated.startswith("int8"):
        return None
    ranges = tuple(zip((t.shape for t in cut.activation), cut.ranges, strict=True))
    if len(dict(ranges)) < len(set(ranges)):
        raise RecordError("two tensors of one shape cross with different ranges of int8; audit such a cut with fp16.")
    return EightBits(ranges)


def _classes(rows: dict[int, list[Row]], pool: Samples) -> dict[int, int]:
    """By message, the class of its picture."""
    if pool.labels is None:
        return {}
    return {m: int(pool.labels[index]) for index, found in rows.items() for m, _ in found}


def _described(path: Path, recording: Recording, messages: list[Message], stated: str, classes: dict[int, int]) -> Wire:
    sizes = np.array([message.sent.size for message in messages], np.float64)
    times = np.array([message.sent.ms for message in messages])
    single = [m for m in sorted(classes) if len(messages[m].sent.pictures) == 1][:JUDGED]
    labels = np.array([classes[m] for m in single])
    judged = len(single) > NEIGHBOURS and len(np.unique(labels)) > 1
    return Wire(
        recording_sha256=hashlib.sha256(path.read_bytes()).hexdigest(), encoding=stated, keyed=recording.about.keyed,
        messages=len(messages), resent=sum(message.sent.attempts > 1 for message in messages),
        bytes_min=int(sizes.min()), bytes_max=int(sizes.max()), bytes_spread=float(sizes.std()),
        ms_min=float(times.min()), ms_max=float(times.max()), ms_spread=float(times.std()),
        tells=(tell("bytes", sizes[single], labels), tell("ms", times[single], labels)) if judged else (),
    )  # fmt: skip


def tell(quantity: Literal["bytes", "ms"], values: NDArray[np.float64], labels: NDArray[Any]) -> Tell:
    """Whether one number (N,) of a message tells the class (N,): each guessed from the nearest others, ties included.

    The p-value is that of a permutation test (199 orders).
    """
    distance = np.abs(values[:, None] - values[None])
    np.fill_diagonal(distance, np.inf)
    near = (distance <= np.sort(distance, 1)[:, NEIGHBOURS - 1 : NEIGHBOURS]).astype(np.float64)
    marks = (labels[:, None] == np.unique(labels)[None]).astype(np.float64)
    draws = np.random.default_rng(0)

    def accuracy(order: NDArray[Any]) -> float:
        votes = near @ marks[order]
        return float(marks[order][np.arange(len(labels)), votes.argmax(1)].mean())

    found = accuracy(np.arange(len(labels)))
    as_good = sum(accuracy(draws.permutation(len(labels))) >= found for _ in range(PERMUTATIONS))
    return Tell(
        quantity=quantity, accuracy=found, chance=float(marks.mean(0).max()), p=(1 + as_good) / (1 + PERMUTATIONS),
        n=len(labels), neighbours=NEIGHBOURS,
    )  # fmt: skip
