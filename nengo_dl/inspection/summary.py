"""What a simulator made of a network."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder import Model

from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.tensor_nodes import SimTensorNode
from nengo_dl.execution.session import Session
from nengo_dl.inspection.obstacles import python_in_steps
from nengo_dl.parameters.places import Places
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.support.tables import Table, format_bytes

__all__ = ["ParameterRow", "Summary", "count_objects", "obstacles", "summarize"]

#: What the passes of the compiler do, by the names under which they are counted.
_PASSES = {
    "built": "built by Nengo",
    "before": "that run in each step of the loop",
    "find_aliases": "after find_aliases",
    "remove_zero_resets": "after remove_zero_resets",
    "remove_unread": "after remove_unread",
    "groups": "groups after planning",
}

_STAGES = {
    "order": "ordering operators",
    "simplify": "simplifying",
    "plan": "planning",
    "lay out": "laying out memory",
    "loop": "tracing and compiling the loop",
}


@dataclass(frozen=True)
class ParameterRow:
    """A parameter in a summary.

    Attributes
    ----------
    name : str
        Its name in parameter files.
    obj : object
        The object that it belongs to.
    shape : tuple of int
        Its shape; ``(n_values,)`` for sparse weights.
    n_bytes : int
        Memory that its values take.
    trainable : bool
        Whether training changes it.
    learned : bool
        Whether a learning rule changes it.
    """

    name: str
    obj: Any
    shape: tuple[int, ...]
    n_bytes: int
    trainable: bool
    learned: bool


@dataclass(frozen=True)
class Summary:
    """How a network is simulated, shown as tables.

    Made by `nengo_dl.Simulator.summary`.

    Attributes
    ----------
    objects : dict of {str: int}
        Number of networks, ensembles, neurons, and so on.
    operators : dict of {str: int}
        Number of operators: ``"built"`` by Nengo, ``"before"`` the rules that simplify,
        after each of these, and the number of ``"groups"`` in which they run.
    groups : list of (str, int, bool)
        For each group, its label, the number of its operators, and whether it calls
        Python in each step.
    parameters : list of ParameterRow
        All parameters.
    state_bytes : int
        Memory that the state takes, for all items of the minibatch.
    seconds : dict of {str: float}
        Duration of the stages of compilation. ``"loop"``, tracing and compiling the
        loop, is missing before the loop was compiled.
    obstacles : list of str
        Reasons why the loop is not compiled as a whole.
    notes : list of str
        How runs are executed.
    """

    objects: dict[str, int]
    operators: dict[str, int]
    groups: list[tuple[str, int, bool]]
    parameters: list[ParameterRow]
    state_bytes: int
    seconds: dict[str, float]
    obstacles: list[str]
    notes: list[str]

    def tables(self) -> list[Table]:
        """Return the tables that are shown."""
        objects = [(name, f"{count:,}") for name, count in self.objects.items()]
        operators = [
            (_PASSES[name], f"{count:,}") for name, count in self.operators.items()
        ]
        groups = [
            (label, f"{count:,}", "Python" if calls else "TensorFlow")
            for label, count, calls in self.groups
        ]
        parameters = [
            (
                p.name,
                " x ".join(map(str, p.shape)),
                format_bytes(p.n_bytes),
                "trained" if p.trainable else "learned" if p.learned else "fixed",
                re.sub(r" at 0x[0-9a-f]+", "", str(p.obj)),
            )
            for p in self.parameters
        ]
        memory = [
            (f"parameters that are {name}", f"{len(rows):,}", format_bytes(n_bytes))
            for name, rows, n_bytes in self._memory()
        ]
        memory.append(("state", "", format_bytes(self.state_bytes)))
        seconds = [
            (_STAGES[name], f"{value:.3f} s") for name, value in self.seconds.items()
        ]
        if "loop" not in self.seconds:
            seconds.append((_STAGES["loop"], "not done yet"))
        return [
            Table("Objects", ("kind", "number>"), objects),
            Table("Operators", ("stage", "number>"), operators),
            Table("Groups", ("label", "operators>", "run by"), groups),
            Table(
                "Parameters", ("name", "shape", "size>", "use", "object"), parameters
            ),
            Table("Memory", ("kind", "number>", "size>"), memory),
            Table("Time of compilation", ("stage", "time>"), seconds),
        ]

    def _memory(self) -> list[tuple[str, list[ParameterRow], int]]:
        kinds = {
            "trained": [p for p in self.parameters if p.trainable],
            "not trained": [p for p in self.parameters if not p.trainable],
        }
        return [
            (name, rows, sum(p.n_bytes for p in rows)) for name, rows in kinds.items()
        ]

    def _remarks(self) -> list[str]:
        if not self.obstacles:
            return self.notes
        return [
            "The loop is not compiled as a whole:",
            *(f"- {reason}" for reason in self.obstacles),
            *self.notes,
        ]

    def __str__(self) -> str:
        parts = [table.text() for table in self.tables() if table.rows]
        return "\n\n".join([*parts, "\n".join(self._remarks())]).rstrip()

    def _repr_html_(self) -> str:
        tables = "".join(table.html() for table in self.tables() if table.rows)
        remarks = "<br>".join(html.escape(line) for line in self._remarks())
        return f"{tables}<p>{remarks}</p>"

    def __repr__(self) -> str:
        return (
            f"<Summary of {self.operators['built']} operators in "
            f"{self.operators['groups']} groups>"
        )


def summarize(session: Session, model: Model, values: ParameterValues) -> Summary:
    """Describe a simulator.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    values : ParameterValues
        Its parameters.

    Returns
    -------
    Summary
        Of the program as it is now.
    """
    plan, step = session.plan, session.step
    seconds = dict(plan.seconds)
    if session.compiled.compile_seconds is not None:
        seconds["loop"] = session.compiled.compile_seconds
    groups = [bound.group for bound in step.layout.groups]
    minibatch = step.config.minibatch_size
    return Summary(
        count_objects(model),
        {"built": len(plan.order), **plan.counts},
        [
            (label, len(group.ops), group.is_callback and not _is_tensor_node(group))
            for label, group in zip(step.labels, groups, strict=True)
        ],
        _parameters(session, values),
        sum(b.size * step.dtype_of(b).itemsize for b in step.state_blocks) * minibatch,
        seconds,
        obstacles(session, model, values),
        _notes(session),
    )


def count_objects(model: Model) -> dict[str, int]:
    """Return the numbers of a model's objects by their kinds; {} without a network."""
    network = model.toplevel
    if network is None:
        return {}
    ensembles = network.all_ensembles
    return {
        "networks": 1 + len(network.all_networks),
        "ensembles": len(ensembles),
        "neurons": sum(ens.n_neurons for ens in ensembles),
        "nodes": len(network.all_nodes),
        "connections": len(network.all_connections),
        "probes": len(network.all_probes),
    }


def _parameters(session: Session, values: ParameterValues) -> list[ParameterRow]:
    step = session.step
    trained = {parameter.signal for parameter in session.plan.trainable}
    learned = {p.signal for p in values.parameters if p.learned}
    rows = []
    for name, place in Places(values).parameters.items():
        signal = place.signal
        # gains are no parameters of the simulation: encoders contain them
        if signal is None:
            continue
        name = name.replace(".scaled_encoders", ".encoders")
        itemsize = signal.dtype.itemsize
        if signal in step.layout.block_of:
            itemsize = step.dtype_of(step.layout.block_of[signal]).itemsize
        n_bytes = int(np.prod(place.shape, dtype=int)) * itemsize
        if signal in learned:
            n_bytes *= step.config.minibatch_size
        rows.append(
            ParameterRow(
                name,
                place.obj,
                tuple(place.shape),
                n_bytes,
                signal in trained,
                signal in learned,
            )
        )
    return rows


def obstacles(session: Session, model: Model, values: ParameterValues) -> list[str]:
    """Return what keeps the loop over time steps from being compiled as a whole."""
    found = []
    if not session.placement.uses_xla:
        found.append("jit_compile=False turns compilation off")
    groups = [bound.group for bound in session.step.layout.groups]
    return [*found, *python_in_steps(model, values.parameters, groups)]


def _is_tensor_node(group: Group) -> bool:
    return isinstance(group.ops[0], SimTensorNode)


def _notes(session: Session) -> list[str]:
    if session.executors.uses_numpy(10**9):
        return ["All runs use NumPy, which is faster for a network this small."]
    if session.executors.uses_numpy(1):
        longest = 1
        while session.executors.uses_numpy(2 * longest):
            longest *= 2
        short = "Single steps"
        if longest > 1:
            short = f"Runs of up to about {longest} steps"
        return [f"{short} use NumPy; longer runs use the compiled loop."]
    return []
