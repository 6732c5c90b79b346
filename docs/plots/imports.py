"""Draw which parts of the package import which, from its source."""

import ast
import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt

PACKAGE = Path(importlib.util.find_spec("nengo_dl").origin).parent

#: What only passes names on, for packages that extend the older library.
LEFT_OUT = {"", "builder", "neuron_builders", "version"}


def part_of(name):
    """Return the folder, or the module of the package's own folder, of a module."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def imports():
    """Return for each part of the package the parts that it imports."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        relative = path.relative_to(PACKAGE)
        part = relative.parts[0].removesuffix(".py")
        part = "" if part == "__init__" else part
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                if name.startswith("nengo_dl."):
                    found.setdefault(part, set()).add(part_of(name))
    known = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    known |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    known -= LEFT_OUT
    return {part: (found.get(part, set()) & known) - {part} for part in sorted(known)}


def levels(parts):
    """Return for each part a number above those of all that it imports."""
    numbers = {}

    def number_of(part):
        if part not in numbers:
            below = [number_of(other) for other in parts[part]]
            numbers[part] = 1 + max(below, default=-1)
        return numbers[part]

    for part in parts:
        number_of(part)
    return numbers


def reach(parts, part):
    """Return all parts that one imports, also by way of others."""
    found = set()
    waiting = list(parts[part])
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += parts[other]
    return found


def layers():
    """Draw each part above what it imports; no arrow where another path says it."""
    parts = imports()
    numbers = levels(parts)
    rows = {}
    for part, number in numbers.items():
        rows.setdefault(number, []).append(part)
    height = max(rows) + 1
    widest = max(map(len, rows.values()))
    places = {
        part: (widest * (position + 1) / (len(row) + 1), number)
        for number, row in rows.items()
        for position, part in enumerate(row)
    }
    _, ax = plt.subplots(figsize=(9, 0.62 * height), layout="constrained")
    for part, others in parts.items():
        indirect = set().union(*(reach(parts, other) for other in others))
        for other in others - indirect:
            ax.annotate(
                "",
                places[other],
                places[part],
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": "#9aa1ab",
                    "shrinkA": 9,
                    "shrinkB": 10,
                },
            )
    for part, place in places.items():
        is_folder = (PACKAGE / part).is_dir()
        ax.text(
            *place,
            f"{part}/" if is_folder else part,
            ha="center",
            va="center",
            bbox={
                "boxstyle": "round",
                "facecolor": "#cfe0fb" if is_folder else "#eef0f2",
                "edgecolor": "#4269d0",
            },
        )
    ax.set(xlim=(0, widest), ylim=(-0.6, height - 0.4))
    ax.axis("off")
