"""Render mathematics as MathML, which browsers draw without a script or a network."""

from docutils import nodes
from latex2mathml.converter import convert


def _with_environment(latex):
    """Return LaTeX whose lines are aligned, if there are several."""
    if "\\begin{" not in latex and ("&" in latex or "\\\\" in latex):
        return rf"\begin{{aligned}}{latex}\end{{aligned}}"
    if "\\\\" in latex and latex.index("\\\\") < latex.index("\\begin{"):
        return rf"\begin{{aligned}}{latex}\end{{aligned}}"
    return latex


def visit_inline(translator, node):
    """Write a formula within a line."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_block(translator, node):
    """Write a formula on lines of its own."""
    latex = _with_environment(node.astext().strip())
    translator.body.append(
        f'<div class="math">{convert(latex, display="block")}</div>\n'
    )
    raise nodes.SkipNode


def setup(app):
    """Add the renderer, which ``html_math_renderer`` chooses."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
