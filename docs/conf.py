"""Sphinx settings. Build with `make docs`."""

import importlib.metadata
import os
import sys
from typing import Any

from sphinx.application import Sphinx

# For options_table, which stands beside this file.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

project = "model-hub"
author = "the model-hub developers"
copyright = author
release = importlib.metadata.version("model-hub")
version = ".".join(release.split(".")[:2])

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "options_table",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# A public module's `__all__` says what is documented; private modules define it.
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Else a NamedTuple's fields are described twice: by the docstring's "Attributes" and as members.
napoleon_use_ivar = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"model-hub {release}"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_fields)


def skip_fields(
    app: Sphinx, what: str, name: str, value: Any, skip: bool, options: Any
) -> bool | None:
    """Leaves out the fields of a NamedTuple, which the docstring of their class has described."""
    # Their own docstring is "Alias for field number 0".
    return True if type(value).__name__ == "_tuplegetter" else None
