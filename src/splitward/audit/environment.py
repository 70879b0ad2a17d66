"""What produced the numbers."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from splitward._version import __version__
from splitward.record.schema import Environment

PACKAGES = ("torch", "numpy", "pytorch-msssim", "scikit-image", "scikit-learn", "pydantic", "safetensors")


def commit() -> str | None:
    """Commit of the source tree that this package runs from, with ``+dirty`` where files differ; None outside git."""
    here = Path(__file__).resolve().parent

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *args], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        tracked = git("ls-files", "--error-unmatch", str(Path(__file__).resolve()))
        return (
            git("rev-parse", "HEAD") + ("+dirty" if git("status", "--porcelain", "--", ".") else "")
            if tracked
            else None
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def environment(device: torch.device) -> Environment:
    """Versions, machine, device and commit."""
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    return Environment(
        splitward=__version__,
        python=sys.version.split()[0],
        platform=platform.platform(),
        device=f"{device.type}: {named}",
        threads=torch.get_num_threads(),
        packages=packages,
        commit=commit(),
    )
