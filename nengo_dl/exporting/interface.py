"""What goes into an exported network and comes out of it: names, shapes, meanings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nengo_dl.compiler.labels import readable
from nengo_dl.support.tables import Table
from nengo_dl.version import __version__

__all__ = ["Entry", "Export", "Names"]


@dataclass(frozen=True)
class Entry:
    """One tensor that an exported network takes or returns.

    Attributes
    ----------
    name : str
        Its name in the file. The state after a step has the prefix ``next_``.
    shape : tuple of int
        Shape in one step, ``(minibatch, ...)``; inputs and outputs of a run have the
        steps as second axis. The number of steps is a scalar, ``()``.
    dtype : str
        NumPy's name of the type of the elements.
    meaning : str
        What to feed, what the output shows, or what the state belongs to.
    default : ndarray or None
        For state, the initial value. For inputs, the output of the Node in the
        simulation, if it is constant.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str
    default: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Export:
    """Description of an exported network; print it to see tables.

    Attributes
    ----------
    path : str
        The file or folder.
    format : str
        Its format.
    functions : tuple of str
        What it contains: ``"step"``, ``"run"``.
    dt : float
        Length of a time step, in seconds.
    n_steps : int or None
        Number of steps of a run; None: any.
    inputs, outputs, state : dict of {str: Entry}
        What the functions take and return, by name.
    """

    path: str
    format: str
    functions: tuple[str, ...]
    dt: float
    n_steps: int | None
    inputs: dict[str, Entry]
    outputs: dict[str, Entry]
    state: dict[str, Entry]

    def as_json(self) -> str:
        """Return this as JSON, as it is stored in the file."""

        def describe(entries: Mapping[str, Entry]) -> list[dict[str, Any]]:
            return [
                {
                    "name": entry.name,
                    "shape": list(entry.shape),
                    "dtype": entry.dtype,
                    "meaning": entry.meaning,
                }
                for entry in entries.values()
            ]

        return json.dumps(
            {
                "nengo_dl": __version__,
                "functions": list(self.functions),
                "dt": self.dt,
                "n_steps": self.n_steps,
                "inputs": describe(self.inputs),
                "outputs": describe(self.outputs),
                "state": describe(self.state),
            },
            indent=1,
        )

    def __str__(self) -> str:
        steps = "any number of" if self.n_steps is None else self.n_steps
        lines = [f"{self.format}: {', '.join(self.functions)}"]
        if "run" in self.functions:
            lines[0] += f" ({steps} steps of {self.dt:g} s)"
        tables = [
            Table(
                title,
                ("name", "shape", "type", "meaning"),
                [(e.name, str(e.shape), e.dtype, e.meaning) for e in entries.values()],
            )
            for title, entries in (
                ("Inputs", self.inputs),
                ("Outputs", self.outputs),
                ("State", self.state),
            )
        ]
        return "\n\n".join(lines + [table.text() for table in tables if table.rows])


class Names:
    """Gives out names that all formats allow, each once.

    Parameters
    ----------
    taken : iterable of str
        Names that are not given out.

    Examples
    --------
    >>> from nengo_dl.exporting.interface import Names
    >>> names = Names()
    >>> names.give("my input", "node"), names.give("my.input", "node")
    ('my_input', 'my_input_1')
    """

    def __init__(self, taken: Iterable[str] = ()):
        # TensorFlow tells names of operations apart without regard to case
        self._taken = {name.lower() for name in taken}

    def give(self, label: str | None, default: str) -> str:
        """Return a name like a label: letters, digits and underscores.

        Parameters
        ----------
        label : str or None
            What it is to be like.
        default : str
            What to take if there is no label, or nothing is left of it.
        """
        name = readable(label, default)
        for character in ".>-":
            name = name.replace(character, "_")
        name = "_".join(part for part in name.split("_") if part) or default
        if name[0].isdigit():
            name = f"{default}_{name}"
        found, number = name, 0
        while found.lower() in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found.lower())
        return found
