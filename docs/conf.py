"""Settings of the site: `sphinx-build -W -b html docs build/site` (CONTRIBUTING.md)."""

from __future__ import annotations

import re
from typing import Any

import mbmf

project = "mbmf"
author = "the authors of mbmf"
copyright = "the authors of mbmf, MIT licence"
release = version = mbmf.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["curves"]

# the pages are read on the forge too, where heading anchors are made by this rule
myst_heading_anchors = 4
# shell is what a block holds that says nothing; plain text says `text`
highlight_language = "bash"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
# by their names, not what they stand for
autodoc_type_aliases = {
    name: name for name in ("ArrayLike", "npt.ArrayLike", "FloatArray", "PathLike", "RewardFunction")
}
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
# a word between single backquotes is code
default_role = "code"
napoleon_use_rtype = False
napoleon_attr_annotations = False  # reads the aliases above as text

html_theme = "furo"
html_title = f"mbmf {release}"
html_theme_options = {"navigation_with_keys": True}
html_copy_source = False


def setup(app: Any) -> None:
    """Signatures with aliases as code writes them: within unions Sphinx shows its own objects for them."""

    def plain(_app: Any, _what: str, _name: str, _of: Any, _options: Any, *signature: str | None) -> Any:
        return tuple(part and re.sub(r"TypeAliasForwardRef\('([\w.]+)'\)", r"\1", part) for part in signature)

    app.connect("autodoc-process-signature", plain)
