"""Where attacks are prepared and let loose, each once: a naive attacker's work serves every defence of a sweep."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from splitward._version import __version__
from splitward.audit.asked import Asked
from splitward.audit.grant import grant
from splitward.audit.plant import Plant, planted
from splitward.audit.suite import Entry
from splitward.audit.world import World, observe, samples_hash
from splitward.core.defence import Chain
from splitward.core.errors import AttackError, UsageError
from splitward.core.knowledge import Activations, Samples
from splitward.core.protocols import Inverter, threat_model
from splitward.core.registry import find
from splitward.core.run import Run, Trace
from splitward.core.settling import diverged
from splitward.record.schema import Control

REVISION = 12
"""Part of every address: raised where attacks of the same settings give other numbers within a version."""
IDENTIFIED = 0.5
"""A sound attack brings at least this share of the secrets nearest to their own originals: of all of them on the
undefended cut, of those that the hidden copy by itself tells apart on a planted leak."""
COPIED = 0.75
"""Or it brings this share of the variance of the hidden copy back. A copy of few numbers tells few secrets apart,
however well it is read; the label says .27 of a copy of 3 x 3 on MNIST, and nothing of the one number that fits in a
code of one.
"""
CHANCE_DEVIATIONS = 4
"""And it is so many standard deviations above guessing, whose share is 1 / N."""
ABOVE_FLOOR = 0.1
"""SSIM above the mean image that makes the undefended cut a control of its own."""


@dataclass
class Outcome:
    """What an attack made of some activations, and what it took."""

    guess: Tensor
    trace: Trace
    queries: int
    seconds: float


@dataclass
class _Prepared:
    inverter: Inverter
    run: Run
    trace: Trace
    oracles: list[Any]
    seconds: float
    built_on: list[_Prepared]

    @property
    def queries(self) -> int:
        """Questions to the device, those of the attacks that it builds on included."""
        own = sum(int(oracle.used) for oracle in self.oracles)
        return own + sum(other.queries for other in self.built_on)


def digest(*parts: Any) -> str:
    """A content address: SHA-256 of the JSON of some parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


@dataclass
class Bench:
    """Prepared attacks, their outcomes and their controls, by content address. Secrets stay here.

    ``panel``: the defences of a sweep for which an attack that can (``prepare_several``) is prepared all at once, by
    those who know of them; never under a query budget. It is part of the address of all that follows from it.
    ``crossed``: by the key of a world, what a real device of it sent for the secrets. ``accuracies``: of the task, by
    the key of an undefended world's labels, on the samples that are held out beside these secrets.
    """

    run: Run
    secrets: Samples
    budget: int | None = None
    panel: tuple[Chain, ...] = ()
    floors: dict[str, Any] = field(default_factory=dict)
    judges: dict[str, Any] = field(default_factory=dict)
    crossed: dict[str, Activations] = field(default_factory=dict)
    accuracies: dict[str, float] = field(default_factory=dict)
    _prepared: dict[str, _Prepared] = field(default_factory=dict)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _controls: dict[str, Control] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.secrets_hash = samples_hash(self.secrets)

    def address(self, name: str, parameters: dict[str, Any], believed: World, true: World) -> str:
        """The content address of one trial (or floor): the same address, the same numbers."""
        machine = (__version__, REVISION, torch.__version__, torch.get_num_threads(), str(self.run.device))
        worlds = (believed.key, true.key, *(w.key for w in self._panel(believed)))
        budget = None if name.startswith("floor/") else self.budget  # a floor asks nobody
        return digest(name, parameters, *worlds, self.secrets_hash, self.run.seed, budget, *machine)

    def refuse_others(self, secrets: Samples, budget: int | None, run: Run) -> None:
        """Raise UsageError unless this bench holds these secrets, this query budget and this run's seed."""
        if (self.secrets_hash, self.budget, self.run.seed) != (samples_hash(secrets), budget, run.seed):
            raise UsageError(
                "the bench that was handed over holds other secrets, another query budget or another seed than this "
                "audit; make one for these."
            )

    def sent(self, world: World) -> Activations:
        """What the device sends for the secrets: the same for every attack on this world, recorded or drawn."""
        if world.key in self.crossed:
            return self.crossed[world.key]
        return observe(world, self.secrets.images, self.run.stream(f"wire-noise/{world.key}"))

    def _panel(self, believed: World) -> list[World]:
        """The worlds for which one preparation serves, ``believed`` among them; none where each stands alone."""
        if self.budget is not None or believed.chain not in self.panel:
            return []
        return [replace(believed, chain=chain) for chain in self.panel]

    def _prepare(self, entry: Entry, believed: World) -> _Prepared:
        several = self._panel(believed) if hasattr(entry.attack, "prepare_several") else []
        worlds = several or [believed]
        panel = [w.key for w in self._panel(believed)]
        keys = [digest(entry.role, entry.parameters, w.key, *panel) for w in worlds]
        if keys[0] not in self._prepared:
            role = f"attack/{entry.role}/{digest(*keys) if several else believed.key}"
            # Knowledge draws from the audit's streams, the attack from its own: neither can compute the other's.
            granted = self.run.child(f"grant/{role}")
            # a device without randomness, or with a budget, is asked once: its answers are what is kept
            asked = Asked(believed.edge) if self.budget is None and any(w.chain.draws for w in worlds) else None
            held = [
                grant(entry.kind, w, granted.child(w.key) if several else granted, self.budget, asked) for w in worlds
            ]
            run = self.run.child(role)
            built_on: list[_Prepared] = []
            run.workshop = functools.partial(self._shared, believed, entry.repetition, built_on)
            start = time.perf_counter()
            made = entry.attack.prepare_several(held, run) if several else [entry.attack.prepare(held[0], run)]
            seconds = time.perf_counter() - start
            if asked is not None:
                asked.forget()
            oracles = [known.query for known in held if hasattr(known, "query")]  # traffic and copies are let go
            for key, inverter in zip(keys, made, strict=True):
                self._prepared[key] = _Prepared(inverter, run, run.trace, oracles, seconds, built_on)
        return self._prepared[keys[self.panel.index(believed.chain) if several else 0]]

    def _shared(
        self, believed: World, repetition: int, built_on: list[_Prepared], attack: Any, knowledge: Any
    ) -> tuple[Inverter, Trace]:
        """For an attack that builds on a weaker one: the latter as the audit itself prepares it in the same world."""
        kind = threat_model(attack)
        if not isinstance(knowledge, kind):
            raise AttackError(f"{attack.name!r} needs {kind.label} knowledge, which its user does not hold.")
        prepared = self._prepare(Entry(attack.name, attack, kind, repetition), believed)
        built_on.append(prepared)
        return prepared.inverter, prepared.trace

    def attack(self, entry: Entry, believed: World, true: World) -> Outcome:
        """Let ``entry``, prepared in the world that it believes in, loose on what the true world sends."""
        key = self.address(entry.role, entry.parameters, believed, true)
        if key not in self._outcomes:
            prepared = self._prepare(entry, believed)
            prepared.run.trace = {}
            start = time.perf_counter()
            guess: Tensor = prepared.inverter(self.sent(true))
            seconds = prepared.seconds + time.perf_counter() - start
            trace = {**prepared.trace, **prepared.run.trace}
            self._outcomes[key] = Outcome(sound(guess, entry.name, self.secrets), trace, prepared.queries, seconds)
        return self._outcomes[key]

    def inverter(self, entry: Entry, believed: World) -> Inverter:
        """The inverter of ``entry`` in the world that it believes in; what it records from here on is not kept."""
        prepared = self._prepare(entry, believed)
        prepared.run.trace = {}
        return prepared.inverter

    def recover(self, entry: Entry, believed: World, true: World, others: Samples, role: str) -> tuple[Tensor, float]:
        """What the inverter of ``entry`` makes of other secrets, and the seconds that it took; no trace is kept."""
        sent = observe(true, others.images, self.run.stream(f"wire-noise/{role}/{true.key}"))
        invert = self.inverter(entry, believed)
        start = time.perf_counter()
        guess = invert(sent)
        return sound(guess, entry.name, others), time.perf_counter() - start

    def control(self, entry: Entry, world: World) -> Control:
        """The positive control of ``entry``: the undefended cut, or a planted leak where that one leaks little."""
        clean = world.undefended()
        key = digest(entry.role, entry.parameters, clean.key)
        if key not in self._controls:
            control = self._judge(self.attack(entry, clean, clean), world)
            if not control.recovered:
                leaky, plant = planted(clean, self.run.child(f"plant/{world.fingerprint}"))
                control = self._judge(self.attack(entry, leaky, leaky), world, plant)
            self._controls[key] = control
        return self._controls[key]

    def _judge(self, outcome: Outcome, world: World, plant: Plant | None = None) -> Control:
        """Whether the secrets came back where they must: from the undefended cut, or from what is planted there."""
        guess, truth = outcome.guess, self.secrets.images
        mean = world.public.images.mean(0, keepdim=True).expand_as(truth)
        score = {
            name: float(find("metric", name)()(guess, truth).mean()) for name in ("ssim", "psnr", "identification")
        }
        error, floor = float(((guess - truth) ** 2).mean()), float(((mean - truth) ** 2).mean())
        best, possible, copied = 0.0, 1.0, 0.0
        if plant is not None:
            reference = reference_guess(world, plant.shrink, self.secrets)
            best = float(((reference - truth) ** 2).mean())
            possible = float(find("metric", "identification")()(reference, truth).mean())
            copied = came_back(plant.shrink(guess), plant.shrink(truth))
        chance = 1 / len(truth)
        guessing = chance + CHANCE_DEVIATIONS * math.sqrt(chance * (1 - chance) / len(truth))
        needed = max(IDENTIFIED * possible, guessing)
        identified = score["identification"] >= needed
        told = f"{score['identification']:.0%} of the secrets told apart, SSIM {score['ssim']:.2f}"
        if plant is None:
            least = float(find("metric", "ssim")()(mean, truth).mean()) + ABOVE_FLOOR
            recovered = identified and score["ssim"] >= least
            wanted = f"{needed:.0%} and SSIM at least {least:.2f} on the undefended cut"
        else:
            recovered = identified or copied >= COPIED
            told += f", {max(0.0, copied):.0%} of the planted copy's variance"
            wanted = f"{needed:.0%}, or {COPIED:.0%} of the copy"
        reason = f"recovered: {told}" if recovered else f"not recovered: {told}; needed are {wanted}"
        rising = [phase for phase, points in outcome.trace.items() if diverged(points)]
        if recovered and rising:  # what it started from is not what it attacked
            recovered, reason = False, f"not recovered: {told}, but the loss of {rising[0]!r} rose"
        return Control(
            kind="undefended" if plant is None else "planted", recovered=recovered,
            identification=score["identification"], chance=chance, ssim=score["ssim"], psnr_db=score["psnr"],
            gain=(floor - error) / max(floor - best, 1e-12), reason=reason,
        )  # fmt: skip


def came_back(found: Tensor, true: Tensor) -> float:
    """The share of the variance of ``true`` (N, ...) over samples that ``found`` explains; negative if it misleads."""
    wrong, spread = (found - true).square().sum(), (true - true.mean(0)).square().sum()
    return 1 - float(wrong / spread.clamp_min(1e-12))


def sound(guess: Any, name: str, secrets: Samples) -> Tensor:
    """The guess, once it is seen to be (N, C, H, W) and finite in [0, 1]; raises AttackError where it is not."""
    shape = tuple(secrets.images.shape)
    if not isinstance(guess, Tensor) or tuple(guess.shape) != shape:
        got = tuple(guess.shape) if isinstance(guess, Tensor) else type(guess).__name__
        raise AttackError(f"attack {name!r} returned {got} where pixels of shape {shape} are due.")
    pixels: Tensor = guess.detach().to(torch.float32)
    if not bool(torch.isfinite(pixels).all()):
        raise AttackError(f"attack {name!r} returned pixels that are not finite; its optimisation diverged.")
    if float(pixels.min()) < -1e-4 or float(pixels.max()) > 1 + 1e-4:
        raise AttackError(
            f"attack {name!r} returned pixels from {float(pixels.min()):.3g} to {float(pixels.max()):.3g}; "
            "clip them to [0, 1]."
        )
    return pixels.clamp(0, 1)


@torch.no_grad()
def reference_guess(world: World, shrink: Any, secrets: Samples, ridge: float = 1e-2) -> Tensor:
    """What the hidden copy gives away by itself: ridge regression from copy to image, fitted on public images."""

    def rows(images: Tensor) -> Tensor:
        copies: Tensor = shrink(images).flatten(1)
        return torch.cat([copies, torch.ones_like(copies[:, :1])], 1).double()

    public = world.public.images[:4096]
    design, target = rows(public), public.flatten(1).double()
    gram = design.T @ design + ridge * torch.eye(design.shape[1], dtype=torch.float64, device=design.device)
    weights = torch.linalg.solve(gram, design.T @ target)
    pixels: Tensor = (rows(secrets.images) @ weights).float().clamp(0, 1)
    return pixels.view_as(secrets.images)
