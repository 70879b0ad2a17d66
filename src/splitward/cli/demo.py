"""``splitward demo``: the main job on embedded real images, without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo_command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the records and the report.")] = Path("runs/demo"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
) -> int:
    """Cut LeNet-5 at ReLU2, attack it on handwritten digits, with and without the paper's defences, and report."""
    from splitward.audit.settings import AuditSettings
    from splitward.cli.audit import run_and_show

    settings = AuditSettings(
        model="lenet5", data="digits", at=("ReLU2",), defences=("none", "dropout:0.6", "gaussian:1"),
        attacks=("rmle", "rmle:scripts", "inverse-network", "shadow-model"), effort="quick",
        samples=60, judge=False, out=out,
    )  # fmt: skip
    return run_and_show(settings, as_json, f"splitward demo --out {out}")
