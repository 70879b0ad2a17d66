"""Reports: one self-contained HTML file from a record or from several. Free of torch, and of the network."""

from splitward.report.html import render

__all__ = ["render"]
