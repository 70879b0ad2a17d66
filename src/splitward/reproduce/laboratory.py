"""Where audits are run: one record for each need, kept in its own folder, and not run again when it is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch

from splitward.audit.bench import Bench
from splitward.audit.loop import audit
from splitward.audit.settings import AuditSettings
from splitward.audit.suite import Entry, configure
from splitward.audit.sweep import Scene, load_scene
from splitward.audit.target import Target
from splitward.audit.workers import side_by_side
from splitward.core.defence_text import parse_chain
from splitward.core.knowledge import Samples
from splitward.core.registry import find
from splitward.core.run import Progress, Run, Silent, derive_seed
from splitward.record import files, schema, store
from splitward.reproduce.need import Auxiliary, Need
from splitward.reproduce.scales import Scale
from splitward.split.halves import export

RECORDS = "records"
"""The folder of all records, below ``out``."""
VICTIMS = Path(__file__).parent / "victims"
"""Trainings of LeNet-5 by the papers' recipe."""


def papers_images(labels: torch.Tensor, count: int) -> list[int]:
    """The papers' ten images, the first of each class, then the next of each, until there are ``count``: indices.

    >>> papers_images(torch.tensor([1, 1, 0, 0, 1]), 3)
    [0, 1, 2]
    """
    nth: dict[int, int] = {}
    ranks = []
    for index, label in enumerate(labels.tolist()):
        ranks.append((nth.get(label, 0), index))
        nth[label] = nth.get(label, 0) + 1
    return sorted(index for _, index in sorted(ranks)[:count])


class Place:
    """One data set with a victim: loaded and cut once for all needs."""

    def __init__(self, scale: Scale, data: str, victim: int, data_dir: Path | None, progress: Progress) -> None:
        self.scale, self.study, self.progress = scale, scale.study(data), progress
        self.weights = VICTIMS / f"lenet5-mnist-papers-{victim}.safetensors" if victim else None
        self.data_dir = data_dir
        self._benches: dict[tuple[str, int], Bench] = {}

    @cached_property
    def scene(self) -> Scene:
        """Model and data set."""
        study = self.study
        asked = AuditSettings(
            model=study.model, data=study.data, at=("-",), weights=self.weights, data_dir=self.data_dir
        )  # fmt: skip
        return load_scene(asked)

    @cached_property
    def pool(self) -> Samples:
        """The held-out images that are used: the first ones."""
        return self.scene.dataset.held_out[slice(0, self.study.pool)]

    @cached_property
    def chosen(self) -> list[int]:
        """Which of them are the secrets."""
        assert self.pool.labels is not None
        return papers_images(self.pool.labels, self.scale.images)

    @cached_property
    def exported(self) -> Any:
        """The victim, ready to be cut."""
        return export(self.scene.victim.model, self.scene.public.images[:2])

    def auxiliary(self, kind: Auxiliary) -> Samples:
        """What attackers hold: as many images of each kind."""
        whole = self.scene.public
        count = min(self.study.public or len(whole), len(whole))
        if kind == "same set":
            return self.scene.dataset.train[slice(0, count)]
        if kind == "same distribution":
            return whole[slice(0, count)]
        generator = torch.Generator().manual_seed(derive_seed(0, "random noise set"))
        noise = torch.randn((count, *whole.images.shape[1:]), generator=generator) * 0.5 + 0.5
        return Samples(noise.clamp(0, 1), None, "Gaussian noise")

    def bench(self, need: Need) -> Bench:
        """One for all needs that share seed and auxiliary images: a naive attacker is trained once."""
        key = (need.auxiliary, need.seed)
        if key not in self._benches:
            run = Run(need.seed, progress=self.progress)
            self._benches[key] = Bench(run, self.pool[torch.tensor(self.chosen)])
        return self._benches[key]

    def audit(self, need: Need, out: Path) -> schema.Record:
        """The record of one need."""
        bench = self.bench(need)
        victim = self.scene.victim
        target = Target(
            self.exported.split(need.at), parse_chain(need.defence), model=victim.name, source=victim.source
        )
        return audit(
            target, [self._entry(a.name, dict(a.changes)) for a in need.attackers], secrets=self.pool,
            public=self.auxiliary(need.auxiliary), samples=self.chosen, seed=need.seed, effort=self.scale.effort,
            released=need.released, unlike=need.unlike, out=out, run=bench.run, bench=bench, data=self.scene.data,
            judge=False,
        )  # fmt: skip

    def _entry(self, name: str, changes: dict[str, Any]) -> Entry:
        entry = configure(name, self.scale.effort, 1)
        return dataclasses.replace(entry, attack=dataclasses.replace(entry.attack, **changes)) if changes else entry

    def yardsticks(self) -> dict[str, dict[str, float]]:
        """Pictures that need no activation, on the secrets: mean image, mean of the right class, black, grey."""
        secrets, public = self.pool[torch.tensor(self.chosen)], self.scene.public
        assert secrets.labels is not None
        assert public.labels is not None
        means = [public.images[public.labels == label].mean(0) for label in secrets.labels]
        truth = secrets.images
        guesses = {
            "mean image": public.images.mean(0).expand_as(truth),
            "mean image of the right class": torch.stack(means),
            "black image": torch.zeros_like(truth),
            "grey image": torch.full_like(truth, 0.5),
        }
        names = ("psnr", "ssim", "ssim-paper")
        return {
            guess: {name: float(find("metric", name)()(pixels, truth).mean()) for name in names}
            for guess, pixels in guesses.items()
        }


class Laboratory:
    """Every record of one scale below ``out``; unfinished audits are gone on with."""

    def __init__(self, scale: Scale, out: Path, data_dir: Path | None = None, progress: Progress | None = None) -> None:
        self.scale, self.out, self.data_dir = scale, out, data_dir
        self.progress = progress or Silent()
        self._places: dict[tuple[str, int], Place] = {}

    def place(self, data: str, victim: int = 0) -> Place:
        """A data set with a victim, loaded once."""
        if (data, victim) not in self._places:
            self._places[(data, victim)] = Place(self.scale, data, victim, self.data_dir, self.progress)
        return self._places[(data, victim)]

    def folder(self, need: Need) -> Path:
        """Of the need's record."""
        return self.out / RECORDS / need.folder(self.scale)

    def finished(self, need: Need) -> bool:
        """Whether its record is there."""
        return (self.folder(need) / store.RECORD).is_file()

    def audit(self, need: Need) -> Need:
        """Run one."""
        self.place(need.data, need.victim).audit(need, self.folder(need))
        return need

    def run(self, needs: Sequence[Need], workers: int = 1) -> Iterator[Need]:
        """Run those that are not finished, data set by data set; yields each as it is done.

        ``workers``: processes that run one audit each at a time, on a share of the processor's threads.
        """
        due = [need for need in needs if not self.finished(need)]
        longest = "query-free", "reconstruction"  # first, so that nobody waits for one at the end
        due.sort(key=lambda n: (n.data == "cifar10", n.victim, n.study not in longest, n.defence != "none"))
        self.progress.start("reproduction", len(due))
        for need in self._side_by_side(due, workers) if min(workers, len(due)) > 1 else self._one_by_one(due):
            self.progress.advance(1, f"{need.study}: {need.data} at {need.at}, {need.defence}")
            yield need
        self.progress.finish()

    def _one_by_one(self, due: Sequence[Need]) -> Iterator[Need]:
        for need in due:
            yield self.audit(need)

    def _side_by_side(self, due: Sequence[Need], workers: int) -> Iterator[Need]:
        return side_by_side(_alone, ((self.scale, self.out, self.data_dir, need) for need in due), workers)

    def load(self, need: Need) -> schema.Record | None:
        """Its record; None where it is not finished."""
        return store.load(self.folder(need)) if self.finished(need) else None

    def yardsticks_file(self, data: str) -> Path:
        """Where the scores of pictures that need no activation are kept."""
        return self.out / f"yardsticks-{data}-{self.scale.name}.json"

    def keep_yardsticks(self, data: str) -> None:
        """Compute them where they are not there."""
        path = self.yardsticks_file(data)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(path, self.place(data).yardsticks())


@cache
def _laboratory(scale: Scale, out: Path, data_dir: Path | None) -> Laboratory:
    """One for all audits of a process."""
    return Laboratory(scale, out, data_dir)


def _alone(scale: Scale, out: Path, data_dir: Path | None, need: Need) -> Need:
    """One audit, in a process of its own."""
    return _laboratory(scale, out, data_dir).audit(need)
