"""What is to be deployed: runs of ``splitward audit``, a plan that leads to one, or a model that nobody audited."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from splitward.audit.sweep import CLAIM
from splitward.audit.target import Target
from splitward.core.defence_text import parse_chain
from splitward.core.errors import BundleError, RecordError
from splitward.data.dataset import load as load_data
from splitward.deploy.export import Source
from splitward.models.zoo import Victim, load_model, parse_shape
from splitward.plan.privacy import evidence
from splitward.record import files, schema, store
from splitward.runtime import manifest as m
from splitward.split.halves import export

PARITY_IMAGES = 256
"""Public images on which the halves are compared, at most."""


@dataclass(frozen=True)
class Named:
    """A model and a data set, as ``splitward audit`` takes them."""

    model: str
    data: str
    weights: Path | None = None
    normalise: str | None = None
    input: str | None = None
    trust: bool = False
    data_dir: Path | None = None


@dataclass(frozen=True)
class Scene:
    """The model, and public images (N, C, H, W) to compare its halves on."""

    victim: Victim
    images: Tensor


def scene(named: Named) -> Scene:
    """Load what is named. Raises ModelError or DataError."""
    victim = load_model(
        named.model, data=named.data, trust=named.trust, normalise=named.normalise, weights=named.weights,
        input=parse_shape(named.input) if named.input else None, data_dir=named.data_dir,
    )  # fmt: skip
    channels, height, width = victim.input.shape
    public = load_data(named.data, data_dir=named.data_dir, input=(channels, height, width)).public
    return Scene(victim, public[torch.arange(min(len(public), PARITY_IMAGES))].images)


def from_runs(runs: Sequence[Path], given: dict[str, Any]) -> tuple[list[Source], Tensor, str]:
    """The cuts of finished runs, images to compare the halves on, and the model's name.

    ``given``: fields of ``Named`` that override what the runs say. Raises RecordError or BundleError: the weights must
    be those that the record is bound to, and each cut may come once.
    """
    folders = [folder for run in runs for folder in store.runs_in(run)]
    records = [store.load(folder) for folder in folders]
    cuts = [record.target.cut.name for record in records]
    for cut in cuts:
        if cuts.count(cut) > 1:
            raise BundleError(f"{cuts.count(cut)} runs are cut at {cut}: a bundle has each cut once; name one of them.")
    if len({r.target.model.weights_sha256 for r in records}) > 1:
        raise BundleError("the runs are of models with different weights: one bundle is of one model.")
    named = _named(folders[0], records[0], given)
    found = scene(named)
    captured = export(found.victim.model, found.images[:2])
    sources = []
    for folder, record in zip(folders, records, strict=True):
        halves = captured.split(record.target.cut.name)
        target = Target(halves, parse_chain(record.target.defence))
        audited = _audited(record, folder, target.weights_sha256)
        sources.append(Source(found.victim.model, halves, record.target.defence, audited))
    return sources, found.images, named.model


def from_model(named: Named, at: str, defence: Sequence[str]) -> tuple[list[Source], Tensor, str]:
    """A model that nobody audited, cut at ``at``."""
    found, chain = scene(named), parse_chain(list(defence) or "none")
    halves = export(found.victim.model, found.images[:2]).split(at)
    return [Source(found.victim.model, halves, str(chain))], found.images, named.model


def from_plan(plan: Path, runs: Sequence[Path], given: dict[str, Any]) -> tuple[list[Source], Tensor, str]:
    """The choice of a plan (``splitward plan --json``), by the record among ``runs`` that it rests on.

    Of several the one with the largest excess leakage, as the plan takes it. Raises BundleError where there is none.
    """
    document = files.read_json(plan)
    row = _choice(document, plan)
    candidates = []
    for folder in (folder for run in runs for folder in store.runs_in(run)):
        record = store.load(folder)
        target = record.target
        asked = (document.get("model"), row["name"], row["defence"], document.get("wire"))
        if (target.model.name, target.cut.name, target.defence, target.quantisation) == asked:
            candidates.append((evidence(record).excess or -1.0, folder))
    if not candidates:
        raise BundleError(
            f"{plan} chooses {row['name']} with {row['defence']}, of which there is no record in "
            f"{', '.join(map(str, runs)) or 'runs'}: name its run folder, or audit it first."
        )
    sources, images, model = from_runs([max(candidates)[1]], given)
    return [replace(sources[0], planned=_planned(document, row))], images, model


def _choice(document: Any, plan: Path) -> dict[str, Any]:
    rows = document.get("cuts") if isinstance(document, dict) else None
    if not isinstance(rows, list) or document.get("schema_version") != 1:
        raise RecordError(f"{plan} is no plan: write it with `splitward plan --json`.")
    chosen = (document.get("choice"), document.get("choice_defence"))
    found = [r for r in rows if isinstance(r, dict) and (r.get("name"), r.get("defence")) == chosen]
    if chosen[0] is None or not found:
        raise BundleError(f"{plan} chooses no cut: there is nothing to export.")
    return found[0]


def _planned(document: dict[str, Any], row: dict[str, Any]) -> m.Planned | None:
    latency, sources = row.get("latency_ms"), document.get("latency_source")
    if not isinstance(latency, dict) or not isinstance(sources, dict):
        return None
    edge, cloud = latency.get("edge"), latency.get("cloud")
    if not isinstance(edge, int | float) or not isinstance(cloud, int | float):
        return None
    measured = set(sources.values()) == {"measured"}
    return m.Planned(edge_ms=edge, cloud_ms=cloud, source="measured" if measured else "modelled")


def _named(folder: Path, record: schema.Record, given: dict[str, Any]) -> Named:
    """How the audit named its model and data; its settings lie beside the record, or beside the sweep's folders."""
    held: dict[str, Any] = {}
    for file in (folder / CLAIM, folder.parent / CLAIM):
        if file.is_file():
            found = files.read_json(file)
            held = found if isinstance(found, dict) else {}
            break
    texts = {name: held[name] for name in ("model", "data", "normalise", "input") if isinstance(held.get(name), str)}
    weights = Path(held["weights"]) if isinstance(held.get("weights"), str) else None
    named = Named(record.target.model.name, record.target.data.name, weights)
    return replace(named, **texts | {name: value for name, value in given.items() if value is not None})


def _audited(record: schema.Record, folder: Path, weights: str) -> m.Audited:
    target, verdict = record.target, record.verdict
    bound = verdict.bound_to if verdict else None
    if weights != target.model.weights_sha256 or (bound and weights != bound.weights_sha256):
        raise BundleError(
            f"the record in {folder} is stale: it was made of other weights of {target.model.name} than those that are "
            "there now; audit again, or name the weights with --weights."
        )
    if bound and (bound.defence, bound.quantisation) != (target.defence, target.quantisation):
        raise BundleError(f"the record in {folder} is stale: its verdict is bound to the defence {bound.defence}.")
    if record.status != "complete":
        raise BundleError(f"the audit in {folder} is not finished: run the same command again.")
    summary = m.Verdict(**{name: getattr(verdict, name) for name in m.Verdict.__struct_fields__}) if verdict else None
    return m.Audited(
        record_sha256=hashlib.sha256((folder / store.RECORD).read_bytes()).hexdigest(), weights_sha256=weights,
        quantisation=target.quantisation, verdict=summary, no_verdict=record.no_verdict,
        observations=min((t.observations for t in record.trials if t.status == "ok"), default=1),
    )  # fmt: skip
