"""Who may run what: a stronger attacker everything that a weaker one runs. Pure functions from records to answers.

The leakage to a threat model is the largest over all attacks that it may run, its own and those of every weaker threat
model, naive and adaptive: who knows more may always ignore it. So a threat model never leaks less than a weaker one.
The choice is made by the score on the secrets, which no attacker has. It is an upper envelope of what attackers reach,
and errs on the side on which an auditor has to err.

That an attack of a stronger threat model falls short of a weaker one's is not hidden by it: see ``record.monotone``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from splitward.record.schema import Record, ThreatModel
from splitward.record.verdict import Answer, answers, asked_threat_models

STRENGTH: tuple[ThreatModel, ...] = get_args(ThreatModel)
"""Strongest first."""


def may_run(holder: ThreatModel, attack: ThreatModel) -> bool:
    """Whether an attacker of one threat model holds all that an attack of another needs.

    >>> may_run("white-box", "query-free"), may_run("query-free", "black-box")
    (True, False)
    """
    return STRENGTH.index(holder) <= STRENGTH.index(attack)


@dataclass(frozen=True)
class Reach:
    """What a threat model reaches: by the best attack that it may run, and by the best that needs all that it holds."""

    threat_model: ThreatModel
    answer: Answer
    own: Answer | None

    @property
    def borrowed(self) -> bool:
        """Whether the best is the attack of a weaker threat model: one of its own is to be strengthened."""
        return self.answer.trial.threat_model != self.threat_model


def reach(record: Record, metric: str, observations: int | None = None) -> dict[ThreatModel, Reach]:
    """For each threat model that was asked for: the leakage to it, in ``metric``; without those that no answer fits.

    ``observations``: of attackers with so many only; None for all.
    """
    found = [a for a in answers(record, metric) if observations in (None, a.trial.observations)]
    reached = {}
    for model in asked_threat_models(record):
        best = next((a for a in found if may_run(model, a.trial.threat_model)), None)
        if best is not None:
            own = next((a for a in found if a.trial.threat_model == model), None)
            reached[model] = Reach(model, best, own)
    return reached
