"""The search: successive halving over recipes and cuts, on a selection set that is apart from everything else.

Every candidate trains for the steps of the first round; the proxy ranks them; the best go on from where they are, for
the longer steps of the next round. A finished round of a candidate is on disk and is not done again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from splitward.audit.settings import slug
from splitward.core.errors import DataError, DefenceError, ModelError, UsageError
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.hardening.assembly import Assembly, assemble, bytes_sent, state_of
from splitward.hardening.document import Cost, Tried
from splitward.hardening.proxy import Proxy, measure
from splitward.hardening.recipe import parse_recipe
from splitward.hardening.settings import SELECTION_MOST, SELECTION_SHARE, HardenSettings
from splitward.hardening.training import Held, Schedule, augmentation, fit
from splitward.models.zoo import Victim
from splitward.split.halves import Halves

OVER = 0.1
"""Excess that a point of accuracy beyond the limit is worth in the ranking: those that lose much do not go on."""
FEWEST = 8
"""Images of the selection set, at least."""
FOLDER = "search"


@dataclass(frozen=True)
class Candidate:
    """A recipe at a cut."""

    recipe: str
    at: str

    @property
    def name(self) -> str:
        """As a file."""
        return slug(f"{self.at}-{self.recipe}")


@dataclass(frozen=True)
class Ground:
    """What the search stands on: the model, its halves by cut, and the training images in two parts."""

    victim: Victim
    halves: dict[str, Halves]
    learn: Samples
    selection: Samples
    classes: int
    base: dict[str, Proxy]

    def cost(self, halves: Halves, wire_bytes: int) -> Cost:
        """Beside the undefended device's, at the first cut."""
        first = next(iter(self.halves.values())).cut.edge_flops
        flops = halves.cut.edge_flops
        return Cost(wire_bytes=wire_bytes, edge_flops=flops, edge_cost=round(flops / max(first, 1), 4))


def parted(train: Samples, seed: int) -> tuple[Samples, Samples]:
    """Images to learn from, and the selection set. Raises DataError for too few, or images without labels."""
    if train.labels is None:
        raise DataError(f"{train.name} has no labels, which a hardening trains on: use a data set with classes.")
    count = min(SELECTION_MOST, int(SELECTION_SHARE * len(train)))
    if count < FEWEST:
        raise DataError(f"{train.name} holds {len(train)} images; a hardening needs {int(FEWEST / SELECTION_SHARE)}.")
    order = torch.randperm(len(train), generator=Run(seed, torch.device("cpu")).stream("selection"))
    return train[order[count:]], train[order[:count]]


def candidates(settings: HardenSettings) -> list[Candidate]:
    """Every recipe at every cut: those that were named, else those that the plugins suggest.

    Raises DefenceError for a recipe that cannot be read, UsageError where there is none.
    """
    recipes = list(settings.methods)
    if not recipes:
        suggested = [getattr(plugin, "tries", ())[: settings.scale.tries] for plugin in discover("hardening").values()]
        recipes = [text for tries in suggested for text in tries]
    recipes = list(dict.fromkeys(str(parse_recipe(text)) for text in recipes))
    if not recipes:
        raise UsageError("there is no recipe to try: name one with --method, such as bottleneck:8+quantise:1.")
    return [Candidate(recipe, at) for at, recipe in itertools.product(settings.at, recipes)]


class Search:
    """Successive halving in ``folder``; ``run`` gives every draw."""

    def __init__(self, settings: HardenSettings, ground: Ground, folder: Path, run: Run) -> None:
        self.settings, self.ground, self.run = settings, ground, run
        self.folder = folder / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self.augmented = augmentation(settings.model, settings.data)
        self.held: tuple[str, Held] | None = None

    def rounds(self) -> Iterator[Tried]:
        """Every candidate of every round, as it is measured; the finalists are ``finalists`` of all of them."""
        entering, done = candidates(self.settings), list[Tried]()
        for rung, (_, count) in enumerate(self.settings.scale.rungs):
            if rung:
                entering = [Candidate(t.recipe, t.at) for t in self.ranked(done)[:count]]
            done = []
            self.run.progress.start(f"round {rung + 1}", len(entering))
            for candidate in entering:
                self.run.progress.advance(0, f"{candidate.recipe} at {candidate.at}")
                tried = self.tried(candidate, rung)
                self.run.progress.advance(1)
                if not tried.failed:
                    done.append(tried)
                yield tried
            self.run.progress.finish()

    def ranked(self, tried: Sequence[Tried]) -> list[Tried]:
        """Best first: the proxy's excess, with what goes beyond a limit added to it."""
        return sorted(tried, key=self._rank)

    def _rank(self, tried: Tried) -> tuple[float, float, str]:
        limits = self.settings
        over = OVER * max(0.0, tried.drop_points - limits.max_accuracy_drop)
        over += 10.0 * (tried.cost.edge_cost > limits.max_edge_cost)
        over += 10.0 * (limits.max_bytes is not None and tried.cost.wire_bytes > limits.max_bytes)
        return tried.excess + over, tried.drop_points, tried.recipe

    def tried(self, candidate: Candidate, rung: int) -> Tried:
        """One round of a candidate; a finished one is read."""
        path = self.folder / f"{candidate.name}-{rung}.json"
        if path.is_file():
            try:
                return Tried.model_validate_json(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UsageError(f"{path} cannot be read: {type(error).__name__}; remove it.") from error
        try:
            found = self._train(candidate, rung)
        except (DefenceError, ModelError) as error:  # of this recipe at this cut: the others go on
            found = self._failed(candidate, rung, str(error))
        part = path.with_suffix(".part")
        part.write_text(found.model_dump_json(), encoding="utf-8")
        part.replace(path)
        return found

    def assembly(self, candidate: Candidate, rung: int) -> Assembly:
        """The candidate as it stands after ``rung`` rounds. Raises UsageError where its weights cannot be read."""
        role = f"candidate/{candidate.name}"
        halves = self.ground.halves[candidate.at]
        made = assemble(halves, parse_recipe(candidate.recipe), self.settings.trains, self.run.child(role))
        if rung:
            path = self._weights(candidate, rung - 1)
            try:
                made.model.load_state_dict(load_file(path))
            except (OSError, SafetensorError, RuntimeError) as error:
                raise UsageError(f"{path} does not hold this candidate's weights; remove {self.folder}.") from error
        made.model.to(self.run.device)
        made.normalise.to(self.run.device)
        return made

    def _held(self, at: str) -> Held:
        """The activations at a cut; those of one cut at a time."""
        if self.held is None or self.held[0] != at:
            self.held = None
            ground, run = self.ground, self.run.child(f"held/{at}")
            self.held = at, Held(ground.halves[at], ground.victim.model, ground.learn, self.augmented, run)
        return self.held[1]

    def _weights(self, candidate: Candidate, rung: int) -> Path:
        return self.folder / f"{candidate.name}-{rung}.safetensors"

    def _train(self, candidate: Candidate, rung: int) -> Tried:
        settings, ground = self.settings, self.ground
        steps = settings.scale.rungs[rung][0]
        assembly = self.assembly(candidate, rung)
        run = self.run.child(f"training/{candidate.name}/{rung}")
        last = rung == len(settings.scale.rungs) - 1
        held = self._held(candidate.at) if not last or settings.trains == "cloud" else None
        fitted = fit(
            assembly, ground.victim.model, ground.learn, ground.classes, Schedule(steps, settings.batch), run,
            self.augmented, held,
        )  # fmt: skip
        halves = assembly.halves()
        proxy = measure(
            halves.edge, halves.cloud, assembly.recipe.chain, ground.selection, ground.classes,
            k=max(settings.observations), steps=settings.scale.proxy_steps, run=self.run.child("proxy"),
        )  # fmt: skip
        save_file(state_of(assembly.model), self._weights(candidate, rung))
        before = self.tried(candidate, rung - 1) if rung else None
        return Tried(
            recipe=candidate.recipe, method=assembly.recipe.method, at=candidate.at, rung=rung,
            steps=steps + (before.steps if before else 0),
            seconds=round(fitted.seconds + (before.seconds if before else 0.0), 1), loss=fitted.loss,
            accuracy=proxy.accuracy, drop_points=100 * (ground.base[candidate.at].accuracy - proxy.accuracy),
            leakage_ssim=proxy.leakage, floor_ssim=proxy.floor, excess=proxy.excess,
            cost=ground.cost(halves, bytes_sent(halves, assembly.recipe)),
        )  # fmt: skip

    def _failed(self, candidate: Candidate, rung: int, reason: str) -> Tried:
        halves = self.ground.halves[candidate.at]
        return Tried(
            recipe=candidate.recipe, method=parse_recipe(candidate.recipe).method, at=candidate.at, rung=rung, steps=0,
            seconds=0.0, loss=0.0, accuracy=0.0, drop_points=100.0, leakage_ssim=1.0, floor_ssim=0.0, excess=1.0,
            cost=self.ground.cost(halves, halves.cut.bytes_per_sample), failed=reason,
        )  # fmt: skip
