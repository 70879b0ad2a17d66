"""The finalists before the whole suite: every attack anew, on secrets that the search never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from splitward.audit.bench import Bench
from splitward.audit.loop import ACCURACY, Settings, audit, cast
from splitward.audit.settings import slug
from splitward.audit.suite import suite
from splitward.audit.sweep import Scene
from splitward.audit.target import Target
from splitward.core.defence import Chain
from splitward.core.knowledge import Samples
from splitward.core.run import Run, derive_seed
from splitward.hardening.assembly import Assembly, bytes_sent, write
from splitward.hardening.document import Cost, Judged, Seen, Tried
from splitward.hardening.proxy import sent_for
from splitward.hardening.recipe import Recipe, parse_recipe
from splitward.hardening.search import Ground
from splitward.hardening.settings import HardenSettings
from splitward.models.joined import read_trained
from splitward.models.making import machine
from splitward.record.schema import Record
from splitward.record.statistics import estimate
from splitward.record.store import load
from splitward.record.verdict import leaks_at_least
from splitward.split.halves import Halves

LEVELS = {"dropout": (0.3, 0.6, 0.9, 0.1, 0.8), "gaussian": (0.5, 1.0, 3.0, 0.2, 5.0)}
"""Of the papers' defences, in the order in which an effort takes them."""


@dataclass(frozen=True)
class Point:
    """What is to be judged."""

    kind: Literal["hardened", "plain", "none"]
    recipe: Recipe
    at: str
    halves: Halves
    cost: Cost
    tried: Tried | None = None
    saved: str = ""


class Court:
    """Judges points; ``scene`` holds the secrets, ``folder`` the audits."""

    def __init__(self, settings: HardenSettings, scene: Scene, ground: Ground, folder: Path, run: Run) -> None:
        self.settings, self.scene, self.ground, self.folder, self.run = settings, scene, ground, folder, run
        self.floors: dict[str, object] = {}
        self.judges: dict[str, object] = {}
        held_out = scene.dataset.held_out
        order = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(derive_seed(run.seed, "secrets")))
        self.held_out = held_out[order[:ACCURACY]]  # as the audit measures accuracy
        self.right = {at: self._right(halves, Chain()) for at, halves in ground.halves.items()}

    def _right(self, halves: Halves, chain: Chain) -> Tensor:
        samples: Samples = self.held_out
        assert samples.labels is not None
        device = self.run.device
        edge, cloud = halves.edge.to(device), halves.cloud.to(device)
        _, answers = sent_for(edge, cloud, chain, samples.images.to(device), 1, self.run.stream("accuracy"))
        return (answers.cpu() == samples.labels).float()

    def plain(self) -> list[Point]:
        """The device without a defence at each cut, and the papers' defences where they were asked for."""
        points = []
        for at, halves in self.ground.halves.items():
            texts = ["none"]
            if self.settings.draws_curves:
                count = self.settings.scale.levels or 3
                texts += [f"{kind}:{level:g}" for kind, levels in LEVELS.items() for level in levels[:count]]
            for text in texts:
                recipe = parse_recipe(text)
                cost = self.ground.cost(halves, bytes_sent(halves, recipe))
                points.append(Point("plain" if recipe.chain else "none", recipe, at, halves, cost))
        return points

    def hardened(self, tried: Tried, assembly: Assembly, command: str) -> Point:
        """A finalist, its halves written to a folder of their own."""
        halves = assembly.halves()
        name = slug(f"{tried.at}-{tried.recipe}")
        write(halves, self._provenance(tried, assembly, command), self.folder / "halves" / name)
        return Point("hardened", assembly.recipe, tried.at, halves, tried.cost, tried, f"halves/{name}")

    def _provenance(self, tried: Tried, assembly: Assembly, command: str) -> dict[str, object]:
        victim = self.scene.victim
        return {
            "model": victim.name,
            "from": {"source": victim.source, "weights_sha256": victim.weights_sha256, "cut": tried.at},
            "recipe": tried.recipe,
            "defence": str(assembly.recipe.chain),
            "half": assembly.trains,
            "data": self.scene.dataset.name,
            "train_samples": len(self.ground.learn),
            "selection_samples": len(self.ground.selection),
            "steps": tried.steps,
            "batch": self.settings.batch,
            "seconds": tried.seconds,
            "loss": round(tried.loss, 5),
            "accuracy": round(tried.accuracy, 6),
            "seed": self.settings.seed,
            "effort": self.settings.effort,
            "command": command,
            **machine(self.run.device),
        }

    def judge(self, point: Point, command: str) -> Judged:
        """Audit a point at every number of observations; finished audits and trials are read, not run again.

        A device that draws nothing sends the same each time: seen once is seen any number of times.
        """
        defended = self._right(point.halves, point.recipe.chain)
        lost = 100 * (self.right[point.at] - defended)
        several = self.settings.observations
        if point.recipe.chain.draws:
            seen = tuple(self._seen(point, k, command) for k in several)
        else:
            once = self._seen(point, 1, command)
            seen = tuple(once.model_copy(update={"observations": k}) for k in several)
        tried = point.tried
        return Judged(
            kind=point.kind, recipe=str(point.recipe) if tried is None else tried.recipe,
            method=point.recipe.method if tried else str(point.recipe).partition(":")[0], at=point.at,
            defence=str(point.recipe.chain), accuracy=float(defended.mean()),
            drop_points=estimate(lost.double().numpy(), higher_is_closer=True), cost=point.cost, seen=seen,
            halves=point.saved, steps=tried.steps if tried else 0, train_seconds=tried.seconds if tried else 0.0,
        )  # fmt: skip

    def _seen(self, point: Point, k: int, command: str) -> Seen:
        settings, scene, victim = self.settings, self.scene, self.scene.victim
        kept = str(Path("audits") / slug(f"{point.at}-{point.recipe}-seen-{k}-{settings.judged_at}"))
        name = victim.name if point.tried is None else f"{victim.name} hardened by {point.tried.recipe}"
        trained = read_trained(self.folder / point.saved) if point.saved else dict(victim.trained)
        target = Target(point.halves, point.recipe.chain, model=name, source=victim.source, trained=trained)
        done = self._finished(self.folder / kept, target, k)
        if done is not None:
            return _told(done, k, kept)
        numbers = Settings(settings.count, k, settings.seed, settings.judged_at, settings.released)
        roles = cast(scene.dataset.held_out, scene.public, numbers, self.run.device)
        bench = Bench(self.run, roles.secrets, None, floors=self.floors, judges=self.judges)
        record = audit(
            target, settings.attacks, secrets=scene.dataset.held_out, public=scene.public, samples=settings.count,
            observations=k, seed=settings.seed, effort=settings.judged_at, released=settings.released,
            out=self.folder / kept, run=self.run, bench=bench, data=scene.data, command=command,
        )  # fmt: skip
        return _told(record, k, kept)

    def _finished(self, folder: Path, target: Target, k: int) -> Record | None:
        """The record of this very audit, where it is there."""
        if not (folder / "record.json").is_file():
            return None
        settings, record = self.settings, load(folder)
        asked = tuple(dict.fromkeys(e.name for e in suite(settings.attacks, settings.judged_at, k)))
        floors = {f.released for f in record.floors if f.kind == "allowed"} or {settings.released}
        held = (record.target.model.weights_sha256, record.target.defence, record.samples, record.seed, record.effort)
        due = (target.weights_sha256, str(target.chain), settings.count, settings.seed, settings.judged_at)
        same = held == due and record.asked == asked and floors == {settings.released}
        return record if same and record.status == "complete" else None


def _told(record: Record, k: int, kept: str) -> Seen:
    found = record.verdict
    if found is None:
        return Seen(observations=k, sentence=record.no_verdict, record=kept, at_least=leaks_at_least(record))
    return Seen(
        observations=k, attack=found.attack, threat_model=found.threat_model, leakage_ssim=found.leakage,
        floor_ssim=found.floor, floor_name=found.floor_name, excess=found.excess, upper=found.upper,
        worst_decile=found.worst_decile, finding=found.finding, unbelieved=found.naive_only, sentence=found.sentence,
        record=kept,
    )  # fmt: skip
