"""How Sphinx builds these pages; `nox -s docs` does it, with warnings as errors."""

import jpipe

project = "jpipe"
author = "the jpipe developers"
version = release = jpipe.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Caching pipelines on joblib", "fixed_sidebar": True}
html_show_sphinx = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
