"""How Sphinx builds these pages; `nox -s docs` does it, with warnings as errors."""

from sphinx.pycode import ModuleAnalyzer

import jpipe

project = "jpipe"
author = "the jpipe developers"
version = release = jpipe.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"jpipe {version}"
copybutton_prompt_text = "$ "
html_show_sphinx = html_show_copyright = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False


def setup(app: object) -> None:
    """Show of `jpipe.map` its one signature in place of the forms that type checkers choose from."""
    analyzer = ModuleAnalyzer.for_module("jpipe.define.map")
    analyzer.analyze()
    analyzer.overloads.clear()
