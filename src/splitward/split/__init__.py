"""Any model cut in two, at any position of its graph: ``cloud(edge(x)) == model(x)``."""

from splitward.split.blocks import Cloud
from splitward.split.cuts import Cut, cuts
from splitward.split.files import load_half, load_halves, save_half
from splitward.split.halves import Exported, Halves, export, split

__all__ = [
    "Cloud",
    "Cut",
    "Exported",
    "Halves",
    "cuts",
    "export",
    "load_half",
    "load_halves",
    "save_half",
    "split",
]
