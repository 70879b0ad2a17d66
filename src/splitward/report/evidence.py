"""What a report asks of a record: the strongest attacks, the floors that they are held against, and plain counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitward.record import statistics, verdict
from splitward.record.schema import Estimate, Floor, Record, Trial
from splitward.report import wording

Pictures = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Evidence:
    """One record with its pictures (empty where they were redacted), and the questions that a report asks of it.

    A trial stands for all its repetitions under other attack seeds: its estimates are those of all of them together,
    its pictures are those of the first.
    """

    record: Record
    pictures: Pictures
    folder: str

    @cached_property
    def metric(self) -> str:
        """The metric of the verdict; without one SSIM, or whatever else was measured."""
        if self.record.verdict:
            return self.record.verdict.metric
        measured = [name for t in self.record.trials for name in t.metrics]
        common = verdict.metric_of(self.record)
        return common or ("ssim" if "ssim" in measured or not measured else measured[0])

    def words(self, name: str | None = None) -> wording.MetricWords:
        """How a metric (the verdict's) is written and read."""
        name = name or self.metric
        return wording.metric(name, self.record.scale(name))

    @cached_property
    def defended(self) -> bool:
        """Whether there is a defence that an attacker may know or not know."""
        return wording.defended(self.record)

    @cached_property
    def usable(self) -> list[Trial]:
        """Trials with numbers, believable or not, strongest first; repetitions are left out."""
        return [a.trial for a in verdict.answers(self.record, self.metric)]

    @cached_property
    def strongest(self) -> Trial | None:
        """The trial of the verdict; without a verdict the strongest result there is."""
        found = self.record.verdict
        for trial in self.usable if found else []:
            same = trial.attack, trial.threat_model, trial.adaptive, trial.observations
            if found and same == (found.attack, found.threat_model, found.adaptive, found.observations):
                return trial
        return self.usable[0] if self.usable else None

    @cached_property
    def naive(self) -> Trial | None:
        """The strongest attacker that believes that there is no defence; None where there is none to know of."""
        return next((t for t in self.usable if not t.adaptive), None) if self.defended else None

    @cached_property
    def adaptive(self) -> Trial | None:
        """The strongest attacker that knows the defence; without a defence simply the strongest."""
        return next((t for t in self.usable if t.adaptive), None) if self.defended else self.strongest

    @cached_property
    def key_trials(self) -> list[Trial]:
        """The strongest naive, the strongest adaptive and the strongest attacker of all, each once, in this order."""
        kept: list[Trial] = []
        for trial in (self.naive, self.adaptive, self.strongest):
            if trial is not None and not any(trial is other for other in kept):
                kept.append(trial)
        return kept

    @cached_property
    def floors(self) -> list[Floor]:
        """Floors with numbers in the verdict's metric: the prior ones first, each kind from weak to strong."""
        sign = 1 if self.words().higher_is_closer else -1
        known = [f for f in self.record.floors if f.per_sample.get(self.metric)]
        return sorted(known, key=lambda f: (f.kind != "prior", sign * float(np.mean(f.per_sample[self.metric]))))

    @cached_property
    def floor(self) -> Floor | None:
        """The floor of the verdict; without a verdict the stronger one."""
        observations = self.strongest.observations if self.strongest else 1
        return verdict.stronger_floor(self.record, self.metric, observations)

    @cached_property
    def scores(self) -> NDArray[np.floating] | None:
        """The strongest attack's score of each sample (N,)."""
        values = self.strongest.per_sample.get(self.metric) if self.strongest else None
        return np.asarray(values, dtype=float) if values else None

    @cached_property
    def measured(self) -> list[Floor | Trial]:
        """Everything that has a number in the verdict's metric."""
        return [*self.floors, *self.usable]

    def repetitions(self, trial: Trial) -> list[Trial]:
        """A trial and the same under other attack seeds; those that can be believed, where there are any."""
        same = trial.attack, trial.threat_model, trial.adaptive, trial.observations
        found = [t for t in self.record.trials if (t.attack, t.threat_model, t.adaptive, t.observations) == same]
        return [t for t in found if t.believable] or found

    def estimate(self, item: Trial | Floor | None, name: str | None = None) -> Estimate | None:
        """An item's estimate of a metric (the verdict's), over all its repetitions, if it was measured."""
        name = name or self.metric
        if item is None:
            return None
        parts = self.repetitions(item) if isinstance(item, Trial) else [item]
        known = [p.metrics[name] for p in parts if name in p.metrics]
        if len(known) < 2:
            return known[0] if known else None
        low, high = statistics.interval(np.array([p.per_sample[name] for p in parts if name in p.metrics]).T)
        mean, worst = (float(np.mean([getattr(e, field) for e in known])) for field in ("mean", "worst"))
        return Estimate(mean=mean, low=min(low, mean), high=max(high, mean), worst=worst, n=known[0].n)

    def recognisable(self, item: Trial | Floor | None) -> int | None:
        """How many of an item's guesses pass the papers' threshold; None where neither SSIM nor PSNR was measured."""
        if item is None or not {"ssim", "psnr"} & set(item.per_sample):
            return None
        return int(statistics.recognisable(item.per_sample).sum())

    def recovered(self, item: Trial | None) -> int | None:
        """How many of a trial's guesses pass both thresholds and are closer than the floor's; None as above."""
        if item is None or not {"ssim", "psnr"} & set(item.per_sample):
            return None
        return int(statistics.recovered(item.per_sample, self.floor.per_sample if self.floor else None).sum())

    def told_apart(self, item: Trial | Floor | None) -> int | None:
        """How many of an item's guesses are nearest to their own original; a tie among m counts 1/m, then rounded."""
        estimate = self.estimate(item, "identification")
        return None if estimate is None else round(estimate.mean * estimate.n)
