"""Checks: reasons not to believe a number, computed from records alone; "ok" where one was looked for and not found.

The kinds of check follow auto-attack's flags (F. Croce and M. Hein, ICML 2020) and the rule that a deeper layer cannot
reveal more than the layer it is computed from (data processing inequality).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from splitward.core.settling import converged
from splitward.record import descriptions, meaning, monotone, pairs, sentences
from splitward.record.certificate import Certificate, named_share
from splitward.record.convergence import settled
from splitward.record.schema import Check, Record, Trial
from splitward.record.verdict import FLOOR_LIMIT_MSE, FLOOR_LIMIT_SSIM, Answer, metric_of, stronger_floor

__all__ = ["check", "check_sweep", "converged"]

EXACT_SSIM = 0.99
FEW_SAMPLES = 30
FEW_PUBLIC, SOME_PUBLIC = 100, 1000
ACCURACY_NOTE, ACCURACY_WARNING = 0.01, 0.05

TELLING = 0.01
"""Least p-value that counts, of a permutation test on sizes or times."""

_LEVEL = re.compile(r"(?P<kind>[\w-]+):(?P<level>\d+(\.\d+)?([eE][-+]?\d+)?)(?P<place>@input)?")


def check(record: Record) -> tuple[Check, ...]:
    """Every check of one record, in a fixed order."""
    return tuple(itertools.chain.from_iterable(look(record) for look in _CHECKS))


def check_sweep(records: Sequence[Record]) -> tuple[Check, ...]:
    """Checks that need several records of one model and data set: over the cuts, and over a defence's levels.

    Only records with as many observations of each secret are compared.
    """
    alike: dict[int, list[Record]] = {}
    for record in records:
        alike.setdefault(sentences.observations(record), []).append(record)
    return tuple(c for group in alike.values() for c in (*_rising_with_depth(group), *_rising_with_level(group)))


def _ok(name: str, message: str) -> Check:
    return Check(name=name, level="ok", message=message)


def _attacks_that_failed(record: Record) -> Iterator[Check]:
    name = "attack-failed"
    failed = [t for t in record.trials if t.status == "failed" and not (t.control and not t.control.recovered)]
    for trial in failed:
        text = f"{_named(record, trial)} failed: {trial.reason.rstrip('.') or 'no reason was given'}."
        yield Check(name=name, level="failure", message=text)
    for trial in record.trials:
        if trial.status == "skipped":
            text = f"{_named(record, trial)} was skipped: {trial.reason.rstrip('.') or 'no reason was given'}."
            yield Check(name="attack-skipped", level="note", message=text)
    if not failed:
        yield _ok(name, "Every attack that was tried ran to its end.")


def _still_falling(record: Record) -> Iterator[Check]:
    name = "still-falling"
    open_ended = [t for t in record.trials if t.status == "ok" and not _exact(t)]
    falling = [t for t in open_ended if t.converged is False or settled(t) is False]
    silent = [t for t in open_ended if t.converged is None and settled(t) is None]
    for trial in falling:
        text = f"{_named(record, trial)} had not converged when it stopped, so it can recover more than it did."
        yield Check(name=name, level="warning", message=text)
    for trial in silent:
        text = f"{_named(record, trial)} recorded no loss, so nothing says whether it had converged."
        yield Check(name=name, level="warning", message=text)
    if not falling and not silent:
        yield _ok(name, "The loss of every attack had settled.")


def _exact(trial: Trial) -> bool:
    """Whether there is nothing left to recover, so that a falling loss means nothing."""
    return "ssim" in trial.metrics and trial.metrics["ssim"].mean >= EXACT_SSIM


def _control_not_recovered(record: Record) -> Iterator[Check]:
    name = "control-not-recovered"
    failed = [t for t in record.trials if t.control is not None and not t.control.recovered]
    for trial in failed:
        why = f" ({trial.control.reason.rstrip('.')})" if trial.control and trial.control.reason else ""
        text = f"{_named(record, trial)} did not recover its positive control{why}: what it misses may still be there."
        yield Check(name=name, level="failure", message=text)
    if not failed:
        yield _ok(name, "Every attack recovered its positive control.")


def _weaker_beats_stronger(record: Record) -> Iterator[Check]:
    """A stronger attacker can do all that a weaker one does: where it does worse, its attacks are not at their best."""
    name = "weaker-beats-stronger"
    beaten = [_beaten(o) for o in (*monotone.knowledge(record), *monotone.adaptive(record)) if not o.holds]
    yield from (Check(name=name, level="warning", message=text) for text in beaten)
    if not beaten:
        yield _ok(name, "No attacker beat one who knows more.")


def _beaten(found: monotone.Ordering) -> str:
    weak, strong = found.weaker, found.stronger
    if found.rule == "adaptive":
        return (
            f"{weak.answer.trial.attack} comes closer when it does not know of the defence ({_scored(weak.answer)}) "
            f"than when it does ({_scored(strong.answer)}): it makes bad use of what it knows."
        )
    return (
        f"The best {weak.threat_model} attack ({_scored(weak.answer)}) beats the best {strong.threat_model} attack "
        f"({_scored(strong.answer)}), which knows more: the {strong.threat_model} attacks are not at their best."
    )


def _naive_only(record: Record) -> Iterator[Check]:
    name = "no-adaptive-attack"
    if record.target.defence == "none":
        return
    lacking = [
        m
        for m in record.threat_models
        if not any(t.threat_model == m and t.adaptive and t.believable and t.status == "ok" for t in record.trials)
    ]
    for model in lacking:
        text = f"No believable {model} attack knew of the defence, and a defence is as good as the best that does."
        yield Check(name=name, level="warning", message=text)
    if not lacking:
        yield _ok(name, "For every threat model a believable attack knew of the defence.")


def _wrong_description(record: Record) -> Iterator[Check]:
    name = "wrong-description"
    wrong = descriptions.misfits(record)
    for found in wrong:
        yield Check(name=name, level="failure", message=descriptions.sentence(*found))
    if record.descriptions and not wrong:
        text = f"What the device sends fits the description of {record.target.defence} that the attackers were handed."
        yield _ok(name, text)


def _verdict_not_believable(record: Record) -> Iterator[Check]:
    if record.verdict is not None and not record.verdict.believable:
        text = (
            f"The strongest attack ({record.verdict.attack}) is not believable: the leakage is at least what it found."
        )
        yield Check(name="strongest-not-believable", level="warning", message=text)


def _single_draw(record: Record) -> Iterator[Check]:
    name = "single-draw"
    ran = [t for t in record.trials if t.status == "ok"]
    if record.target.defence == "none" or not ran:
        return
    if not record.target.draws:
        yield _ok(name, f"{record.target.defence} draws nothing: a second observation says nothing new.")
        return
    if all(t.observations == 1 for t in ran):
        text = (
            f"Every attack saw one random draw of {record.target.defence}; one who sees the same input several times "
            "averages the randomness out (--observations)."
        )
        yield Check(name=name, level="warning", message=text)
    else:
        most = max(t.observations for t in ran)
        yield _ok(name, f"The random defence was attacked with up to {most} draws of each secret.")


def _few_samples(record: Record) -> Iterator[Check]:
    n, name = record.samples, "few-samples"
    if n < FEW_SAMPLES:
        text = f"{n} secrets are too few for the intervals to be trusted; {FEW_SAMPLES} are the least."
        yield Check(name=name, level="warning", message=text)
    else:
        yield _ok(name, f"{n} secrets were attacked.")


def _few_public(record: Record) -> Iterator[Check]:
    n, name = record.target.data.public, "few-public"
    if 0 < n < FEW_PUBLIC:
        text = f"The attackers held {n} public images; with so few, no trained attack is at its best."
        yield Check(name=name, level="warning", message=text)
    elif 0 < n < SOME_PUBLIC:
        text = f"The attackers held {n} public images; one who holds thousands may recover more."
        yield Check(name=name, level="note", message=text)
    elif n:
        yield _ok(name, f"The attackers held {n} public images.")


def _floor_too_high(record: Record) -> Iterator[Check]:
    name, metric = "floor-too-high", metric_of(record)
    floor = stronger_floor(record, metric) if metric else None
    if metric is None or floor is None:
        return
    mean = math.fsum(floor.per_sample[metric]) / len(floor.per_sample[metric])
    told = f"{sentences.floor_source(floor)} reaches {sentences.value(metric, mean)}"
    if mean < FLOOR_LIMIT_MSE if metric == "mse" else mean > FLOOR_LIMIT_SSIM:
        text = f"Without the activation, {told}: the secrets are too alike for an excess over that to mean anything."
        yield Check(name=name, level="failure", message=text)
    else:
        yield _ok(name, f"Without the activation, {told}.")


def _accuracy(record: Record) -> Iterator[Check]:
    name, measured = "accuracy", record.target.accuracy
    if measured is None:
        yield Check(name=name, level="note", message="The accuracy of the task was not measured.")
        return
    if record.target.defence == "none":
        return
    lost = measured.undefended - measured.defended
    text = (
        f"The defence costs {100 * lost:.1f} points of accuracy "
        f"({100 * measured.undefended:.1f} % to {100 * measured.defended:.1f} %, n = {measured.n})."
    )
    level = "warning" if lost > ACCURACY_WARNING else "note" if lost > ACCURACY_NOTE else "ok"
    yield Check.model_validate({"name": name, "level": level, "message": text})


def _weak_judge(record: Record) -> Iterator[Check]:
    """What a judge misses in a reconstruction means nothing where it misses it in the original as well."""
    name = "weak-judge"
    if record.no_judge:
        text = f"No judge says what the pictures still show: {record.no_judge.rstrip('.')}."
        yield Check(name=name, level="note", message=text)
    weak = [n for n in meaning.judgements(record) if meaning.recognises(record, n) is False]
    for judgement in weak:
        yield Check(name=name, level="warning", message=meaning.weak(record, judgement))
    if not weak and "semantic" in meaning.judgements(record):
        yield _ok(name, "The judge recognises the untouched originals.")


def _degrees_of_freedom(record: Record) -> Iterator[Check]:
    free, pixels = record.target.data.degrees_of_freedom, math.prod(record.target.input.shape)
    if free is not None and free < pixels:
        text = (
            f"An image of {record.target.data.name} has {free} degrees of freedom in {pixels} pixels: it is easier to "
            "recover than one of full resolution."
        )
        yield Check(name="degrees-of-freedom", level="note", message=text)


def _bound_beaten(record: Record) -> Iterator[Check]:
    """Of errors, only the bound on secrets from a list is about the very secrets of the record: they have no dither."""
    name, proved = "bound-beaten", record.certificate
    if proved is None or (not proved.candidates_mse_low and proved.bits is None):
        return
    tried = [t for t in record.trials if t.status == "ok"]
    beaten = [*_errs_less(record, tried, proved), *_names_more(record, tried, proved)]
    for text in beaten:
        message = f"{text} that no attacker can: the bound, the defence or the scoring is wrong."
        yield Check(name=name, level="failure", message=message)
    if not beaten:
        yield _ok(name, "No attack did better than what is proved to be the best.")


def _errs_less(record: Record, trials: Sequence[Trial], proved: Certificate) -> Iterator[str]:
    least = proved.candidates_mse_low
    for trial in trials:
        error = trial.metrics.get("mse")
        if least and error is not None and error.high < least:
            who = _named(record, trial)
            yield f"{who} errs by {error.mean:.3g} per pixel in mean square, less than the {least:.3g}"


def _names_more(record: Record, trials: Sequence[Trial], proved: Certificate) -> Iterator[str]:
    for trial in trials if proved.bits is not None else ():
        for game in trial.games:
            most = named_share(proved, game.candidates)
            if game.wins is not None and game.wins.low > most:
                who = _named(record, trial)
                yield f"{who} names {game.wins.mean:.1%} of the secrets among {game.candidates}, above the {most:.1%}"


def _sizes_and_times(record: Record) -> Iterator[Check]:
    """What an eavesdropper learns from a recording without reading a byte; only where a recording was attacked."""
    name, wire = "sizes-and-times", record.target.wire
    if wire is None:
        return
    told = f"{wire.messages} messages of {wire.bytes_min:,} to {wire.bytes_max:,} bytes ({wire.encoding or 'plain'})"
    telling = [t for t in wire.tells if t.p <= TELLING and t.accuracy > t.chance]
    for t in telling:
        what = "size" if t.quantity == "bytes" else "time to the answer"
        text = f"Of {told} the {what} alone names the class of {t.accuracy:.0%} (the commonest class: {t.chance:.0%})."
        yield Check(name=name, level="warning", message=text)
    if wire.tells and not telling:
        text = f"Attacked were {told}; of {wire.tells[0].n} neither size nor time was seen to tell the class."
        yield _ok(name, text)
    elif not wire.tells:
        text = f"Attacked were {told}; whether sizes or times tell anything was not tested, for want of classes."
        yield Check(name=name, level="note", message=text)


_CHECKS: tuple[Callable[[Record], Iterable[Check]], ...] = (
    _attacks_that_failed,
    _control_not_recovered,
    _still_falling,
    _weaker_beats_stronger,
    _naive_only,
    _wrong_description,
    _verdict_not_believable,
    _single_draw,
    _few_samples,
    _few_public,
    _floor_too_high,
    _accuracy,
    _weak_judge,
    _degrees_of_freedom,
    _bound_beaten,
    _sizes_and_times,
)


def _rising_with_depth(records: Sequence[Record]) -> Iterator[Check]:
    name = "rises-with-depth"
    by_target: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.target.defence == "none":
            by_target.setdefault(_identity(record), []).append(record)
    groups = [sorted(g, key=lambda r: r.target.cut.index) for g in by_target.values()]
    text = "{high} leaks more than {low}, from which it is computed: the attacks at {low} missed what is there"
    yield from _rises(name, groups, lambda r: r.target.cut.name, text)


def _rising_with_level(records: Sequence[Record]) -> Iterator[Check]:
    """More of the same defence at the same cut; no defence counts as level 0 of every kind."""
    by_kind: dict[tuple[str | None, ...], list[tuple[float, Record]]] = {}
    for record in records:
        if parsed := _LEVEL.fullmatch(record.target.defence):
            key = (*_identity(record), record.target.cut.name, parsed["kind"], parsed["place"])
            by_kind.setdefault(key, []).append((float(parsed["level"]), record))
    for (*where, _, _), group in by_kind.items():
        for record in records:
            if record.target.defence == "none" and [*_identity(record), record.target.cut.name] == where:
                group.append((0.0, record))
    groups = [[r for _, r in sorted(g, key=lambda pair: pair[0])] for g in by_kind.values()]
    text = "{high} leaks more than {low}: more of the defence hid less, so an attack was not at its best"
    yield from _rises("rises-with-level", groups, lambda r: f"{r.target.defence} at {r.target.cut.name}", text)


def _rises(name: str, groups: Sequence[Sequence[Record]], told: Callable[[Record], str], text: str) -> Iterator[Check]:
    """Each record that leaks more, beyond the interval, than one before it in its group: against the lowest of them."""
    compared = found = 0
    for group in groups:
        for i, later in enumerate(group):
            gaps = [(d, e) for e in group[:i] if (d := pairs.leakage_difference(e, later)) is not None]
            compared += len(gaps)
            if rising := [(d, e) for d, e in gaps if d.leaks_more]:
                gap, earlier = max(rising, key=lambda pair: pair[0].mean)
                found += 1
                message = text.format(high=told(later), low=told(earlier))
                size = f" (by {gap.mean:.3f}, 95 % {gap.low:.3f} to {gap.high:.3f})."
                yield Check(name=name, level="warning", message=message + size)
    if compared and not found:
        yield _ok(name, f"Looked for in {compared} pairs of runs, and not found.")


def _identity(record: Record) -> tuple[str, ...]:
    data = record.target.data
    return record.target.model.weights_sha256, data.name, data.public_from, str(record.query_budget)


def _named(record: Record, trial: Trial) -> str:
    knows = "" if record.target.defence == "none" else ", adaptive" if trial.adaptive else ", naive"
    return f"{trial.attack} ({trial.threat_model}{knows})"


def _scored(answer: Answer) -> str:
    return f"{answer.trial.attack}, {sentences.value(answer.metric, answer.mean)}"
