"""``splitward data``: the catalogue, downloads, and whether what lies in a folder is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from splitward.data.dataset import Dataset

data_app = typer.Typer(help="List, fetch and check data sets.", no_args_is_help=True)

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")]


@data_app.command("list")
def list_command(
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> None:
    """List the catalogue: what comes with the packages, what is there, what can be fetched."""
    import json

    from rich.console import Console
    from rich.table import Table

    from splitward.core.registry import discover, summary
    from splitward.data.places import data_directory

    folder = data_directory(data_dir)
    rows = [
        {
            "name": name,
            "image": "x".join(map(str, source.shape)) if source.shape else "as the model",
            "where": _where(source, folder),
            "summary": summary(source),
        }
        for name, source in discover("dataset").items()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "image", "where", "what it is"):
        table.add_column(heading, no_wrap=heading != "what it is")
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)
    typer.echo(f"\nData directory: {folder}. Any folder of images is a data set too: --data FOLDER.")


@data_app.command("fetch")
def fetch_command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Data sets of the catalogue.")],
    data_dir: DataDir = None,
) -> None:
    """Download data sets into the data directory: resumed where it stopped, verified, never half a file."""
    from splitward.cli.progress import Bars
    from splitward.core.registry import find
    from splitward.data.fetch import fetch_all
    from splitward.data.places import data_directory

    folder = data_directory(data_dir)
    sources = [(name, find("dataset", name)) for name in names]
    with Bars() as progress:
        for name, source in sources:
            files = getattr(source, "files", ())
            if not files:
                typer.echo(f"{name}: comes with the installed packages, nothing to fetch")
                continue
            fetch_all(files, folder, progress=progress)
            typer.echo(f"{name}: complete and verified, in {folder}")


@data_app.command("check")
def check_command(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A data directory or a folder of images.")
    ] = None,
) -> None:
    """Read everything in DIR (default: the data directory) as an audit would, and say what is there."""
    from splitward.core.errors import DataError
    from splitward.core.registry import discover
    from splitward.data.dataset import load
    from splitward.data.places import data_directory

    root = data_directory(folder)
    if not root.is_dir():
        raise DataError(f"there is no folder {root}; name a data directory or a folder of images.")
    present = [name for name, source in discover("dataset").items() if _present(source, root)]
    if not present:
        _say(str(root), load(str(root.resolve())))
    for name in present:
        _say(name, load(name, data_dir=root))


@data_app.command("images")
def images_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A data set of the catalogue, or a folder.")],
    out: Annotated[Path, typer.Option("--out", help="A folder for the files.")],
    role: Annotated[str, typer.Option("--role", help="train, public or held-out.")] = "held-out",
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="The first so many. [default: all]")] = None,
    input: Annotated[str | None, typer.Option("--input", help="CxHxW of the model, for sets that follow it.")] = None,
    data_dir: DataDir = None,
) -> None:
    """Write the images of a data set as PNG files, INDEX-CLASS.png: something for a device to look at."""
    from PIL import Image

    from splitward.core.errors import UsageError
    from splitward.data.dataset import ROLES, load
    from splitward.models.zoo import parse_shape

    known = [one.replace(" ", "-") for one in ROLES]
    if role not in known:
        raise UsageError(f"--role is {role!r}; it is one of {', '.join(known)}.")
    pixels = load(name, data_dir=data_dir, input=parse_shape(input) if input else None).pixels[known.index(role)]
    out.mkdir(parents=True, exist_ok=True)
    count = min(samples or len(pixels), len(pixels))
    for index in range(count):
        picture = pixels.images[index]
        label = "" if pixels.labels is None else f"-{pixels.labels[index]}"
        image = Image.fromarray(picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0))
        image.save(out / f"{index:05d}{label}.png")
    typer.echo(f"{out}: {count:,} images, {role}, of {name}")


def _say(name: str, data: Dataset) -> None:
    """One data set in a few lines."""
    counts = ", ".join(f"{n:,} {role}" for n, role in zip(data.counts, ("train", "public", "held out"), strict=True))
    classes = f"{len(data.classes)} classes" if data.classes else "no classes"
    typer.echo(f"{name}: {counts}; {classes}; images {'x'.join(map(str, data.shape))}. {data.note}")
    for warning in data.warnings:
        typer.echo(f"  warning: {warning}")


def _present(source: object, folder: Path) -> bool:
    """Whether a data directory holds something of a catalogued set."""
    names = [*getattr(source, "folders", ()), *(remote.name for remote in getattr(source, "files", ()))]
    return any((folder / name).exists() for name in names)


def _where(source: object, folder: Path) -> str:
    """Where a set is, in a few words."""
    if not getattr(source, "files", ()):
        return "embedded"
    return "in the data directory" if _present(source, folder) else "to be fetched"
