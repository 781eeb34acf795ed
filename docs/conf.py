"""How Sphinx builds the documentation: `python -m sphinx -W -n --keep-going docs docs/_build`."""

from importlib.metadata import version as installed
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

project = "swarmlib"
release = version = installed("swarmlib")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_parser"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"swarmlib {version}"
html_show_copyright = False

default_role = "code"  # docstrings mark code as the README does
add_module_names = False
python_maximum_signature_line_length = 100
autodoc_class_signature = "separated"  # most classes are not made by users: they show no constructor
autodoc_default_options = {"members": True, "show-inheritance": True, "exclude-members": "__init__"}
autodoc_member_order = "bysource"
myst_heading_anchors = 3

# The build needs no network, so what other projects document isn't linked to; nor is what is nobody's to use.
nitpick_ignore_regex = [
    (
        "py:.*",
        r"(_pytest|abc|asyncio|collections|concurrent|contextlib|datetime|enum|io|pathlib|pytest|trio|typing)\..*",
    ),
    ("py:.*", r"swarmlib\.(\w+\.)*(_\w+|[A-Z]|RecordT|portal\.\w+|grammar\.\w+)"),
    ("py:.*", r"swarmlib_backends\.(enginekit\.\w+\.([A-Z]|Configured|Follower|Attachable|Attaching)|dockerapi\..*)"),
    ("py:.*", r"Path|Sender|ReadableBuffer|Mapping\[str|tuple\[str"),
]


def read_sections(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Read `Raises:` and its like. (As an extension, napoleon reads a property's words as a type and a description.)"""
    what = "method" if what in ("attribute", "data", "property") else what
    lines[:] = GoogleDocstring(lines, Config(), app, what, name, obj, options).lines()


def setup(app: Sphinx) -> None:
    """Have docstrings read."""
    app.connect("autodoc-process-docstring", read_sections)
