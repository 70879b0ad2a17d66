"""What a judge makes of a record's pictures: every judgement of every floor and trial, with its chance and its ceiling.

It comes after the attacks and reads their finished pictures. So a trial that is read from an unfinished run's folder is
judged like one that was just run, and nothing of the judge can reach an attack.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from splitward.audit.world import samples_hash
from splitward.core.errors import NotApplicable, SplitwardError, in_one_line
from splitward.core.judging import Yardstick
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.models.judge import TrainedJudge, train_judge
from splitward.record import schema
from splitward.record.rescore import rescore
from splitward.record.statistics import estimate


def judged(
    record: schema.Record, secrets: Samples, others: Samples | None, public: Samples, run: Run, known: dict[str, Any]
) -> schema.Record:
    """A copy of ``record``, whose pictures are attached to it, with every judgement that can be made.

    ``known``: judges by their public data; a sweep shares it, so that its judge is trained once. A judgement that has
    nothing to say, or fails, is left out with its reason; a judge that cannot be trained is no error either.
    """
    try:
        judge = _judge(public, run.child("judge"), known)
    except SplitwardError as error:
        return record.model_copy(update={"judge": None, "no_judge": str(error)})
    made: dict[str, schema.Yardstick] = {}
    left_out: dict[str, str] = {}
    for name, plugin in discover("judgement").items():
        scale = schema.Scale(unit=plugin.unit, higher_is_closer=plugin.higher_is_closer)
        try:
            yardstick: Yardstick = plugin().prepare(judge, secrets, others)
            ceiling = estimate(yardstick.score(secrets.images).double().cpu().numpy(), scale.higher_is_closer)
            record = rescore(record, name, _measure(yardstick, run.device), scale)
        except NotApplicable as error:
            left_out[name] = str(error)
        except MemoryError:
            raise
        except Exception as error:  # a judgement of somebody else's must not take finished trials with it
            left_out[name] = in_one_line(error)
        else:
            made[name] = schema.Yardstick(chance=yardstick.chance, ceiling=ceiling)
    described = schema.Judge(
        task=judge.task, told_apart=judge.told_apart, trained_on=judge.trained_on, tested_on=judge.tested_on,
        accuracy=judge.accuracy, parameters=judge.parameters, seed=judge.seed, seconds=judge.seconds,
        judgements=made, left_out=left_out,
    )  # fmt: skip
    return record.model_copy(update={"judge": described, "no_judge": ""})


def _judge(public: Samples, run: Run, known: dict[str, Any]) -> TrainedJudge:
    key = f"{samples_hash(public)}/{run.seed}"
    if key not in known:
        known[key] = train_judge(public, run)
    judge: TrainedJudge = known[key]
    return judge


def _measure(yardstick: Yardstick, device: torch.device) -> Any:
    """The judgement as a function of numpy arrays; it knows the truth already."""

    def measure(guess: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:  # noqa: ARG001
        scores: NDArray[np.float64] = yardstick.score(torch.from_numpy(guess).to(device)).double().cpu().numpy()
        return scores

    return measure
