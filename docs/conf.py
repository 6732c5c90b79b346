"""Settings of Sphinx, which turns these pages into HTML and runs their examples."""

import doctest
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = "nengo_dl"
author = "The nengo_dl developers"
project_copyright = "The nengo_dl developers"
version = release = runpy.run_path(str(ROOT / "nengo_dl" / "version.py"))["__version__"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "numpydoc",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
highlight_language = "python"

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes, units
numpydoc_show_class_members = False  # autodoc lists them

# not the default, which ignores the messages of exceptions
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
# what the examples in docstrings take for granted; the pages import what they use
doctest_global_setup = """
import nengo
import nengo_dl
import numpy as np
import tensorflow as tf

nengo.rc["decoder_cache"]["enabled"] = "False"
nengo.rc["progress"]["progress_bar"] = "False"
"""
