"""What a verdict means in plain words. A sentence speaks of what was found by whom; it never calls anything safe."""

from __future__ import annotations

from collections.abc import Iterable

from splitward.record.schema import Floor, Record, ThreatModel, Trial, Verdict

NAMES = {"ssim": "SSIM", "mse": "a mean squared error of", "psnr": "PSNR"}


def value(metric: str, number: float) -> str:
    """A metric's value with its name.

    >>> value("ssim", 0.8812), value("mse", 0.01234)
    ('SSIM 0.88', 'a mean squared error of 0.0123')
    """
    return f"{NAMES.get(metric, metric)} {figure(metric, number)}"


def figure(metric: str, number: float) -> str:
    """A metric's value, rounded as it deserves."""
    return f"{number:.3g}" if metric == "mse" else f"{number:.2f}"


def attacker(threat_model: str, adaptive: bool, defence: str, observations: int = 1) -> str:
    """Who it was.

    >>> attacker("white-box", True, "dropout:0.6")
    'A white-box attacker who knows the defence'
    >>> attacker("black-box", False, "none", observations=5)
    'A black-box attacker who sees each secret 5 times'
    """
    traits = [] if defence == "none" else ["knows the defence" if adaptive else "does not know of the defence"]
    traits += [f"sees each secret {observations} times"] if observations > 1 else []
    return f"A {threat_model} attacker" + (f" who {' and '.join(traits)}" if traits else "")


def floor_source(floor: Floor) -> str:
    """What a floor's guesses were made of.

    >>> floor_source(Floor(name="prior/mean", kind="prior"))
    'the mean public image'
    """
    released = {"label": "the label", "probabilities": "the released probabilities", "logits": "the released logits"}
    if floor.kind == "allowed" and floor.released in released:
        return f"{released[floor.released]} alone"
    return {"prior/mean": "the mean public image", "prior/best": "the best public image"}.get(floor.name, floor.name)


def verdict(record: Record, found: Verdict, floor: Floor) -> str:
    """The verdict in one or two plain sentences (``found.sentence`` is not read)."""
    metric, source = found.metric, floor_source(floor)
    who = attacker(found.threat_model, found.adaptive, record.target.defence, found.observations)
    low, high = found.leakage_low, found.leakage_high
    bounds = "" if low is None or high is None else f" (95 % {figure(metric, low)} to {figure(metric, high)})"
    reaches = value(metric, found.leakage) + bounds
    given = figure(metric, found.floor)
    count = round((found.recovered_strictly_share or 0.0) * record.samples)
    back = f"{count} of {record.samples} images come back recognisable"
    if found.finding == "recovered":
        text = f"{who} recovers the secrets: {reaches}, where {source} gives {given}; {back}."
    elif found.finding == "partial":
        text = f"{who} recovers more than {source} tells: {reaches} against {given}; {back}."
    else:
        text = (
            f"No leak found at this effort by this suite: the strongest attack ({found.attack}, {found.threat_model}) "
            f"reaches {reaches}, and {source} {given}{_limits(found)}."
        )
    return " ".join([text, *_reservations(found)])


def _limits(found: Verdict) -> str:
    if found.upper is None or found.worst_decile is None:
        return "; that is so close to the secrets that nothing can be said of what an attack adds"
    return (
        f"; what the attacks add is at most {found.upper:.2f} of the rest on average, and {found.worst_decile:.2f} in "
        "the worst tenth of the images (upper 95 % limits)"
    )


def _reservations(found: Verdict) -> list[str]:
    said = []
    if not found.believable:
        said.append("This attack had not converged or failed its control, so a better one may recover more.")
    if found.naive_only:
        said.append(f"No believable {listing(found.naive_only)} attacker knew of the defence.")
    return said


MISLED = "No attacker who knows the defence can be believed with it, so there is no verdict."
"""What follows from a wrong description."""


def lacking(threat_model: ThreatModel, trials: list[Trial]) -> str:
    """Why a threat model has no believable attack: one sentence."""
    if not trials:
        return f"No {threat_model} attack was tried."
    why = "; ".join(dict.fromkeys(f"{t.attack} {trouble(t)}" for t in trials))
    return f"No {threat_model} attack can be believed: {why}."


def trouble(trial: Trial) -> str:
    """What is wrong with a trial, in a few words that follow its name."""
    reason = f" ({trial.reason.rstrip('.')})" if trial.reason else ""
    if trial.status == "skipped":
        return f"was skipped{reason}"
    wrong = []
    if trial.control is not None and not trial.control.recovered:
        detail = trial.control.reason.rstrip(".")
        wrong.append("did not recover its positive control" + (f" ({detail})" if detail else ""))
    if trial.converged is False:
        wrong.append("had not converged")
    if trial.status == "failed":
        wrong = wrong or [f"failed{reason}"]
    elif not wrong:
        wrong = ["had no positive control"] if trial.control is None else ["was not believed" + reason]
    return " and ".join(wrong)


def all_the_same(record: Record, trial: Trial, mean: float, metric: str) -> str:
    """What was recovered although there is no verdict."""
    who = attacker(trial.threat_model, trial.adaptive, record.target.defence, trial.observations)
    return f"{who} ({trial.attack}) reached {value(metric, mean)} all the same."


def listing(names: Iterable[str]) -> str:
    """Names joined as in speech.

    >>> listing(["white-box", "black-box", "query-free"])
    'white-box, black-box or query-free'
    """
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def observations(record: Record) -> int:
    """How many draws of each secret the attackers of a record saw."""
    return max((trial.observations for trial in record.trials), default=1)


def seen(record: Record) -> str:
    """The same as an addition to a title: ``, 5 observations``; empty for one."""
    count = observations(record)
    return f", {count} observations" if count > 1 else ""
