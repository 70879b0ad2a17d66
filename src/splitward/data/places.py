"""Where data sets and trained weights lie on this machine. Free of torch."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def data_directory(given: Path | None = None) -> Path:
    """``given``, else the environment's ``SPLITWARD_DATA``, else the platform's cache folder for splitward.

    The folder need not exist.
    """
    if given is not None:
        return given.expanduser()
    if stated := os.environ.get("SPLITWARD_DATA"):
        return Path(stated).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "splitward"
