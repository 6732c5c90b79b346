"""A simulator in one line, and as a small table for notebooks."""

from __future__ import annotations

from dataclasses import dataclass

import nengo
from nengo.builder import Model

from nengo_dl.execution.session import Session
from nengo_dl.inspection.summary import count_objects, obstacles
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.support.tables import Table

__all__ = ["InShort", "in_short"]


@dataclass(frozen=True)
class InShort:
    """What can be said of a simulator in one line.

    Attributes
    ----------
    network : str
        What is simulated.
    size : str
        How large it is.
    progress : str
        How far the simulation is.
    execution : str
        What is compiled, and why not.
    """

    network: str
    size: str
    progress: str
    execution: str

    def __str__(self) -> str:
        return (
            f"<Simulator of {self.network}: {self.size}; {self.progress}; "
            f"{self.execution}>"
        )

    def html(self) -> str:
        """Return a table, for notebooks."""
        rows = [
            ("network", f"{self.network}, {self.size}"),
            ("time", self.progress),
            ("steps", self.execution),
        ]
        return Table("Simulator", ("", ""), rows).html()


def in_short(
    session: Session,
    model: Model,
    values: ParameterValues,
    n_steps: int,
    minibatch_size: int | None,
    closed: bool,
) -> InShort:
    """Describe a simulator in one line.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    values : ParameterValues
        Its parameters.
    n_steps : int
        How many steps were simulated.
    minibatch_size : int or None
        As given to the simulator.
    closed : bool
        Whether the simulator was closed.

    Returns
    -------
    InShort
        As it is now.
    """
    steps = _count(n_steps, "step")
    progress = f"{steps} of {model.dt * 1000:g} ms done"
    if minibatch_size is not None:
        progress += f" for {_count(minibatch_size, 'item')}"
    return InShort(
        _name(model.toplevel),
        _size(model),
        progress,
        "closed" if closed else _execution(session, model, values),
    )


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _name(network: nengo.Network | None) -> str:
    if network is None:
        return "a model"
    if network.label is not None:
        return f"network {network.label!r}"
    kind = type(network).__name__
    return "a network" if kind == "Network" else f"a network of type {kind}"


def _size(model: Model) -> str:
    numbers = count_objects(model)
    if not numbers:
        return _count(len(model.operators), "operator")
    neurons = _count(numbers["neurons"], "neuron")
    return f"{neurons} in {_count(numbers['ensembles'], 'ensemble')}"


def _execution(session: Session, model: Model, values: ParameterValues) -> str:
    """Say what is compiled, and what keeps the rest from that."""
    found = obstacles(session, model, values)
    if session.executors.uses_numpy(10**9):
        done = "runs with NumPy, which is faster here"
    elif session.compiled.is_warm:
        done = "compiled in parts" if found else "compiled"
    else:
        when = "run for longer" if session.executors.uses_numpy(100) else "first run"
        done = f"compiles {'in parts ' if found else ''}when {when}"
    if not found:
        return done
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{done}: {found[0]}{more}"
