"""Configuration of Sphinx: MyST pages, Furo, and docstrings of the public names."""

from splitward import __version__

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
