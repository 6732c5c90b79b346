"""Settings of Sphinx, which turns these pages into HTML and runs their examples."""

import doctest
import re
import runpy
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))  # for its neighbours

import inventories
import notebooks

project = "nengo_dl"
author = "The nengo_dl developers"
project_copyright = "The nengo_dl developers"
version = release = runpy.run_path(str(ROOT / "nengo_dl" / "version.py"))["__version__"]

with open(ROOT / "pyproject.toml", "rb") as file:
    urls = tomllib.load(file)["project"].get("urls", {})
if "Repository" in urls:
    # the front page and the foot of each page then have links to it
    tags.add("repository")  # noqa: F821 - Sphinx defines it
    html_theme_options = {
        "source_repository": urls["Repository"],
        "source_branch": "main",
        "source_directory": "docs/",
    }

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.extlinks",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "matplotlib.sphinxext.plot_directive",
    "mathml",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
highlight_language = "python"

# links to other projects; nothing is fetched
intersphinx_mapping = inventories.mapping()
html_math_renderer = "mathml"

# what is copied from a box: commands without prompts and without output
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True

extlinks = {"repository": (f"{urls.get('Repository', '')}/%s", "%s")}
autosummary_generate = False  # tables of what the same page describes

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say more: shapes, units
numpydoc_show_class_members = False  # autodoc lists them

# not the default, which ignores the messages of exceptions
doctest_default_flags = doctest.ELLIPSIS | doctest.DONT_ACCEPT_TRUE_FOR_1
# what the examples in docstrings take for granted; the pages import what they use
doctest_global_setup = """
import keras
import nengo
import nengo_dl
import numpy as np
import tensorflow as tf

nengo.rc["decoder_cache"]["enabled"] = "False"
nengo.rc["progress"]["progress_bar"] = "False"
# networks without a seed draw the same one in each run
np.random.seed(0)
tf.random.set_seed(0)
"""

plot_formats = [("svg", 100)]
plot_html_show_formats = False
plot_html_show_source_link = False

# pages are made of the examples as they stand, with the pictures in docs/images: to run
# them all at every build would take a quarter of an hour
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["examples"],
    "plot_gallery": False,
    "within_subsection_order": "example_order.position",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "first_notebook_cell": (
        "# In Colab, or where nengo_dl is not installed, take away the first # below\n"
        "# and put the address of its repository, or of its folder, in its place:\n"
        '# %pip install "nengo_dl[examples] @ git+https://ADDRESS"\n'
        "%matplotlib inline"
    ),
}


def complete_gallery(app):
    """Clean the notebooks, and describe the thumbnails as the pages do the pictures."""
    notebooks.clean_all()
    index = ROOT / "docs" / "examples" / "index.rst"
    text = index.read_text(encoding="utf-8")
    for script in (ROOT / "examples").glob("*.py"):
        found = re.search(
            rf"images/{script.stem}\.png\n#    :alt: (.+(?:\n#       .+)*)",
            script.read_text(encoding="utf-8"),
        )
        alt = re.sub(r"\n# +", " ", found[1]) if found else "Without a picture"
        place = f"sphx_glr_{script.stem}_thumb.png\n    :alt:\n"
        text = text.replace(place, f"{place.rstrip()} {alt}\n")
    index.write_text(text, encoding="utf-8")


def setup(app):
    # Sphinx-Gallery, which has the usual priority, comes before
    app.connect("builder-inited", complete_gallery, priority=900)
