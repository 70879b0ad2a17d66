"""Guesses against the truth: every registered metric; the target and its task accuracy, as a record keeps them."""

from __future__ import annotations

from torch import Tensor

from splitward.audit.target import Target
from splitward.audit.world import World, accuracy
from splitward.core.errors import SplitwardError
from splitward.core.knowledge import Samples
from splitward.core.registry import discover
from splitward.core.run import Run
from splitward.record import schema
from splitward.record.statistics import estimate


def measure(guess: Tensor, truth: Tensor) -> tuple[dict[str, schema.Estimate], dict[str, list[float]]]:
    """Every metric of a guess: estimates over samples, and the values per sample."""
    estimates, values = {}, {}
    for name, metric in discover("metric").items():
        scores = metric()(guess, truth).double().cpu().numpy()
        estimates[name] = estimate(scores, metric.higher_is_closer)
        values[name] = [float(v) for v in scores]
    return estimates, values


def foreign_scales() -> dict[str, schema.Scale]:
    """How to read the metrics that the record does not know by itself: other people's plugins."""
    foreign = {name: m for name, m in discover("metric").items() if name not in schema.SCALES}
    return {n: schema.Scale(unit=m.unit, higher_is_closer=m.higher_is_closer) for n, m in foreign.items()}


def task_accuracy(world: World, held_out: Samples, run: Run, known: dict[str, float]) -> schema.Accuracy | None:
    """With and without the defence; None where the samples lack what the task is judged by.

    ``known``: accuracies on these samples by the key of the labels; an undefended one serves every cut and defence.
    """
    clean = world.undefended()
    try:
        if clean.label_key not in known:
            known[clean.label_key] = accuracy(clean, held_out, run.stream("accuracy"))
        undefended = known[clean.label_key]
        defended = accuracy(world, held_out, run.stream("accuracy")) if world.chain else undefended
    except SplitwardError:
        return None
    return schema.Accuracy(undefended=undefended, defended=defended, n=len(held_out))


def described(target: Target, data: schema.Data, measured: schema.Accuracy | None) -> schema.Target:
    """The target, as its record keeps it."""
    halves, cut = target.halves, target.halves.cut
    return schema.Target(
        model=schema.Model(
            name=target.model, weights_sha256=target.weights_sha256, source=target.source,
            parameters=cut.total_parameters, trained=dict(target.trained),
        ),
        data=data,
        cut=schema.Cut(
            name=cut.name, index=cut.index, edge_flops=cut.edge_flops, total_flops=cut.total_flops,
            edge_parameters=cut.edge_parameters, total_parameters=cut.total_parameters,
            activation_bytes=sum(s.bytes_per_sample for s in halves.activation),
        ),
        defence=str(target.defence),
        draws=target.chain.draws,
        input=schema.Tensor(shape=halves.input.shape, dtype=halves.input.dtype),
        activation=tuple(schema.Tensor(shape=s.shape, dtype=s.dtype) for s in halves.activation),
        accuracy=measured,
        quantisation=target.crossed.quantisation if target.crossed else "float32",
        wire=target.crossed.wire if target.crossed else None,
    )  # fmt: skip
