"""``splitward train``: weights for a victim, with the record of how they were made inside the file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer


def train_command(
    model: Annotated[str, typer.Argument(metavar="M", help="Zoo name, or package.module:factory.")],
    data: Annotated[str, typer.Option("--data", help="Data set of the catalogue, or a folder with class folders.")],
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Instead of the recipe's number of epochs.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="papers: the released scripts' training. [default: the model's own]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Every random draw follows from it.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Weights file. [default: weights/ in the data directory]")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")
    ] = None,
) -> None:
    """Train a model on the victim's part of a data set and write its weights (safetensors)."""
    from splitward.cli.progress import Bars
    from splitward.core.run import Run
    from splitward.data.dataset import load
    from splitward.models.making import make_weights, refuse_unwritable
    from splitward.models.zoo import SHIPPED, model_shape, trained_folder, weights_name

    name = weights_name(model, data)
    path = out or trained_folder(data_dir) / name
    refuse_unwritable(path)
    words = ["splitward", "train", model, "--data", data]
    if epochs is not None:
        words += ["--epochs", str(epochs)]
    if recipe is not None:
        words += ["--recipe", recipe]
    dataset = load(data, data_dir=data_dir, input=model_shape(model))
    for warning in dataset.warnings:
        typer.echo(f"splitward: warning: {warning}", err=True)
    with Bars() as progress:
        made = make_weights(
            model, dataset, path, run=Run(seed, progress=progress), epochs=epochs, recipe=recipe,
            command=shlex.join([*words, "--seed", str(seed)]),
        )  # fmt: skip
    typer.echo(
        f"{model} on {dataset.name}: {made['accuracy']:.2%} of {made['test_samples']:,} held-out images right after "
        f"{made['epochs']} epochs ({made['seconds']:,.0f} s); weights in {path}"
    )
    if out is None and (SHIPPED / name).is_file():
        typer.echo(f"The shipped weights are still the default: use these with --weights {path}")
