"""Has an attack's loss settled?"""

from __future__ import annotations

from splitward.core.settling import converged
from splitward.record.schema import Trial

STEPS = ("steps", "iterations", "epochs")
"""What a hyper-parameter is called (or ends with) that says how long an attack works."""


def settled(trial: Trial) -> bool | None:
    """Whether every phase of a trial's trace has settled; None where it recorded no loss and does not say why.

    Without any trace, an attack that was told to take zero steps has not settled, and one that has no number of steps
    is a closed form and has.
    """
    if trial.trace:
        return all(converged(points) for points in trial.trace.values())
    lengths = [v for k, v in trial.parameters.items() if k.split("_")[-1] in STEPS and isinstance(v, int | float)]
    if any(length <= 0 for length in lengths):
        return False
    return None if lengths else True
