"""Neurons, built as Nengo builds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.builder import Model
from nengo.builder import neurons as nengos
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.neurons import NeuronType
from nengo.utils.numpy import is_array_like

from nengo_dl.building.workshop import Workshop

__all__ = ["build_neurons"]


def build_neurons(
    shop: Workshop,
    model: Model,
    neuron_type: NeuronType,
    neurons: Neurons,
    *args: Any,
    **kwargs: Any,
) -> None:
    """Build neurons into a model, in the place of Nengo's ``build_neurons``.

    Parameters
    ----------
    shop : Workshop
        What the functions that build a model share.
    model : nengo.builder.Model
        A model that has the neurons' input and output.
    neuron_type : nengo.neurons.NeuronType
        Their type.
    neurons : nengo.ensemble.Neurons
        The neurons of an ensemble.
    *args, **kwargs
        Other signals than the neurons' own, with which Nengo's function is called.

    Raises
    ------
    BuildError
        If a state has the name of another signal, or no values (Nengo's errors).
    """
    if args or kwargs:
        return nengos.build_neurons(model, neuron_type, neurons, *args, **kwargs)
    signals = model.sig[neurons]
    J, output = signals["in"], signals["out"]
    rng = shop.streams.seeded(model.seeds[neurons.ensemble] + 1)
    values = neuron_type.make_state(neurons.size_in, rng=rng, dtype=J.dtype)
    if any(
        key in signals
        or not (is_array_like(value) or isinstance(value, np.random.RandomState))
        for key, value in values.items()
    ):
        return nengos.build_neurons(model, neuron_type, neurons)  # says what is wrong
    name, state = str(neurons), {}
    for key, value in values.items():
        state[key] = value
        if not isinstance(value, np.random.RandomState):
            state[key] = signals[key] = Signal(value, name=f"{name}.{key}")
    model.add_op(nengos.SimNeurons(neuron_type, J, output, state=state))
    return None
