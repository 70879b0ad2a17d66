"""``splitward export``: from an audit, or a plan, to the two signed bundles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from splitward.deploy.export import Exported, Source

Option = typer.Option


def export_command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN]...", help="Folders of `splitward audit`; several cuts: several."),
    ] = None,
    out: Annotated[Path, Option("--out", help="Folder for the bundles: edge and cloud in it.")] = Path("bundles"),
    plan: Annotated[Path | None, Option("--plan", help="A plan of `splitward plan --json`: its choice.")] = None,
    key: Annotated[
        Path | None, Option("--key", help="signing.key to sign with. [default: your own, made at the first export]")
    ] = None,
    name: Annotated[
        str | None, Option("--name", help="What the cloud serves it as. [default: the model's name]")
    ] = None,
    version: Annotated[str, Option("--model-version", help="A whole number.")] = "1",
    offline: Annotated[
        bool, Option("--offline", help="The edge can do without a cloud: it carries both halves.")
    ] = False,
    without_verdict: Annotated[
        bool, Option("--without-verdict", help="Export what has no believable verdict; the manifest says so.")
    ] = False,
    model: Annotated[str | None, Option("--model", help="Instead of RUN: a model that nobody audited.")] = None,
    data: Annotated[str | None, Option("--data", help="Its data set, to compare the halves on.")] = None,
    at: Annotated[str | None, Option("--at", help="Where it is cut.")] = None,
    defence: Annotated[list[str] | None, Option("--defence", help="kind:level[@input]; several act in order.")] = None,
    normalise: Annotated[str | None, Option("--normalise", help="MEAN:STD of a model that declares none.")] = None,
    input: Annotated[str | None, Option("--input", help="CxHxW of a model that declares none.")] = None,
    weights: Annotated[Path | None, Option("--weights", help="A safetensors file for the model.")] = None,
    data_dir: Annotated[Path | None, Option("--data-dir", help="Where data sets lie. [env: SPLITWARD_DATA]")] = None,
    trust: Annotated[bool | None, Option("--trust", help="Load a .pt2 file, which may run its author's code.")] = None,
    as_json: Annotated[bool, Option("--json", help="The edge's manifest on standard output, nothing else.")] = False,
) -> None:
    """Write the two halves of what was audited as signed bundles: one for the device, one for the cloud.

    The halves are ONNX, compared with the PyTorch model on public images before anything is written. Weights other than
    those that the verdict is bound to are refused.
    """
    given: dict[str, Any] = dict(locals())
    import msgspec

    from splitward.deploy.export import export_bundles
    from splitward.runtime.signing import signing_key

    sources, images, model_name = _sources(given)
    if not without_verdict:
        _refuse_unbelievable(sources)
    served = name or "".join(c if c.isalnum() or c in "._-" else "-" for c in model_name).strip("-._")
    _refuse_name(served, version)
    done = export_bundles(sources, images, out, signing_key(key), name=served, version=version, offline=offline)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(done.manifest), indent=1))
    else:
        _show(done)


def _sources(given: dict[str, Any]) -> tuple[list[Source], Tensor, str]:
    from splitward.core.errors import UsageError
    from splitward.deploy import sources as s

    named = {k: given[k] for k in ("model", "data", "normalise", "input", "weights", "data_dir", "trust")}
    runs = given["runs"] or []
    if given["at"] is not None:
        if runs or given["plan"] or not given["model"] or not given["data"]:
            raise UsageError("--at cuts a model that nobody audited: name --model and --data with it, and no RUN.")
        fields = {k: v for k, v in named.items() if v is not None}
        return s.from_model(s.Named(**fields), given["at"], given["defence"] or [])
    if given["defence"]:
        raise UsageError("--defence belongs to --at; of a RUN the defence that was audited is exported.")
    if given["plan"] is not None:
        searched = runs or sorted(p.parent for p in Path("runs").glob("**/record.json"))
        return s.from_plan(given["plan"], searched, named)
    if not runs:
        raise UsageError("there is nothing to export: name a RUN of `splitward audit`, or a --plan.")
    return s.from_runs(runs, named)


def _refuse_unbelievable(sources: list[Source]) -> None:
    from splitward.core.errors import BundleError

    for source in sources:
        if source.audited is None or not source.audited.believable:
            cut = source.halves.cut.name
            why = (
                "it was not audited" if source.audited is None else source.audited.no_verdict or "no attack is believed"
            )
            raise BundleError(
                f"there is no believable verdict at {cut} with {source.defence} ({why.rstrip('.')}): audit it, or "
                "export it all the same with --without-verdict."
            )


def _refuse_name(name: str, version: str) -> None:
    import msgspec

    from splitward.core.errors import UsageError
    from splitward.runtime import manifest as m

    for value, kind, said in (
        (name, m.ModelName, f"the name {name!r} is not of letters, digits and . _ - (--name)"),
        (version, m.Version, f"--model-version {version!r} is no whole number from 1 on"),
    ):
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            raise UsageError(f"{said}; write --name lenet5 --model-version 1.") from None


def _show(done: Exported) -> None:
    about = done.manifest
    typer.echo(f"edge   {done.edge}")
    for folder, cut in zip(done.clouds, about.cuts, strict=True):
        typer.echo(f"cloud  {folder}  (serves {cut.cloud.name}, version {cut.cloud.version})")
        typer.echo(
            f"  {cut.cut}, defence {cut.defence}: the ONNX halves differ from the model by {cut.parity.chain:.1g} of "
            f"its largest number, with the same answers, on {cut.parity.samples} images"
        )
        audited = cut.audited
        if audited is None or audited.verdict is None:
            typer.echo("  ! no verdict: " + (audited.no_verdict if audited else "nobody audited it."))
        else:
            mark = "" if audited.believable else "! "
            typer.echo(f"  {mark}{audited.verdict.sentence} Holds for {audited.observations} release(s) of one input.")
