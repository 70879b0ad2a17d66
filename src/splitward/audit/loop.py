"""The audit: one loop over (target, attacks, secrets) that writes a record."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from splitward.audit.bench import Bench, Outcome, digest
from splitward.audit.certificate import certificate_of
from splitward.audit.crossed import crossing, recorded
from splitward.audit.description import examine
from splitward.audit.environment import environment
from splitward.audit.floors import FloorOutcome, Release, floors, run_floor
from splitward.audit.games import Lineup, pick_decoys
from splitward.audit.judging import judged
from splitward.audit.scoring import described, foreign_scales, measure, task_accuracy
from splitward.audit.suite import Entry, parameters_of, repeated, suite
from splitward.audit.target import Target
from splitward.audit.unlike import Strangers, refuse_unknown
from splitward.audit.world import World, samples_hash
from splitward.core.errors import AttackError, NotApplicable, SplitwardError, UsageError, in_one_line
from splitward.core.knowledge import THREAT_MODELS, Samples
from splitward.core.registry import discover, find
from splitward.core.run import Run, derive_seed
from splitward.core.task import RELEASES
from splitward.record import checks, schema, store
from splitward.record.convergence import settled
from splitward.record.descriptions import disbelieve
from splitward.record.verdict import decide

TRAFFIC = 2000
"""Other users' images whose activations a query-free attacker has seen, at most."""
ACCURACY = 10_000
"""Held-out samples on which task accuracy is measured, at most."""

EXACT = 0.95
"""SSIM from which on there is nothing left to recover that would change a verdict."""


@dataclass(frozen=True)
class Settings:
    """How an audit is done; with the target and the data it determines every number of the record."""

    samples: int = 100
    observations: int = 1
    seed: int = 0
    effort: str = "standard"
    released: str = "label"
    query_budget: int | None = None
    unlike: tuple[str, ...] = ()
    attack_seeds: int = 1

    def __post_init__(self) -> None:
        refuse_unknown(self.unlike)
        for name in ("samples", "observations", "attack_seeds"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.released not in RELEASES:
            raise UsageError(f"released is {self.released!r}; it is one of {', '.join(RELEASES)}.")
        if self.query_budget is not None and self.query_budget < 0:
            raise UsageError(f"the query budget is {self.query_budget}; it must be 0 or more.")


@dataclass(frozen=True)
class Cast:
    """Who holds which images: pairwise disjoint, which the caller has seen to."""

    secrets: Samples
    public: Samples
    others: Samples | None
    held_out: Samples
    data: schema.Data
    decoys: Samples  # none of them a secret or public; may be empty


def as_samples(value: Samples | Tensor, name: str) -> Samples:
    """Images as samples; raises UsageError where they are not (N, C, H, W) floats in [0, 1]."""
    samples = value if isinstance(value, Samples) else Samples(value, None, name)
    images = samples.images
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise UsageError(
            f"{name} has shape {tuple(images.shape)} and type {images.dtype}; (N, C, H, W) floats are due."
        )
    if not bool(torch.isfinite(images).all()) or float(images.min()) < 0 or float(images.max()) > 1:
        raise UsageError(f"{name} holds values outside [0, 1]: give pixels, normalisation belongs to the model.")
    return samples


def cast(
    pool: Samples, public: Samples, settings: Settings, device: torch.device, data: schema.Data | None = None,
    chosen: Sequence[int] = (),
) -> Cast:  # fmt: skip
    """Draw the secrets from ``pool``, or take those ``chosen`` by index; the rest are other users, and decoys.

    Decoys that are no user's come first.
    """
    from splitward.data.dataset import refuse_overlap

    refuse_overlap(public=public, secrets=pool)
    if settings.samples > len(pool):
        raise UsageError(f"{settings.samples} secrets were asked for and {pool.name} holds {len(pool)}; ask for fewer.")
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "secrets"))
    order = torch.randperm(len(pool), generator=generator)
    if chosen:
        if len(set(chosen)) < len(chosen) or not 0 <= min(chosen) <= max(chosen) < len(pool):
            raise UsageError(f"the secrets are chosen by different indices from 0 to {len(pool) - 1}, not by {chosen}.")
        named = torch.tensor(sorted(chosen))
        order = torch.cat([named, order[~torch.isin(order, named)]])
    secrets = pool[order[: settings.samples].sort().values]
    others = pool[order[settings.samples : settings.samples + TRAFFIC].sort().values]

    def at(samples: Samples) -> Samples:
        labels = None if samples.labels is None else samples.labels.to(device)
        return dataclasses.replace(samples, images=samples.images.to(device), labels=labels)

    known = data or schema.Data(name=pool.name)
    rest = order[settings.samples :]
    decoys = pick_decoys(pool.images, rest.roll(-TRAFFIC) if len(rest) > TRAFFIC else rest, secrets.images)
    served = int(torch.isin(decoys, rest[:TRAFFIC]).sum())
    counts = {"public": len(public), "secrets": len(secrets), "decoys": len(decoys), "decoys_served": served}
    return Cast(
        at(secrets), at(public), at(others) if len(others) else None, at(pool[order[:ACCURACY]]),
        known.model_copy(update=counts), at(pool[decoys]),
    )  # fmt: skip


def world_of(target: Target, cast_: Cast, settings: Settings, device: torch.device) -> World:
    """The system that is attacked, on ``device``."""
    halves = target.halves
    weights = target.weights_sha256
    parts = (target.task.name, samples_hash(cast_.public), *recorded(target), samples_hash(cast_.others))
    return World(
        edge=halves.edge.eval().to(device),
        cloud=halves.cloud.eval().to(device),
        chain=target.chain,
        task=target.task,
        input=halves.input,
        activation=halves.activation,
        public=cast_.public,
        others=cast_.others,
        observations=settings.observations,
        fingerprint=digest(weights, halves.cut.name, *parts)[:16],
        whole=digest(weights, str(halves.input), *parts)[:16],
    )


class _Audit:
    """The state of one audit while it runs."""

    def __init__(
        self, target: Target, cast_: Cast, settings: Settings, run: Run, bench: Bench, out: Path | None
    ) -> None:
        self.settings, self.run, self.bench, self.out = settings, run, bench, out
        self.truth = cast_.secrets.images
        self.world = world_of(target, cast_, settings, run.device)
        bench.crossed |= crossing(target, cast_.secrets, self.world)
        self.public_hash = samples_hash(cast_.public)
        self.tensors: dict[str, np.ndarray[Any, Any]] = {"secrets": self.truth.cpu().numpy()}
        if cast_.secrets.labels is not None:
            self.tensors["labels"] = cast_.secrets.labels.cpu().numpy()
        self.finished = store.finished_trials(out) if out is not None else {}
        self.lineup = Lineup(self.truth, cast_.decoys.images, run)
        self.strangers = Strangers(settings.unlike, cast_.secrets, self.world, bench, settings.released, out)

    def floors(self, cast_: Cast) -> tuple[schema.Floor, ...]:
        """Every floor; finished ones are read, not run again."""
        settings, done = self.settings, []
        release = Release(self.world, cast_.secrets, settings.released, self.run)
        known = store.finished_floors(self.out) if self.out is not None else {}
        for name, plugin in floors(settings.effort, settings.observations):
            address = f"floor/{name}/{settings.released}"
            key = self._key(address, parameters_of(plugin), self.world)
            reach = functools.partial(self._reach, name, plugin, release)
            tensor = f"floor/{name.replace('/', '-')}"
            if key in known:
                floor, guess = known[key]
                self.strangers.floor(floor, key, reach)
            else:
                outcome = reach()
                if outcome is None:
                    continue
                floor, guess = self._floor(outcome, tensor, release), outcome.guess.cpu().numpy()
                self.strangers.floor(floor, key, reach)
                if self.out is not None:
                    store.append_floor(self.out, key, floor, guess)
            if guess is not None:
                self.tensors[tensor] = guess
            done.append(floor)
        return tuple(done)

    def _key(self, name: str, parameters: dict[str, Any], believed: World) -> str:
        """The content address of a floor or a trial, its games included."""
        return digest(self.bench.address(name, parameters, believed, self.world), self.lineup.key)

    def _reach(self, name: str, plugin: Any, release: Release) -> FloorOutcome | None:
        """A floor's guesses, made once for all cuts where the released answers are the same: none, or plain labels."""
        parts = (name, parameters_of(plugin), self.public_hash, self.bench.secrets_hash, self.run.seed)
        if name.startswith("allowed"):
            key = digest(*parts, release.kind, self.world.label_key if release.kind == "label" else self.world.key)
        else:
            key = digest(*parts)
        if key not in self.bench.floors:
            self.bench.floors[key] = run_floor(name, plugin, release)
        outcome: FloorOutcome | None = self.bench.floors[key]
        return outcome

    def _floor(self, outcome: FloorOutcome, tensor: str, release: Release) -> schema.Floor:
        metrics, per_sample = measure(outcome.guess, self.truth)
        games = self.lineup.by_guess(outcome.guess)
        if outcome.kind == "allowed":
            games += self.lineup.by_answer(release)
        return schema.Floor(
            name=outcome.name, kind=outcome.kind, released=outcome.released,
            observations=self.settings.observations, parameters=outcome.parameters, metrics=metrics,
            per_sample=per_sample, seconds=outcome.seconds, trace=outcome.trace, tensor=tensor, games=games,
        )  # fmt: skip

    def trials(self, planned: Sequence[tuple[Entry, bool]]) -> tuple[schema.Trial, ...]:
        """Every trial of the plan, in order."""
        done = []
        for index, (entry, adaptive) in enumerate(planned):
            self.run.progress.advance(1, f"{entry.name}, {'adaptive' if adaptive else 'naive'}")
            done.append(self.trial(entry, adaptive, index))
        return tuple(done)

    def descriptions(self, trials: Sequence[tuple[Entry, bool]]) -> tuple[schema.Description, ...]:
        """Whether what the device sends fits what the attackers were told; empty where none was told anything."""
        return examine(self.world, self.run) if any(adaptive for _, adaptive in trials) else ()

    def trial(self, entry: Entry, adaptive: bool, index: int) -> schema.Trial:
        """One attack on the secrets, with its positive control; finished ones are read, not run again."""
        believed = self.world if adaptive else self.world.undefended()
        key = self._key(entry.role, entry.parameters, believed)
        tensor = f"trial/{index}"
        if key in self.finished:
            trial, guess = self.finished[key]
            if guess is not None:
                self.tensors[tensor] = guess
            trial = trial.model_copy(update={"tensor": tensor if guess is not None else None})
            self.strangers.trial(entry, believed, trial)
            return trial
        base = schema.Trial(
            attack=entry.name, threat_model=entry.kind.label, adaptive=adaptive,
            observations=self.settings.observations, parameters=entry.parameters, key=key, repetition=entry.repetition,
        )  # fmt: skip
        try:
            outcome = self.bench.attack(entry, believed, self.world)
            trial = self._scored(base, entry, outcome, believed).model_copy(update={"tensor": tensor})
            guess = outcome.guess.cpu().numpy()
            self.tensors[tensor] = guess
        except NotApplicable as error:
            return base.model_copy(update={"status": "skipped", "reason": str(error)})
        except AttackError as error:
            return base.model_copy(update={"status": "failed", "reason": str(error)})
        except (MemoryError, SplitwardError):
            raise
        except Exception as error:  # an attack of somebody else's must not take finished trials with it
            reason = in_one_line(error)
            return base.model_copy(update={"status": "failed", "reason": reason})
        self.strangers.trial(entry, believed, trial)
        if self.out is not None:
            store.append_trial(self.out, key, trial, guess)
        return trial

    def _scored(self, base: schema.Trial, entry: Entry, outcome: Outcome, believed: World) -> schema.Trial:
        control = self.bench.control(entry, self.world)
        metrics, per_sample = measure(outcome.guess, self.truth)
        likely = self.lineup.by_likelihood(self.bench.inverter(entry, believed), self.bench.sent(self.world))
        trial = base.model_copy(
            update={
                "metrics": metrics, "per_sample": per_sample, "queries": outcome.queries, "seconds": outcome.seconds,
                "trace": outcome.trace, "control": control, "games": self.lineup.by_guess(outcome.guess) + likely,
            }
        )  # fmt: skip
        converged = settled(trial)
        # A loss that still falls could mean that more is to be had; where all is had already, it means nothing.
        done = converged is True or metrics["ssim"].mean >= EXACT
        return trial.model_copy(update={"converged": converged, "believable": done and control.recovered})


def plan(entries: Sequence[Entry], defended: bool) -> list[tuple[Entry, bool]]:
    """The trials: every attack naive and, where it can use the defence's facts, adaptive; once without a defence."""
    trials = []
    for entry in entries:
        trials.append((entry, False))
        if defended and entry.knows_defence:
            trials.append((entry, True))
    return trials


def audit(
    target: Target,
    attacks: str | Sequence[Entry] | Sequence[str] = "all",
    *,
    secrets: Samples | Tensor,
    public: Samples | Tensor,
    samples: int | Sequence[int] = 100,
    observations: int = 1,
    seed: int = 0,
    effort: str = "standard",
    released: str = "label",
    query_budget: int | None = None,
    unlike: Sequence[str] = (),
    attack_seeds: int = 1,
    out: Path | str | None = None,
    run: Run | None = None,
    bench: Bench | None = None,
    data: schema.Data | None = None,
    command: str = "",
    judge: bool = True,
) -> schema.Record:
    """Attack ``target`` and return the record, with its verdict.

    ``secrets``: the pool, (N, C, H, W) in [0, 1], from which ``samples`` are drawn (or taken, as indices into it); the
    others serve as other users' traffic and for task accuracy. ``public``: what attackers may hold, disjoint from the
    pool. ``released``: what the user declares as released anyway (none, label, probabilities, logits). ``unlike``:
    kinds of secrets unlike the public data (rotated, inverted, shuffled, faces) on which the prepared attacks are tried
    as well. ``attack_seeds``: how often each attack is run, each time with other random draws of its own. ``out``: a
    folder; trials are written there as they finish and are not run again. ``run``, ``bench``: shared by the audits of a
    sweep. ``judge``: whether a network trained on ``public`` says what the pictures still show (seconds).

    Raises UsageError for settings that make no sense, OverlapError where public and secret images coincide, MetricError
    where images are too small to be scored; an attack that fails is a failed trial, not an error.
    """
    count, chosen = (samples, ()) if isinstance(samples, int) else (len(samples), samples)
    settings = Settings(count, observations, seed, effort, released, query_budget, tuple(unlike), attack_seeds)
    run = run or Run(seed)
    entries = _entries(attacks, settings)
    cast_ = cast(as_samples(secrets, "secrets"), as_samples(public, "public"), settings, run.device, data, chosen)
    _refuse_misfit(target, cast_)
    bench = bench or Bench(run, cast_.secrets, query_budget)
    bench.refuse_others(cast_.secrets, query_budget, run)
    state = _Audit(target, cast_, settings, run, bench, Path(out) if out is not None else None)
    trials = plan(entries, bool(target.defence))
    run.progress.start(f"{target.halves.cut.name}, {target.chain}", len(trials) + 2)
    measured = task_accuracy(state.world, cast_.held_out, run, bench.accuracies)
    run.progress.advance(1, "floors")
    reached = state.floors(cast_)
    done = state.trials(trials)
    run.progress.advance(1, "judge" if judge else "")
    record = schema.Record(
        status="complete", created=datetime.now(UTC).isoformat(timespec="seconds"), seed=seed, command=command,
        effort=effort, asked=tuple(dict.fromkeys(e.name for e in entries)),
        threat_models=tuple(label for label in THREAT_MODELS if any(e.kind.label == label for e in entries)),
        samples=count, environment=environment(run.device), target=described(target, cast_.data, measured),
        floors=reached, scales=foreign_scales(), trials=done, unlike=state.strangers.record,
        descriptions=state.descriptions(trials), query_budget=query_budget,
        certificate=certificate_of(state.world, cast_.held_out.images, run),
    )  # fmt: skip
    return _concluded(record, state, cast_, judge)


def _concluded(record: schema.Record, state: _Audit, cast_: Cast, judge: bool) -> schema.Record:
    """The record with its pictures, what a judge makes of them, its verdict and its checks; written to its folder."""
    record.attach(state.tensors | state.strangers.tensors)
    if judge:
        record = judged(record, cast_.secrets, cast_.others, cast_.public, state.run, state.bench.judges)
    record = decide(disbelieve(record))
    record = record.model_copy(update={"checks": checks.check(record)})
    state.run.progress.finish()
    if state.out is not None:
        record.save(state.out)
        store.clear_unfinished(state.out)
    return record


def _entries(attacks: str | Sequence[Entry] | Sequence[str], settings: Settings) -> list[Entry]:
    if isinstance(attacks, str) or not all(isinstance(a, Entry) for a in attacks):
        names = attacks if isinstance(attacks, str) else [str(a) for a in attacks]
        return repeated(suite(names, settings.effort, settings.observations), settings.attack_seeds)
    entries = [e for e in attacks if isinstance(e, Entry)]
    k = settings.observations
    entries = [
        dataclasses.replace(e, attack=dataclasses.replace(e.attack, observations=k))
        if getattr(e.attack, "observations", k) != k
        else e
        for e in entries
    ]
    return repeated(entries, settings.attack_seeds)


def _refuse_misfit(target: Target, cast_: Cast) -> None:
    due = target.halves.input.shape
    for samples in (cast_.public, cast_.secrets):
        if tuple(samples.images.shape[1:]) != due:
            raise UsageError(f"{samples.name} has images of shape {samples.spec.shape} and the model takes {due}.")
    probe = cast_.public.images[:2]
    for name in discover("metric"):
        find("metric", name)()(probe, probe)  # raises MetricError now rather than after hours
