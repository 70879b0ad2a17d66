"""Configuration of Sphinx: MyST pages, Furo, and docstrings of the public names."""

import json
import sys
from pathlib import Path

from sphinx.application import Sphinx

from splitward import __version__
from splitward.reproduce.page import markdown

sys.path.insert(0, str(Path(__file__).parent))
import _curves
from _tables import fill

RESULTS = Path(__file__).parent.parent / "results"

project = "splitward"
author = "The splitward authors"
copyright = "The splitward authors; Apache License 2.0"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
root_doc = "index"
language = "en_GB"

myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"splitward {release}"
html_copy_source = False
html_show_sphinx = False


def fill_in_what_was_measured(app: Sphinx, name: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Put the numbers of ``results`` into the pages that are about them."""
    if name == "reproduction":
        document = json.loads((RESULTS / "reproduction.json").read_text(encoding="utf-8"))
        source[0] = source[0].replace("<!-- reproduction -->", markdown(document, "../results/figures"))
    else:
        source[0] = _curves.fill(source[0]) if name == "defence-curves" else fill(source[0])


def setup(app: Sphinx) -> None:
    app.connect("source-read", fill_in_what_was_measured)
