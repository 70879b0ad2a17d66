"""``splitward bound``: what no attacker can beat at a cut, and the noise that guarantees a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from splitward.core.defence import Chain
    from splitward.core.edge import Edge
    from splitward.record.certificate import Certificate

Option = typer.Option


@dataclass(frozen=True)
class Scene:
    """What is certified: the edge, its defences, images from where secrets come, and the seed of every draw."""

    edge: Edge
    chain: Chain
    images: Tensor
    seed: int


def bound_command(
    model: Annotated[str, Option("--model", help="Zoo name, package.module:factory, or a .pt2 file.")],
    data: Annotated[str, Option("--data", help="Data set of the catalogue, or a folder of images.")],
    at: Annotated[str, Option("--at", help="The cut: its last layer on the edge.")],
    defence: Annotated[list[str], Option("--defence", help="kind:level[@input]; several act in order.")],
    target_mse: Annotated[
        float | None, Option("--target-mse", help="Which noise guarantees this mean squared error per pixel?")
    ] = None,
    target_psnr: Annotated[float | None, Option("--target-psnr", help="The same as a PSNR in dB, at most.")] = None,
    observations: Annotated[int, Option("--observations", help="Times a secret is sent with independent noise.")] = 1,
    dither: Annotated[
        float, Option("--dither", help="Noise on each pixel of a secret that counts as part of it, 0 to 1.")
    ] = 0.1,
    clip: Annotated[float | None, Option("--clip", help="Norm to which the activation is clipped before it.")] = None,
    delta: Annotated[float, Option("--delta", help="Of differential privacy.")] = 1e-5,
    queries: Annotated[int, Option("--queries", help="Releases that share one privacy account.")] = 1,
    samples: Annotated[int, Option("--samples", help="Images at which the edge is differentiated.")] = 16,
    probes: Annotated[
        int | None,
        Option("--probes", help="Random directions an image, 16 or more; 0: all. [default: all up to 1,024 pixels]"),
    ] = None,
    seed: Annotated[int, Option("--seed", help="Every random draw follows from it.")] = 0,
    normalise: Annotated[str | None, Option("--normalise", help="MEAN:STD of a model that declares none.")] = None,
    input: Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")] = None,
    weights: Annotated[Path | None, Option("--weights", help="A safetensors file for the model.")] = None,
    data_dir: Annotated[Path | None, Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")] = None,
    trust: Annotated[bool, Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = False,
    as_json: Annotated[bool, Option("--json", help="One JSON document on standard output, nothing else.")] = False,
) -> None:
    """Say what no attacker can beat at a cut, under which assumptions, and which noise guarantees a target."""
    from splitward.audit.settings import AuditSettings
    from splitward.bounds.certify import Settings, certify
    from splitward.core.run import Run

    target = target_of(target_mse, target_psnr)
    settings = Settings(observations, dither, samples, probes, delta, queries)
    told = AuditSettings(
        model=model, data=data, at=(at,), defence=tuple(defence), seed=seed, normalise=normalise, input=input,
        weights=weights, data_dir=data_dir, trust=trust,
    )  # fmt: skip
    scene = load_scene(told, clip)
    stream = Run(seed, scene.images.device).stream("bound")
    made = certify(scene.edge, scene.chain, scene.images, stream, settings)
    answers = for_target(scene, made, target) if target is not None and made.status == "bounded" else []
    if as_json:
        typer.echo(_json(made, target, answers))
    else:
        show(made, target, answers)


def target_of(mse: float | None, psnr: float | None) -> float | None:
    """The mean squared error that is asked for, if any. Raises UsageError for both, and for what is none."""
    from splitward.core.errors import UsageError

    if mse is not None and psnr is not None:
        raise UsageError("--target-mse and --target-psnr say the same: give one of them.")
    if mse is not None and not 0 < mse <= 1:
        raise UsageError(f"--target-mse is {mse:g}; it is a mean squared error per pixel, above 0 and up to 1.")
    if psnr is not None and not 0 <= psnr <= 100:
        raise UsageError(f"--target-psnr is {psnr:g}; it is in dB, from 0 to 100.")
    return mse if psnr is None else 10 ** (-psnr / 10)


def load_scene(settings: Any, clip: float | None) -> Scene:
    """The edge and the images that the settings of an audit name. Raises a SplitwardError."""
    from splitward.audit import sweep
    from splitward.core.defence_text import parse_chain
    from splitward.split.halves import split

    chain = parse_chain([*([f"clip:{clip:g}"] if clip is not None else []), *settings.chains])
    scene = sweep.load_scene(settings)
    halves = split(scene.victim.model, scene.public.images[:2], settings.at[0])
    return Scene(halves.edge, chain, scene.dataset.held_out.images, settings.seed)


@dataclass(frozen=True)
class Answer:
    """Against whom, and the noise that it takes, written as a defence; or why there is none."""

    attacker: str
    noise: str | None
    reason: str = ""


def for_target(scene: Scene, made: Certificate, target: float) -> list[Answer]:
    """The noise, of the certificate's kind and place, that guarantees the target against each kind of attacker."""
    from splitward.bounds.certify import listed_variance
    from splitward.core.errors import BoundError
    from splitward.core.run import Run
    from splitward.record.certificate import variance_for

    stream = Run(scene.seed, scene.images.device).stream("bound/target")
    ways: dict[str, Callable[[], float]] = {
        f"any attacker, on secrets with a dither of {made.dither:g}": lambda: variance_for(
            made, target, made.observations
        ),
        "any attacker, on secrets from a list that it holds": lambda: listed_variance(
            scene.edge, scene.chain, scene.images, made, target, stream
        ),
        "an attacker without bias": lambda: variance_for(made, target, made.observations, unbiased=True),
    }
    found = []
    for name, variance in ways.items():
        try:
            found.append(Answer(name, _scaled(made, variance())))
        except BoundError as error:
            found.append(Answer(name, None, str(error)))
    return found


def _scaled(made: Certificate, variance: float) -> str:
    """The certificate's noise with its level brought to that variance, rounded upwards."""
    import math

    from splitward.core.defence_text import parse_chain

    assert made.variance is not None
    factor, parts = math.sqrt(variance / made.variance), []
    for channel in parse_chain(made.noise).channels:
        level = factor * channel.level
        digit = 10.0 ** (math.floor(math.log10(level)) - 2)
        place = "@input" if channel.position == "input" else ""
        parts.append(f"{channel.name}:{math.ceil(level / digit) * digit:.3g}{place}")
    return "+".join(parts)


def _json(made: Certificate, target: float | None, answers: Sequence[Answer]) -> str:
    import dataclasses
    import json

    document = {"certificate": made.model_dump(mode="json")}
    if target is not None:
        document["target"] = {"mse": target, "needed": [dataclasses.asdict(answer) for answer in answers]}
    return json.dumps(document, indent=1, allow_nan=False)


def show(made: Certificate, target: float | None, answers: Sequence[Answer]) -> None:
    """The certificate for a terminal."""
    from rich.console import Console

    console = Console(highlight=False)
    for sentence in made.statements:
        console.print(f"{sentence}\n", markup=False)
    if answers and target is not None:
        k = made.observations
        console.print(
            f"For a mean squared error of {target:.3g} per pixel after {k:,} observation{'s' if k > 1 else ''}:"
        )
    for answer in answers:
        console.print(f"  {answer.attacker}: {answer.noise or answer.reason}", markup=False, soft_wrap=True)
