"""What cannot be sent to other processes, where it is, and how to change that."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import nengo
from nengo.exceptions import ValidationError

__all__ = [
    "best_pickler",
    "calling_pickler",
    "check_simulator",
    "check_travels",
    "explain",
    "travels",
]

#: Attributes of Nengo's objects that are, or hold, what users wrote.
_ATTRIBUTES = {
    "nodes": {"output": "function"},
    "ensembles": {
        name: name.replace("_", " ")
        for name in ("neuron_type", "encoders", "eval_points", "gain", "bias", "noise")
    },
    "connections": {
        "function_info": "function",
        "synapse": "synapse",
        "transform": "transform",
        "learning_rule_type": "learning rule",
        "solver": "solver",
        "eval_points": "eval points",
    },
    "probes": {"synapse": "synapse", "solver": "solver"},
}

#: How many objects within each other are looked into.
_DEPTH = 8


def best_pickler() -> Any:
    """Return ``cloudpickle`` if it is installed, else ``pickle``."""
    try:
        # of functions that are defined in the script itself, too, it takes the code
        import cloudpickle
    except ImportError:
        return pickle
    return cloudpickle


def calling_pickler() -> type | None:
    """Return the class of the pickler that calls, as far as that can be seen.

    Returns
    -------
    type or None
        A subclass of `pickle.Pickler`, or a class like it. None: something is copied
        within this process.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "copy":
            return None
        for name in ("self", "cls"):
            found = frame.f_locals.get(name)
            kind = found if isinstance(found, type) else type(found)
            if any(
                base.__module__ in ("pickle", "_pickle") and "Pickler" in base.__name__
                for base in kind.__mro__
            ):
                return kind
        frame = frame.f_back
    return pickle.Pickler


def check_travels(value: Any, pickler: Any = None) -> None:
    """Raise if something cannot be sent to other processes; say what of it cannot.

    Parameters
    ----------
    value : nengo.Network or Simulator or callable or object
        What is to be sent.
    pickler : module, optional
        ``pickle`` or ``cloudpickle``. Default: cloudpickle if it is installed.

    Raises
    ------
    ValidationError
        With the object of the network, where it is, and what helps.

    Notes
    -----
    Simulators do this when they are pickled. Networks are Nengo's: their own errors do
    not say which object they are about.

    Examples
    --------
    >>> import threading
    >>> lock = threading.Lock()
    >>> with nengo.Network(label="top") as net:
    ...     node = nengo.Node(lambda t: float(lock.locked()), label="watch")
    >>> try:
    ...     nengo_dl.check_travels(net)
    ... except nengo.exceptions.ValidationError as error:
    ...     print(str(error)[:51])
    network: The function of <Node 'watch'> (nodes[0] o
    """
    pickler = best_pickler() if pickler is None else pickler
    _check(_Trial(pickler.Pickler), value, "network")


def check_simulator(sim: Any) -> None:
    """Raise if the network of a simulator has what the calling pickler cannot take.

    Parameters
    ----------
    sim : Simulator
        What is pickled.

    Raises
    ------
    ValidationError
        As of `check_travels`.
    """
    kind = calling_pickler()
    if kind is not None and sim.model.toplevel is not None:
        _check(_Trial(kind), sim.model.toplevel, "network")


def _check(trial: _Trial, value: Any, attribute: str) -> None:
    sent = value
    if isinstance(value, nengo.Network):  # what of it is Nengo's travels
        sent = [part for _, part in _parts_of_network(value)]
    if not trial.travels(sent):
        raise ValidationError(trial.explain(value, "this"), attr=attribute)


def travels(pickler: Any, value: Any) -> bool:
    """Return whether something can be pickled.

    Parameters
    ----------
    pickler : module
        ``pickle`` or ``cloudpickle``.
    value : object
        What is sent. Large arrays in it are not copied.
    """
    return _Trial(pickler.Pickler).travels(value)


def explain(pickler: Any, parts: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of the first part that cannot travel, and why that is so.

    Parameters
    ----------
    pickler : module
        ``pickle`` or ``cloudpickle``.
    parts : mapping of {str: object}
        What is sent, by how it is called. If all of them can travel, it is the last one
        that is blamed.
    """
    trial = _Trial(pickler.Pickler)
    name = next((n for n, p in parts.items() if not trial.travels(p)), [*parts][-1])
    part = parts[name]
    return name, trial.explain(part, f"the {name}")


class _Nowhere:
    """A file of which nothing is kept."""

    def write(self, data: bytes) -> int:
        return len(data)


class _Trial:
    """Tries what a pickler can take.

    Parameters
    ----------
    kind : type
        The class of the pickler.
    """

    def __init__(self, kind: type):
        self.kind: Any = kind

    def travels(self, value: Any) -> bool:
        """Return whether a value can be pickled; large arrays are not copied."""
        try:
            pickler = self.kind(_Nowhere(), protocol=5, buffer_callback=_forget)
        except TypeError:  # it is called in another way, and may take anything
            return True
        try:
            pickler.dump(value)
        except Exception:
            return False
        return True

    def explain(self, value: Any, name: str) -> str:
        """Return what cannot travel, within a value that cannot, and what helps."""
        chain = self._chain(value, name, set())
        what = chain.pop(0)
        if chain and isinstance(_network_of(value), nengo.Network):
            what = chain.pop(0)
        reason = ""
        if chain:
            reason = f", because of {', in '.join(reversed(chain))}"
        return (
            f"{what[:1].upper()}{what[1:]} cannot be sent to other processes{reason}. "
            f"{self._advice(value)}"
        )

    def _advice(self, value: Any) -> str:
        better = best_pickler().Pickler
        if better is pickle.Pickler or (
            better is not self.kind and _Trial(better).travels(value)
        ):
            return (
                "Use cloudpickle (pip install cloudpickle), which takes lambdas and "
                "functions within functions, or define functions at the top of a module"
            )
        return (
            "Let functions make what belongs to one process, such as files, locks and "
            "simulators, when they are called there"
        )

    def _chain(self, value: Any, name: str, seen: set[int]) -> list[str]:
        """Return descriptions of a value, and of what is to blame within it."""
        seen.add(id(value))
        found = [f"{name}{_place(value)}"]
        if len(seen) > _DEPTH:
            return found
        for part_name, part in _parts(value):
            if id(part) not in seen and not self.travels(part):
                return found + self._chain(part, part_name, seen)
        return found


def _forget(buffer: Any) -> None:
    """Keep a buffer out of a pickle."""


def _place(value: Any) -> str:
    """Return what a value is, or where a function is defined."""
    if isinstance(value, MethodType):
        value = value.__func__
    if not isinstance(value, FunctionType):
        named = isinstance(value, nengo.Network | type)
        return "" if named else f" ({type(value).__name__})"
    code = value.__code__
    file = Path(code.co_filename).name
    return f" ({value.__name__}, {file}, line {code.co_firstlineno})"


def _network_of(value: Any) -> nengo.Network | None:
    """Return a network, or the one that a simulator runs."""
    if not isinstance(value, nengo.Network):
        value = getattr(getattr(value, "model", None), "toplevel", None)
    return value if isinstance(value, nengo.Network) else None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a value, by how it is called in messages."""
    network = _network_of(value)
    if network is not None:
        yield from _parts_of_network(network)
    elif isinstance(value, FunctionType):
        variables = inspect.getclosurevars(value)
        for found in (variables.nonlocals, variables.globals):
            for name, part in found.items():
                if not isinstance(part, ModuleType):
                    yield f"its variable {name!r}", part
    elif isinstance(value, MethodType):
        yield "its object", value.__self__
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield f"the entry {key!r}", part
    elif isinstance(value, list | tuple | set | frozenset):
        for number, part in enumerate(value):
            yield f"the element {number}", part
    elif not isinstance(value, type | ModuleType):
        for name, part in getattr(value, "__dict__", {}).items():
            yield f"its attribute {name!r}", part


def _parts_of_network(network: nengo.Network) -> Iterator[tuple[str, Any]]:
    """Yield what users wrote into a network and its subnetworks."""
    for kind, attributes in _ATTRIBUTES.items():
        for number, obj in enumerate(getattr(network, kind)):
            for attribute, name in attributes.items():
                part = getattr(obj, attribute, None)
                if attribute == "function_info":
                    part = getattr(part, "function", None)
                if part is not None:
                    yield f"the {name} of {obj} ({kind}[{number}] of {network})", part
    usual = vars(nengo.Network(add_to_container=False))
    for name, part in vars(network).items():
        if name not in usual and not isinstance(
            part, nengo.base.NengoObject | nengo.base.ObjView | nengo.Network
        ):
            yield f"the attribute {name!r} of {network}", part
    for subnetwork in network.networks:
        yield from _parts_of_network(subnetwork)
