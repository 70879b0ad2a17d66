"""Whether the descriptions that attackers were handed fit what the device sends: from the tests' numbers in the record.

An attacker who reasons from a wrong description is weaker than one from a right one: what such an attack recovered was
recovered, but that it recovered no more means nothing. With a description that does not fit there is no verdict.
"""

from __future__ import annotations

from splitward.record.schema import Description, Fit, Record

FALSE_ALARM = 1e-4
"""Probability that any description of a record is called wrong although all are right, at most."""

MISLED = "it was handed a description of the defence that does not fit what the device sends"


def misfits(record: Record) -> list[tuple[Description, Fit]]:
    """The descriptions that do not fit, each with the test that says so more clearly."""
    tests = [(d, fit) for d in record.descriptions for fit in (d.sampler, d.density) if fit is not None]
    wrong = [(d, fit) for d, fit in tests if fit.p * len(tests) < FALSE_ALARM]
    clearest = {id(d): min((f for e, f in wrong if e is d), key=lambda f: f.p) for d, _ in wrong}
    return [(d, clearest[id(d)]) for d in record.descriptions if id(d) in clearest]


def disbelieve(record: Record) -> Record:
    """A copy in which no attack that was handed a wrong description is believable, each with the reason."""
    if not misfits(record):
        return record
    misled = {"believable": False, "reason": MISLED}
    trials = (t.model_copy(update=misled) if t.adaptive and t.status == "ok" else t for t in record.trials)
    return record.model_copy(update={"trials": tuple(trials)})


def sentence(description: Description, fit: Fit) -> str:
    """What does not fit, in plain words.

    >>> fit = Fit(p=0.0, quantity="the share of entries that are sent as zero", device=0.604, described=0.4)
    >>> sentence(Description(defence="dropout:0.6", told="dropout:0.4", sampler=fit), fit)[:73]
    'The description of dropout:0.6 that the attackers were handed (dropout:0.'
    """
    told = "" if description.told == description.defence else f" ({description.told})"
    return (
        f"The description of {description.defence} that the attackers were handed{told} does not fit what the device "
        f"sends: {fit.quantity} is {fit.device:.3g} on the device and {fit.described:.3g} as described."
    )
