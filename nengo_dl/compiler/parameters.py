"""Which signals are parameters of which Nengo objects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import nengo
from nengo.base import NengoObject
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.neurons import Direct

from nengo_dl.compiler.tensor_nodes import BuiltTensorNode

__all__ = ["Parameter", "find_parameters"]


@dataclass(frozen=True, eq=False)
class Parameter:
    """A parameter of an object of the network.

    Attributes
    ----------
    obj : Ensemble or Neurons or Connection or TensorNode
        The user's object; the connection of a Probe is one that Nengo's builder made.
    attribute : str
        ``"encoders"`` (scaled by gain and radius), ``"bias"``, ``"weights"``, or
        one of the weights of a TensorNode.
    signal : Signal
        Base signal that holds the values.
    learned : bool
        Whether a learning rule changes it during a simulation.
    fixed : bool
        Whether it cannot be trained by its gradient (frozen weights and moving averages
        of Keras layers).
    internal : bool
        Whether the object belongs to a probe instead of to the network.
    """

    obj: NengoObject | Neurons
    attribute: str
    signal: Signal
    learned: bool
    internal: bool
    fixed: bool = False


def find_parameters(
    model: Model, is_written: Callable[[Signal], bool]
) -> list[Parameter]:
    """Return the parameters of a model in the order in which Nengo built them.

    Parameters
    ----------
    model : Model
        A built model.
    is_written : callable
        Whether operators of the model change a base signal.

    Returns
    -------
    list of Parameter
        Encoders and biases of all ensembles but those in Direct mode, weights of all
        connections that have any, and weights of TensorNodes (those that nodes share
        belong to the first one).
    """
    members = set()
    if model.toplevel is not None:
        members.update(model.toplevel.all_connections)
    found: list[Parameter] = []

    def add(obj: NengoObject | Neurons, attribute: str, signal: Signal | None) -> None:
        if signal is not None:
            internal = isinstance(obj, nengo.Connection) and obj not in members
            found.append(
                Parameter(obj, attribute, signal, is_written(signal.base), internal)
            )

    for obj, record in model.params.items():
        if isinstance(obj, nengo.Ensemble) and not isinstance(obj.neuron_type, Direct):
            add(obj, "encoders", model.sig[obj].get("encoders"))
            add(obj.neurons, "bias", model.sig[obj.neurons].get("bias"))
        elif isinstance(obj, nengo.Connection):
            add(obj, "weights", model.sig[obj].get("weights"))
        elif isinstance(record, BuiltTensorNode):
            found += [
                Parameter(
                    obj,
                    # counters in names of layers differ between sessions
                    f"weights[{number}].{name.rpartition('/')[2]}",
                    signal,
                    learned=False,
                    internal=False,
                    fixed=name not in record.trainable,
                )
                for number, (name, signal) in enumerate(record.signals.items())
                # what simulations change is their state
                if not (name in record.state and record.state[name].advances)
                and all(signal is not parameter.signal for parameter in found)
            ]
    return found
