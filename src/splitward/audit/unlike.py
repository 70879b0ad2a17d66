"""Secrets unlike the public data: what comes back there is leakage, not the prior's imagination.

The inverters are those that were prepared for the audit's own secrets; nothing is trained anew, and no attack is told
that other secrets may come.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from splitward.audit.bench import Bench, digest, sound
from splitward.audit.floors import FloorOutcome, Release
from splitward.audit.scoring import measure
from splitward.audit.suite import Entry
from splitward.audit.world import World, samples_hash
from splitward.core.errors import AttackError, OverlapError, SplitwardError, UsageError, in_one_line
from splitward.core.knowledge import Samples
from splitward.core.run import Run, derive_seed
from splitward.data.dataset import load, refuse_overlap
from splitward.record import schema, store

P = TypeVar("P", schema.Floor, schema.Trial)

FACE = 0
"""The class of the set ``faces`` that shows a person."""

UNLIKE = ("rotated", "inverted", "shuffled", "faces")
"""The kinds of secrets unlike the public data that an audit can make."""


def refuse_unknown(names: Sequence[str]) -> None:
    """Raises UsageError for a kind that does not exist."""
    for name in names:
        if name not in UNLIKE:
            raise UsageError(f"there are no secrets {name!r}: unlike is some of {', '.join(UNLIKE)}.")


def refuse_misfit(names: Sequence[str], secrets: Samples, public: Samples, run: Run) -> None:
    """Raises UsageError for a kind that does not exist, or cannot be made of these secrets."""
    refuse_unknown(names)
    for name in names:
        make(name, secrets, public, run)


def make(name: str, secrets: Samples, public: Samples, run: Run) -> Tensor:
    """The secrets of one kind, (n, C, H, W) in [0, 1], on the secrets' device: as many as ``secrets``, or all faces.

    ``rotated`` by 90 degrees, anticlockwise; ``inverted``: 1 - x; ``shuffled``: one permutation of the pixels for all
    images and channels; ``faces``: of the embedded set, resized as data sets are. Raises UsageError where images cannot
    be rotated because they are not square, or where the public images are those faces.
    """
    images = secrets.images
    generator = torch.Generator().manual_seed(derive_seed(run.seed, f"unlike/{name}"))
    height, width = images.shape[2:]
    if name == "rotated":
        if height != width:
            raise UsageError(f"images of {height}x{width} cannot be rotated by 90 degrees; leave out `rotated`.")
        return images.rot90(1, (2, 3)).contiguous()
    if name == "inverted":
        return 1 - images
    if name == "shuffled":
        order = torch.randperm(height * width, generator=generator).to(images.device)
        return images.flatten(2)[:, :, order].view_as(images)
    faces = _faces(height, width)
    try:
        refuse_overlap(public=public, faces=Samples(faces.expand(-1, images.shape[1], -1, -1), None))
    except OverlapError as error:
        raise UsageError(
            "the attackers hold images of the set faces, so faces are not unlike their public data; leave out `faces`."
        ) from error
    chosen = torch.randperm(len(faces), generator=generator)[: len(images)]
    return faces[chosen].expand(-1, images.shape[1], -1, -1).contiguous().to(images.device)


def _faces(height: int, width: int) -> Tensor:
    """Every image of the embedded set that shows a person, (n, 1, H, W)."""
    dataset = load("faces", input=(1, height, width))
    roles = (dataset.train, dataset.public, dataset.held_out)
    return torch.cat([r.images[r.labels == FACE] for r in roles if r.labels is not None])


@dataclasses.dataclass
class _Kind:
    """Secrets of one kind, and what was made of them so far."""

    name: str
    secrets: Samples
    release: Release
    key: str
    floors: list[schema.Floor] = dataclasses.field(default_factory=list)
    trials: list[schema.Trial] = dataclasses.field(default_factory=list)


class Strangers:
    """The secrets of every kind that was asked for, and the loop over them beside the audit's own.

    What is finished is kept in ``out`` under its own content address, before the floor or trial that it belongs to: one
    that is found finished has everything that belongs to it.
    """

    def __init__(
        self, names: Sequence[str], secrets: Samples, world: World, bench: Bench, released: str, out: Path | None
    ) -> None:
        self.world, self.bench, self.out = world, bench, out
        self.tensors: dict[str, Any] = {}
        self.kinds = []
        for name in dict.fromkeys(names):
            samples = Samples(make(name, secrets, world.public, bench.run), None, f"{name} secrets")
            release = Release(world, samples, released, bench.run, f"unlike/{name}")
            self.kinds.append(_Kind(name, samples, release, digest(name, samples_hash(samples))))
            self.tensors[_tensor(name, "secrets")] = samples.images.cpu().numpy()
        asked = bool(names) and out is not None
        self._floors = store.finished_floors(out) if asked and out is not None else {}
        self._trials = store.finished_trials(out) if asked and out is not None else {}

    def floor(self, floor: schema.Floor, key: str, reach: Callable[[], FloorOutcome | None]) -> None:
        """Score a floor of the audit (at the address ``key``) on the secrets of every kind."""
        for kind in self.kinds:
            address = digest(key, kind.key)
            done = self._floors.get(address)
            if done is None:
                outcome = reach()
                if outcome is None:
                    continue
                theirs = kind.release.theirs if outcome.kind == "allowed" else None
                guess = sound(outcome.invert(theirs, len(kind.secrets)), floor.name, kind.secrets)
                metrics, per_sample = measure(guess, kind.secrets.images)
                bare = {"metrics": metrics, "per_sample": per_sample, "trace": {}, "games": (), "parameters": {}}
                bare |= {"seconds": 0.0}
                done = floor.model_copy(update=bare), guess.cpu().numpy()
                if self.out is not None:
                    store.append_floor(self.out, address, *done)
            kind.floors.append(self._kept(*done, _tensor(kind.name, floor.tensor or floor.name)))

    def trial(self, entry: Entry, believed: World, trial: schema.Trial) -> None:
        """Let a finished trial's inverter loose on the secrets of every kind; one that fails there says why."""
        for kind in self.kinds:
            address = digest(trial.key, kind.key)
            done = self._trials.get(address)
            if done is None:
                done = self._tried(entry, believed, trial, kind, address)
                if self.out is not None:
                    store.append_trial(self.out, address, *done)
            kind.trials.append(self._kept(*done, _tensor(kind.name, trial.tensor or trial.key)))

    def _tried(
        self, entry: Entry, believed: World, trial: schema.Trial, kind: _Kind, address: str
    ) -> tuple[schema.Trial, Any]:
        base = schema.Trial(
            attack=trial.attack, threat_model=trial.threat_model, adaptive=trial.adaptive, key=address,
            observations=trial.observations, converged=trial.converged, believable=trial.believable,
            repetition=trial.repetition,
        )  # fmt: skip
        role = f"unlike/{kind.name}"
        try:
            guess, seconds = self.bench.recover(entry, believed, self.world, kind.secrets, role)
        except AttackError as error:
            return base.model_copy(update={"status": "failed", "reason": str(error)}), None
        except (MemoryError, SplitwardError):
            raise
        except Exception as error:  # as in the audit's own loop: it must not take finished trials with it
            reason = in_one_line(error)
            return base.model_copy(update={"status": "failed", "reason": reason}), None
        metrics, per_sample = measure(guess, kind.secrets.images)
        found = {"metrics": metrics, "per_sample": per_sample, "seconds": seconds}
        return base.model_copy(update=found), guess.cpu().numpy()

    def _kept(self, part: P, guess: Any, tensor: str) -> P:
        if guess is not None:
            self.tensors[tensor] = guess
        return part.model_copy(update={"tensor": tensor if guess is not None else None})

    @property
    def record(self) -> tuple[schema.Unlike, ...]:
        """What belongs into the record."""
        return tuple(
            schema.Unlike(
                name=kind.name, samples=len(kind.secrets), tensor=_tensor(kind.name, "secrets"),
                floors=tuple(kind.floors), trials=tuple(kind.trials),
            )
            for kind in self.kinds
        )  # fmt: skip


def _tensor(kind: str, name: str) -> str:
    return f"unlike/{kind}/{name}"
