"""What bounds an inversion: the rank and the condition of the edge's Jacobian at each cut of the table of strengths.

    python benchmarks/attack_bounds.py

writes ``results/attack-bounds.json`` and prints it. For a few secrets the whole Jacobian (numbers that cross the wire
by pixels) is computed by forward mode, and its singular values in float64. Where its rank is that of the pixels, the
linear piece of the edge that a secret lies on determines the secret, and what falls short of it is the search. Where it
is less, the rest must come from a prior. ``resolved`` counts the singular values above 1/1,000 of the largest.
``reached`` is the relative error of the activation of the strongest white-box picture, from the records that
``attack_strength.py`` left; at the secret itself it is 0.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from attack_strength import CUTS, FILE
from torch import Tensor

import splitward as sw
from splitward.core.edge import Edge
from splitward.core.knowledge import as_tuple
from splitward.record import store

OUT = Path(__file__).parent.parent / "results" / "attack-bounds.json"
ROUNDING = 1e-6
"""Singular values below this share of the largest are float32 noise."""
RESOLVED = 1e-3
TANGENTS = 128


def jacobian(edge: Edge, image: Tensor) -> Tensor:
    """(pixels, numbers that cross) of one image (1, C, H, W)."""
    unit = torch.eye(image.numel(), device=image.device).view(-1, *image.shape[1:])

    def flat(pixels: Tensor) -> Tensor:
        return torch.cat([part.flatten(1) for part in as_tuple(edge(pixels))], 1)

    rows = []
    for tangents in unit.split(TANGENTS):
        here = image.expand_as(tangents).contiguous()
        rows.append(torch.func.jvp(flat, (here,), (tangents,))[1])
    return torch.cat(rows)


def spectrum(edge: Edge, image: Tensor) -> Tensor:
    """Singular values relative to the largest, descending, float64."""
    matrix = jacobian(edge, image).double()
    values = torch.linalg.eigvalsh(matrix @ matrix.T).flip(0).clamp_min(0).sqrt()
    relative: Tensor = values / values[0]
    return relative


def reached(edge: Edge, folder: Path) -> float | None:
    """The relative error of the activations of the best white-box pictures of a record, the median over secrets."""
    if not folder.exists():
        return None
    record = store.load(folder)
    trials = [t for t in record.trials if t.threat_model == "white-box" and "ssim" in t.metrics]
    if not trials:
        return None
    best = max(trials, key=lambda t: t.metrics["ssim"].mean)
    tensors = store.load_tensors(folder, record)
    with torch.no_grad():
        there, here = (as_tuple(edge(torch.from_numpy(tensors[n]))) for n in (best.tensor or "", "secrets"))
    away = torch.stack([(a - b).flatten(1).norm(dim=1) for a, b in zip(there, here, strict=True)]).norm(dim=0)
    size = torch.stack([b.flatten(1).norm(dim=1) for b in here]).norm(dim=0)
    return float((away / size).median())


def row(dataset: str, model: str, at: str, count: int, runs: Path) -> dict[str, Any]:
    """One cut."""
    data, victim = sw.load_data(dataset), sw.load_model(model, data=dataset)
    halves = sw.split(victim.model, data.public.images[:2], at=at)
    edge = halves.edge
    spectra = [spectrum(edge, data.held_out.images[i : i + 1]) for i in range(count)]
    ranks = [int((s > ROUNDING).sum()) for s in spectra]
    folders = (runs / f"strength-{dataset}-{at}-{effort}" for effort in ("thorough", "standard", "quick"))
    found = next((value for f in folders if (value := reached(edge, f)) is not None), None)
    return {
        "dataset": dataset,
        "cut": at,
        "pixels": data.held_out.images[0].numel(),
        "numbers": sum(s.elements for s in halves.activation),
        "rank_low": min(ranks),
        "rank_high": max(ranks),
        "resolved": round(sum(int((s > RESOLVED).sum()) for s in spectra) / count, 1),
        "condition": float(f"{max(1 / float(s[r - 1]) for s, r in zip(spectra, ranks, strict=True)):.2g}"),
        "reached": None if found is None else float(f"{found:.2g}"),
        "samples": count,
        "command": "python benchmarks/attack_bounds.py",
        "version": sw.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--runs", type=Path, default=FILE.parent / "runs", help="records of attack_strength.py")
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    options = parser.parse_args()
    rows = []
    for dataset, (model, cuts) in CUTS.items():
        for at in cuts:
            print(f"{dataset} {at} ...", file=sys.stderr, flush=True)
            rows.append(row(dataset, model, at, options.samples, options.runs))
            assert math.isfinite(rows[-1]["condition"])
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1) + "\n")
    for one in rows:
        print(one)


if __name__ == "__main__":
    main()
