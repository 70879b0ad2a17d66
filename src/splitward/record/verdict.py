"""The verdict of a record, and the gates on it: the strongest attack against the stronger floor. Pure functions.

Two questions are kept apart:

- *How much leaks?* What was recovered was recovered. Every trial that gave an answer counts here, believable or not: an
  attack that had not converged, or that failed its control, can understate the leakage, never overstate it, because
  its guesses were compared with the truth.
- *May we speak at all?* That nothing more leaks is believed only of attacks that could have found it. A verdict
  therefore needs a believable attack of every threat model that was asked for, and none whose attackers were handed a
  wrong description of the defence; otherwise there is no verdict, and the record says what is lacking and why (and what
  was recovered all the same).

The excess is taken per sample, against the floor with the better mean that had the same number of observations. It is
undefined where that floor is nearly exact. ``upper`` and ``worst_decile`` are the largest over all attacks: the one
that is best on average need not be the one that is worst for the unluckiest tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from splitward.core.errors import RecordError
from splitward.record import descriptions, sentences
from splitward.record.schema import Bound, Finding, Floor, Record, ThreatModel, Trial, Verdict
from splitward.record.statistics import (
    Floats,
    excess_mse,
    excess_ssim,
    interval,
    paired_difference,
    recognisable,
    recovered,
    upper_mean,
    upper_worst_decile,
)

FLOOR_LIMIT_SSIM = 0.95
"""A floor above it leaves no room in which an attack could show itself: the excess is undefined."""

FLOOR_LIMIT_MSE = 1e-3
"""The same where SSIM does not exist: a floor below it is within 30 dB of the secrets."""

RECOVERED_SHARE, RECOVERED_EXCESS = 0.5, 0.25
"""The sentence says "recovers the secrets" of half of the images strictly recovered, and a quarter of what the floor
leaves."""


@dataclass(frozen=True)
class Answer:
    """One attacker's answers: a trial, with its repetitions under other attack seeds."""

    trials: tuple[Trial, ...]
    metric: str

    @property
    def trial(self) -> Trial:
        """The first repetition."""
        return self.trials[0]

    @property
    def values(self) -> Floats:
        """(n, s): samples and attack seeds."""
        columns = [t.per_sample[self.metric] for t in self.trials]
        if len({len(c) for c in columns}) != 1:
            raise RecordError(f"the repetitions of {self.trial.attack!r} do not score the same number of samples.")
        return np.array(columns, dtype=np.float64).T

    @property
    def mean(self) -> float:
        """Over samples and seeds."""
        return float(self.values.mean())


def metric_of(record: Record) -> str | None:
    """What leakage is measured in: SSIM, or MSE where SSIM is not defined (images below 11 pixels); None without both.

    Floors and answers must all have it.
    """
    scored = [part.per_sample for part in record.scored if part.per_sample]
    return next((m for m in ("ssim", "mse") if scored and all(m in s for s in scored)), None)


def answers(record: Record, metric: str) -> list[Answer]:
    """Every attacker that gave an answer scored in ``metric``, strongest first; ties in the order of the record.

    Of an attack's repetitions those that can be believed count, where there are any: one that failed only understates.
    """
    groups: dict[tuple[str, str, bool, int], list[Trial]] = {}
    for trial in record.trials:
        if trial.per_sample.get(metric):
            groups.setdefault((trial.attack, trial.threat_model, trial.adaptive, trial.observations), []).append(trial)
    sign = -1 if record.scale(metric).higher_is_closer else 1
    found = [Answer(tuple([t for t in g if t.believable] or g), metric) for g in groups.values()]
    return sorted(found, key=lambda a: sign * a.mean)


def stronger_floor(record: Record, metric: str, observations: int = 1) -> Floor | None:
    """The floor with the better mean, among the prior ones and those with as many observations; None without any."""
    scored = [f for f in record.floors if f.per_sample.get(metric)]
    fair = [f for f in scored if f.kind == "prior" or f.observations == observations]
    sign = 1 if record.scale(metric).higher_is_closer else -1
    return max(fair or scored, key=lambda f: sign * float(np.mean(f.per_sample[metric])), default=None)


def excess(answer: Answer, floor: Floor) -> Floats | None:
    """Excess leakage per sample and seed, (n, s); None where the floor is too close to the secrets to tell."""
    base = np.asarray(floor.per_sample[answer.metric], dtype=np.float64)
    if answer.metric == "mse":
        return None if base.mean() < FLOOR_LIMIT_MSE else excess_mse(answer.values, base)
    return None if base.mean() > FLOOR_LIMIT_SSIM else excess_ssim(answer.values, base)


def decide(record: Record) -> Record:
    """A copy with ``verdict`` filled in, or ``no_verdict`` saying why there is none.

    Raises RecordError where trials and floors do not score the same number of samples.
    """
    metric = metric_of(record)
    found = answers(record, metric) if metric else []
    reason = _why_none(record, metric, found)
    if reason or not metric:
        return record.model_copy(update={"verdict": None, "no_verdict": reason})
    return record.model_copy(update={"verdict": _verdict(record, found), "no_verdict": ""})


def leaks_at_least(record: Record) -> float | None:
    """The lower 95 % limit of the mean excess of the strongest answer, believable or not; None where it is undefined.

    What was recovered was recovered: it needs no verdict, and says nothing of what better attacks would find.
    """
    metric = metric_of(record)
    found = answers(record, metric) if metric else []
    floor = stronger_floor(record, metric, found[0].trial.observations) if metric and found else None
    gained = excess(found[0], floor) if floor is not None else None
    return None if gained is None else max(0.0, interval(gained)[0])


def asked_threat_models(record: Record) -> tuple[ThreatModel, ...]:
    """Those that were asked for; in a record that does not say, those that were tried."""
    tried = {t.threat_model for t in record.trials}
    return record.threat_models or tuple(m for m in get_args(ThreatModel) if m in tried)


def believable(record: Record, threat_model: ThreatModel, adaptive: bool | None = None) -> list[Trial]:
    """The trials of a threat model whose silence would mean something; of adaptive attackers alone, if asked."""
    return [
        t
        for t in record.trials
        if t.threat_model == threat_model and t.status == "ok" and t.believable and adaptive in (None, t.adaptive)
    ]


def _why_none(record: Record, metric: str | None, found: Sequence[Answer]) -> str:
    asked = asked_threat_models(record)
    if not asked:
        return "No attack was tried."
    lacking = [m for m in asked if not believable(record, m)]
    wrong = descriptions.misfits(record)
    if lacking or wrong:
        because = [f"{descriptions.sentence(*found)} {sentences.MISLED}" for found in wrong]
        because += [sentences.lacking(m, [t for t in record.trials if t.threat_model == m]) for m in lacking]
        why = " ".join(because)
        return (
            f"{why} {sentences.all_the_same(record, found[0].trial, found[0].mean, found[0].metric)}" if found else why
        )
    if metric is None or not found:
        return "Neither SSIM nor MSE was measured for every attack and floor, so there is nothing to compare."
    if stronger_floor(record, metric) is None:
        return "No floor was measured, so nothing says what an attacker reaches without the activation."
    return ""


def finding(record: Record) -> Finding | None:
    """What the strongest attack found, whether or not the record deserves a verdict; None without a fair comparison.

    What was recovered was recovered; only "none-found" takes believable attacks to mean something.
    """
    metric = metric_of(record)
    found = answers(record, metric) if metric else []
    if not found or stronger_floor(record, found[0].metric) is None:
        return None
    return _finding(found[0], _floor_of(record, found[0]), record)


def _verdict(record: Record, found: list[Answer]) -> Verdict:
    """The verdict of a record that deserves one; ``found`` is strongest first."""
    best, metric = found[0], found[0].metric
    trial = best.trial
    floor = _floor_of(record, best)
    over = excess(best, floor)
    limits = [(a, e) for a in found if (e := excess(a, _floor_of(record, a))) is not None]
    upper = max(((upper_mean(e), a.trial.attack) for a, e in limits), default=(None, ""))
    decile = max(((upper_worst_decile(e), a.trial.attack) for a, e in limits), default=(None, ""))
    if over is None:
        upper = decile = (None, "")
    low, high = interval(best.values)
    values: dict[str, object] = {
        "attack": trial.attack,
        "threat_model": trial.threat_model,
        "adaptive": trial.adaptive,
        "observations": trial.observations,
        "metric": metric,
        "leakage": best.mean,
        "leakage_low": low,
        "leakage_high": high,
        "floor": float(np.mean(floor.per_sample[metric])),
        "floor_name": floor.name,
        "excess": None if over is None else float(over.mean()),
        "upper": upper[0],
        "upper_attack": upper[1],
        "worst_decile": decile[0],
        "worst_decile_attack": decile[1],
        "recovered_share": float(np.mean([recognisable(t.per_sample) for t in best.trials])),
        "recovered_strictly_share": _strictly(best, floor),
        "floor_recovered_share": float(recognisable(floor.per_sample).mean()),
        "believable": any(t.status == "ok" and t.believable for t in best.trials),
        "effort": record.effort,
        "suite": _suite(record),
        "bound_to": Bound(
            weights_sha256=record.target.model.weights_sha256,
            defence=record.target.defence,
            quantisation=record.target.quantisation,
        ),
        "finding": _finding(best, floor, record),
        "naive_only": _naive_only(record),
        "sentence": "",
    }
    verdict = Verdict.model_validate(values)
    return verdict.model_copy(update={"sentence": sentences.verdict(record, verdict, floor)})


def _floor_of(record: Record, answer: Answer) -> Floor:
    floor = stronger_floor(record, answer.metric, answer.trial.observations)
    assert floor is not None  # decide() has seen that there is one
    if len(floor.per_sample[answer.metric]) != len(answer.values):
        raise RecordError(
            f"{answer.trial.attack!r} scores {len(answer.values)} samples and the floor {floor.name!r} "
            f"{len(floor.per_sample[answer.metric])}: both must score every secret."
        )
    return floor


def _strictly(answer: Answer, floor: Floor) -> float:
    """The share of samples, over all repetitions, that is recovered by the stricter count."""
    return float(np.mean([recovered(t.per_sample, floor.per_sample) for t in answer.trials]))


def _finding(best: Answer, floor: Floor, record: Record) -> Finding:
    """Whether the strongest attack beats the floor beyond the paired interval, and whether it recovers most images."""
    _, low, high = paired_difference(floor.per_sample[best.metric], best.values.mean(axis=1))
    beats = low > 0 if record.scale(best.metric).higher_is_closer else high < 0
    if not beats:
        return "none-found"
    over = excess(best, floor)
    much = over is not None and float(over.mean()) >= RECOVERED_EXCESS
    return "recovered" if much and _strictly(best, floor) >= RECOVERED_SHARE else "partial"


def _naive_only(record: Record) -> tuple[ThreatModel, ...]:
    """On a defended target: the threat models without a believable attack that knows of the defence."""
    if record.target.defence == "none":
        return ()
    return tuple(m for m in asked_threat_models(record) if not believable(record, m, adaptive=True))


def _suite(record: Record) -> str:
    """The version of the suite, and the attacks of it that could be believed."""
    names = sorted({t.attack for t in record.trials if t.status == "ok" and t.believable})
    return f"splitward {record.environment.splitward}: {', '.join(names)}"
