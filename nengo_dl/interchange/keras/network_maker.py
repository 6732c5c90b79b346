"""Nengo objects for the calls of a model."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.base import ObjView
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.config import configure_settings
from nengo_dl.interchange.keras.activation_functions import Activation
from nengo_dl.interchange.keras.activations import Drive
from nengo_dl.interchange.keras.graph import Call
from nengo_dl.interchange.keras.options import Options
from nengo_dl.interchange.keras.report import LayerReport
from nengo_dl.tensor_node import TensorNode

__all__ = ["NetworkMaker", "is_neural", "neurons_of", "trains"]

#: Length of a time step in the report, in seconds: the simulator's default.
_DT = 0.001


def is_neural(obj: Any) -> bool:
    """Whether an object is neurons, or a part of them."""
    return isinstance(neurons_of(obj), Neurons)


def neurons_of(obj: Any) -> Any:
    """Return the object that another is a part of."""
    return obj.obj if isinstance(obj, ObjView) else obj


def trains(call: Call) -> bool:
    """Whether Keras would train a layer."""
    return getattr(call.layer, "trainable", True)


class NetworkMaker:
    """Adds objects to a network, and to the report of a conversion.

    Parameters
    ----------
    net : Network
        An empty network.
    options : Options
        How the model is converted.

    Attributes
    ----------
    net : Network
        The network.
    entries : dict of {Call: LayerReport}
        What is reported of each call.
    """

    def __init__(self, net: nengo.Network, options: Options):
        self.net = net
        self.options = options
        self.entries: dict[Call, LayerReport] = {}
        self._one: nengo.Node | None = None
        configure_settings(
            trainable=None,
            inference_only=options.inference_only or None,
            zero_bias=None,
            can_be_fed=None,
        )
        net.config[nengo.Ensemble].trainable = False  # encoders, which nothing uses
        net.config[nengo.Connection].synapse = None

    def delayed(self, call: Call, pre: Any, n_synapses: int) -> Any:
        """Return an object behind some synapses more."""
        if not n_synapses:
            return pre
        self.entries[call].n_delays += n_synapses
        # what is read from neurons is behind one synapse anyway
        for _ in range(n_synapses + is_neural(pre)):
            node = nengo.Node(size_in=pre.size_out, label=f"{call.layer.name}.delay")
            nengo.Connection(pre, node, synapse=self.options.synapse)
            pre = node
        return pre

    def add_node(
        self, call: Call, size: int, biases: np.ndarray | None = None
    ) -> nengo.Node:
        """Make a Node that passes its inputs and biases on."""
        node = nengo.Node(size_in=size, label=call.layer.name)
        self.note(call, "Node")
        # zeros may be the beginning of what is trained
        is_trained = trains(call) and not self.options.inference_only
        if biases is not None and (is_trained or np.any(biases)):
            if self._one is None:
                self._one = nengo.Node([1], label="one")
                self.net.config[self._one].can_be_fed = False
            self.connect(call, self._one, node, None, biases[:, None])
        return node

    def add_neurons(
        self,
        call: Call,
        size: int,
        biases: np.ndarray | None,
        drive: Drive,
        activation: Activation,
    ) -> Neurons:
        """Make neurons that stand for an activation."""
        bias = np.full(size, drive.offset)
        if biases is not None:
            bias = bias + drive.gain * biases
        ensemble = nengo.Ensemble(
            size,
            1,
            neuron_type=drive.neurons,
            gain=np.full(size, drive.gain),
            bias=bias,
            label=call.layer.name,
        )
        if not trains(call):
            self.net.config[ensemble.neurons].trainable = False
        self.net.config[ensemble].zero_bias = drive.offset
        entry = self.note(call, "Ensemble")
        entry.n_neurons += size
        entry.neurons = type(drive.neurons).__name__
        entry.rate_error = drive.error(activation.function)
        if drive.neurons.spiking:
            entry.spike = getattr(drive.neurons, "amplitude", 1) / _DT
        return ensemble.neurons

    def add_function(
        self, call: Call, pre: Any, activation: Activation, shape: tuple[int, ...]
    ) -> TensorNode:
        """Make a TensorNode that computes an activation without neurons."""
        if not self.options.allow_fallback:
            self.refuse(call, f"there are no neurons for {activation.name!r}")
        node = TensorNode(
            activation.function,
            shape_in=shape,
            pass_time=False,
            label=f"{call.layer.name}.{activation.name}",
        )
        self.connect(call, pre, node, False, None)
        self.note(call, f"TensorNode for {activation.name}")
        return node

    def connect(
        self,
        call: Call,
        pre: Any,
        post: Any,
        trainable: bool | None = None,
        transform: Any = None,
        **kwargs: Any,
    ) -> nengo.Connection:
        """Connect two objects; the synapse is behind neurons only."""
        if is_neural(pre):
            kwargs.setdefault("synapse", self.options.synapse)
        if transform is not None:
            kwargs["transform"] = transform
        connection = nengo.Connection(pre, post, **kwargs)
        if trainable is None:
            trainable = trains(call)
        if transform is not None and not trainable:
            self.net.config[connection].trainable = False
        return connection

    def note(self, call: Call, what: str) -> LayerReport:
        """Add an object to what is reported of a call."""
        entry = self.entries[call]
        entry.objects.append(what)
        return entry

    def refuse(self, call: Call, reason: str) -> None:
        """Raise the error that a call cannot become Nengo objects."""
        raise ValidationError(
            f"{call.layer.name!r}, a {type(call.layer).__name__}, cannot become Nengo "
            f"objects: {reason}. allow_fallback=True makes it a TensorNode, and "
            "Converter.register adds converters",
            attr="allow_fallback",
        )
