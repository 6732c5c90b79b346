"""Neurons in the place of activation functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType

from nengo_dl.interchange.keras.activation_functions import Activation, activation_of
from nengo_dl.support.lazy_imports import keras
from nengo_dl.support.user_warnings import warn_user

__all__ = ["Drive", "Swaps", "drive"]


class Swaps:
    """Which neurons take the place of which activations.

    Parameters
    ----------
    swap_activations : dict or None
        Neuron types by activation (function, name or layer) or neuron type.

    Raises
    ------
    ValidationError
        If a key is no activation, or a value no neuron type.
    """

    def __init__(self, swap_activations: Mapping[Any, NeuronType] | None):
        self._swaps: dict[Any, NeuronType] = {}
        self._used: set[Any] = set()
        self._names: dict[Any, Any] = {}
        if not isinstance(swap_activations, Mapping | None):
            raise ValidationError(
                "Must be a dict of neuron types by activation (got "
                f"{swap_activations!r})",
                attr="swap_activations",
            )
        for key, neurons in (swap_activations or {}).items():
            if not isinstance(neurons, NeuronType):
                raise ValidationError(
                    f"The neurons for {key!r} must be a neuron type, such as "
                    f"nengo.SpikingRectifiedLinear() (got {neurons!r})",
                    attr="swap_activations",
                )
            known = self._key(key)
            self._swaps[known] = neurons
            self._names[known] = key

    @staticmethod
    def _key(key: Any) -> Any:
        if isinstance(key, NeuronType):
            return key
        activation = activation_of(key)
        if activation is None or not activation.keys:
            raise ValidationError(
                f"{key!r} is no activation; give one of keras.activations or tf.nn, "
                "its name, a layer such as keras.layers.ReLU, or a Nengo neuron type",
                attr="swap_activations",
            )
        return activation.keys[-1]

    def neurons(self, activation: Activation) -> NeuronType | None:
        """Return the neurons that an activation becomes; None if there are none."""
        for key in activation.keys:
            if key in self._swaps:
                self._used.add(key)
                return self._swaps[key]
        return activation.neurons

    def is_swapped(self, activation: Activation) -> bool:
        """Whether an activation becomes other neurons than those that compute it."""
        return any(key in self._swaps for key in activation.keys)

    def warn_of_unused(self, occurring: Iterable[str]) -> None:
        """Warn of activations that do not occur, and list those that do."""
        unused = [self._names[key] for key in self._swaps if key not in self._used]
        if unused:
            names = [getattr(key, "__name__", str(key)) for key in unused]
            there = ", ".join(sorted(set(occurring))) or "none"
            warn_user(
                f"swap_activations has {', '.join(names)}, which does not occur among "
                f"the activations of the model; these are: {there}"
            )


@dataclass(frozen=True)
class Drive:
    """How neurons are driven so that they stand for an activation.

    Attributes
    ----------
    neurons : NeuronType
        Neurons whose output is in units of the activation.
    gain : float
        Current for an input of 1.
    offset : float
        Current for an input of 0.
    scale : float
        Rate in Hz that stands for an activation of 1.
    """

    neurons: NeuronType
    gain: float = 1.0
    offset: float = 0.0
    scale: float = 1.0

    def error(self, function: Callable[[Any], Any], span: float = 1.0) -> float:
        """Return the largest difference of the rates from an activation.

        Parameters
        ----------
        function : callable
            The activation.
        span : float
            Inputs from ``-span`` to ``span`` are looked at.
        """
        x = np.linspace(-span, span, 201)
        wanted = keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(x)))
        found = self.neurons.rates(x, [self.gain], [self.offset])
        return float(np.max(np.abs(found.ravel() - wanted)))


def _arguments(neurons: NeuronType) -> dict[str, Any]:
    names = list(inspect.signature(type(neurons).__init__).parameters)[1:]
    return {name: getattr(neurons, name) for name in names}


def drive(
    neurons: NeuronType, scale: float | None, initial_voltage: Any = None
) -> Drive | None:
    r"""Return neurons that fire faster by a factor, with an output that is not larger.

    Parameters
    ----------
    neurons : NeuronType
        The neurons that take the place of an activation.
    scale : float or None
        Rate in Hz that stands for an activation of 1. None: neurons as they are.
    initial_voltage : float or Distribution, optional
        Of spiking neurons that do not have one of their own.

    Returns
    -------
    Drive or None
        None if the neurons have no amplitude.

    Notes
    -----
    Rectified units multiply by a positive factor :math:`s`, so a gain of :math:`s` and
    an amplitude of :math:`1/s` change nothing. Leaky integrate-and-fire neurons whose
    refractory period is short are silent for currents :math:`J < 1`, and fire at about
    :math:`(J - 1/2) / \tau_{rc}` for large ones. They get a gain of :math:`s
    \tau_{rc}` and a bias of 3/4, with which their rates differ from :math:`s` times the
    activation by :math:`1 / (4 \tau_{rc})` at most.
    """
    arguments: dict[str, Any] = {}
    state = getattr(neurons, "state", {})
    if initial_voltage is not None and "voltage" in state:
        given = dict(getattr(neurons, "initial_state", None) or {})
        if nengo.utils.numpy.is_number(initial_voltage):
            initial_voltage = nengo.dists.Choice([initial_voltage])
        arguments["initial_state"] = {"voltage": initial_voltage, **given}
    gain, offset = 1.0, 0.0
    if scale is not None:
        if not hasattr(neurons, "amplitude"):
            return None
        arguments["amplitude"] = neurons.amplitude / scale
        gain = scale
        if isinstance(neurons, nengo.LIFRate):
            gain, offset = scale * neurons.tau_rc, 0.75
    if arguments:
        neurons = type(neurons)(**{**_arguments(neurons), **arguments})
    return Drive(neurons, gain, offset, 1.0 if scale is None else scale)
