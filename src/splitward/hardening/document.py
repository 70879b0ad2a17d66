"""What a hardening writes down (``hardening.json``), and what is decided from it; free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from splitward.record.schema import Estimate, Floor
from splitward.record.sentences import floor_source

FILE = "hardening.json"
VERSION = 1


class Part(BaseModel):
    """Base of every part."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cost(Part):
    """Of one sample: bytes on the wire, operations on the device, and these as a multiple of the first cut's."""

    wire_bytes: int
    edge_flops: int
    edge_cost: float


class Tried(Part):
    """A candidate after a round of the search, measured on the selection set by the proxy: *not* a verdict.

    ``steps`` and ``seconds``: of all rounds so far. ``drop_points``: accuracy lost, in points of per cent.
    """

    recipe: str
    method: str
    at: str
    rung: int
    steps: int
    seconds: float
    loss: float
    accuracy: float
    drop_points: float
    leakage_ssim: float
    floor_ssim: float
    excess: float
    cost: Cost
    failed: str = ""


class Seen(Part):
    """The verdict of one adaptive audit of a judged point, at ``observations`` of each secret.

    ``upper``: the upper 95 % limit of the mean excess, the largest over all attacks. ``unbelieved``: threat models of
    which no attack that knows the defence can be believed. ``at_least``: where there is no verdict, the excess that was
    found all the same, its lower 95 % limit.
    """

    observations: int
    attack: str = ""
    threat_model: str = ""
    leakage_ssim: float | None = None
    floor_ssim: float | None = None
    floor_name: str = ""
    excess: float | None = None
    upper: float | None = None
    worst_decile: float | None = None
    finding: str = ""
    unbelieved: tuple[str, ...] = ()
    at_least: float | None = None
    sentence: str
    record: str  # folder of the audit


class Judged(Part):
    """A point that the suite attacked, on secrets that the search never saw.

    ``kind``: hardened, plain (a defence of the papers, nothing retrained), none. ``drop_points``: paired, on held-out
    images. ``breaks``: which limits are broken, in words.
    """

    kind: Literal["hardened", "plain", "none"]
    recipe: str
    method: str
    at: str
    defence: str
    accuracy: float
    drop_points: Estimate
    cost: Cost
    seen: tuple[Seen, ...]
    halves: str = ""
    steps: int = 0
    train_seconds: float = 0.0
    breaks: tuple[str, ...] = ()
    front: bool = False

    @property
    def upper(self) -> float | None:
        """The largest upper limit of the excess over all audits; None where one gave no verdict."""
        limits = [s.upper for s in self.seen]
        known = [u for u in limits if u is not None]
        return max(known) if known and len(known) == len(limits) else None


class Document(Part):
    """The whole of it."""

    format: str = "splitward-hardening"
    version: int = VERSION
    command: str
    model: str
    weights_sha256: str
    data: str
    at: tuple[str, ...]
    seed: int
    effort: str  # of the search
    audit_effort: str  # of the attacks that judged
    attacks: str = "all"  # which they were
    released: Literal["none", "label", "probabilities", "logits"] = "label"
    trains: str
    limits: dict[str, float | int | None]
    samples: dict[str, int]
    machine: dict[str, Any]
    tried: tuple[Tried, ...] = ()
    judged: tuple[Judged, ...] = ()
    recommended: int | None = None  # an index into ``judged``
    sentence: str = ""

    def save(self, folder: Path) -> Path:
        """Write ``hardening.json``; all of it or nothing."""
        path = folder / FILE
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(indent=1), encoding="utf-8")
        part.replace(path)
        return path


def broken(point: Judged, limits: dict[str, float | int | None]) -> tuple[str, ...]:
    """Which limits a point breaks, each in words; no verdict breaks them all."""
    found = []
    if point.upper is None:
        why = next((s.sentence.rstrip(".") for s in point.seen if s.upper is None and s.sentence), "")
        found.append(f"no believable verdict ({why})" if why else "no believable verdict")
    weak = sorted({model for seen in point.seen for model in seen.unbelieved})
    if weak:
        found.append(f"no believable {' or '.join(weak)} attack knew of the defence")
    held = {
        "max_accuracy_drop": (point.drop_points.mean, "points of accuracy"),
        "max_edge_cost": (point.cost.edge_cost, "times the edge's operations"),
        "max_bytes": (point.cost.wire_bytes, "bytes"),
        "max_excess": (point.upper if point.upper is not None else 0.0, "excess leakage (upper 95 % limit)"),
    }
    for name, (value, unit) in held.items():
        limit = limits.get(name)
        if limit is not None and value > limit:
            found.append(f"{value:.4g} {unit}, more than {limit:g}")
    return tuple(found)


def concluded(document: Document) -> Document:
    """With broken limits, the Pareto front, the recommended point and the sentence."""
    judged = [p.model_copy(update={"breaks": broken(p, document.limits)}) for p in document.judged]
    judged = [p.model_copy(update={"front": on_front(p, judged)}) for p in judged]
    best = recommended(judged)
    return document.model_copy(
        update={"judged": tuple(judged), "recommended": best, "sentence": _sentence(document, judged, best)}
    )


def _numbers(point: Judged) -> tuple[float, ...]:
    upper = point.upper if point.upper is not None else float("inf")
    return point.drop_points.mean, upper, point.cost.wire_bytes, point.cost.edge_cost


def on_front(point: Judged, others: Sequence[Judged]) -> bool:
    """Whether no other point is at least as good in accuracy, excess, bytes and edge cost, and better in one."""
    if point.upper is None:
        return False
    own, rivals = _numbers(point), [_numbers(other) for other in others if other.upper is not None]
    return not any(rival != own and all(a <= b for a, b in zip(rival, own, strict=True)) for rival in rivals)


def recommended(judged: Sequence[Judged]) -> int | None:
    """The hardened point that leaks least among those that break no limit; None where there is none."""
    kept = [i for i, p in enumerate(judged) if p.kind == "hardened" and not p.breaks]
    return min(kept, key=lambda i: (_numbers(judged[i])[1], _numbers(judged[i])), default=None)


def _floor(seen: Seen, document: Document) -> str:
    prior = seen.floor_name.startswith("prior")
    return floor_source(Floor(name=seen.floor_name, kind="prior" if prior else "allowed", released=document.released))


def _sentence(document: Document, judged: Sequence[Judged], best: int | None) -> str:
    if best is None:
        hardened = [p for p in judged if p.kind == "hardened"]
        if not hardened:
            return "Nothing was judged."
        near = min(hardened, key=lambda p: (len(p.breaks), _numbers(p)))
        return (
            f"Nothing keeps the limits; nearest is {near.recipe} at {near.at}, which breaks: {'; '.join(near.breaks)}."
        )
    point = judged[best]
    seen = max(point.seen, key=lambda s: s.upper if s.upper is not None else -1.0)
    drop = point.drop_points
    times = f"{seen.observations} observation{'s' if seen.observations > 1 else ''}"
    return (
        f"{point.recipe} at {point.at}: the strongest attack of the suite at effort {document.audit_effort} "
        f"({seen.attack}, {seen.threat_model}, {times}) adds "
        f"{seen.excess if seen.excess is not None else 0.0:.3f} (upper 95 % limit {seen.upper:.3f}) of the rest to "
        f"what {_floor(seen, document)} tells; accuracy falls by {drop.mean:.2f} points (95 % {drop.low:.2f} to "
        f"{drop.high:.2f}, n = {drop.n:,}); bytes on the wire: {point.cost.wire_bytes:,}; the edge costs "
        f"{point.cost.edge_cost:.2f} times its operations. It is what this suite found at this effort, not a bound."
    )
