"""What NIR has for the neuron types of Nengo; a row for each type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.neurons import NeuronType

from nengo_dl.neurons import CubaLIF, Heaviside, LeakyIntegrator, ResetLIF
from nengo_dl.neurons.parameters import membrane_factor

__all__ = ["Population", "Writing", "find_population", "time_constants"]


@dataclass(frozen=True)
class Writing:
    """How numbers are written.

    Attributes
    ----------
    dt : float
        Length of a step, in seconds.
    method : "euler" or "exact"
        How readers are to solve differential equations.
    """

    dt: float
    method: str


@dataclass
class Population:
    """What stands for a population of neurons.

    Attributes
    ----------
    kind : str
        Type of node.
    values : dict of {str: float or ndarray}
        Fields, except for gain and bias.
    scale : float
        Output of the neurons in Nengo where that of the node is 1.
    gain_field, bias_field : str or None
        Fields that multiply the input, and are added after that.
    approximated, left_out : list of str
        What is different.
    """

    kind: str
    values: dict[str, Any]
    scale: float
    gain_field: str | None = "r"
    bias_field: str | None = "v_leak"
    approximated: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def time_constants(tau: Any, method: str, writing: Writing) -> Any:
    r"""Return time constants with which a reader takes the same steps.

    A reader that uses another method than the network gets constants with which the
    factor of a step, :math:`dt / \tau` or :math:`1 - e^{-dt / \tau}`, is the same.
    """
    if method == writing.method:
        return tau
    factor = membrane_factor(tau, writing.dt, method)
    if writing.method == "euler":
        return writing.dt / factor
    if np.any(np.asarray(factor) >= 1):
        raise ValidationError(
            f"time constants of {np.min(tau)} s are too short for method='exact' with "
            f"steps of {writing.dt} s; pass method='euler'",
            attr="method",
        )
    return -writing.dt / np.log1p(-factor)


_Make = Callable[[Any, Writing], Population]
_ROWS: dict[type, _Make] = {}


def _writes(neuron_type: type[NeuronType]) -> Callable[[_Make], _Make]:
    def decorate(make: _Make) -> _Make:
        if neuron_type in _ROWS:
            raise ValueError(f"{neuron_type.__name__} has a row")
        _ROWS[neuron_type] = make
        return make

    return decorate


def find_population(ensemble: nengo.Ensemble, writing: Writing) -> Population:
    """Return what stands for the neurons of an ensemble.

    Parameters
    ----------
    ensemble : nengo.Ensemble
        The ensemble.
    writing : Writing
        How numbers are written.

    Returns
    -------
    Population
        Node and losses.

    Raises
    ------
    ValidationError
        If NIR has nothing like it.
    """
    neurons = ensemble.neuron_type
    if type(neurons) not in _ROWS:
        names = ", ".join(sorted(kind.__name__ for kind in _ROWS))
        raise ValidationError(
            f"{ensemble} has {type(neurons).__name__} neurons, for which NIR has no "
            f"node; it has some for {names}",
            attr="neuron_type",
            obj=ensemble,
        )
    return _ROWS[type(neurons)](neurons, writing)


def _no_leak(neurons: Any, kind: str) -> bool:
    infinite = np.isinf(neurons.tau_rc)
    if np.any(infinite) and not np.all(infinite):
        raise ValidationError(
            f"{type(neurons).__name__} neurons with and without leak are in one "
            f"population; NIR has no node {kind} for both, so divide the ensemble",
            attr="tau_rc",
            obj=neurons,
        )
    return bool(np.all(infinite))


@_writes(nengo.LIF)
def _lif(neurons: nengo.LIF, writing: Writing) -> Population:
    values = {"tau": neurons.tau_rc, "v_threshold": 1.0, "v_reset": 0.0}
    found = Population("LIF", values, neurons.amplitude / writing.dt)
    found.approximated.append(
        "spikes happen at the end of a step, and what the voltage is above the "
        "threshold is lost; nengo_dl.ResetLIF does the same"
    )
    if writing.method == "euler":
        found.approximated.append("the membrane is solved with Euler's method")
    if neurons.tau_ref > 0:
        found.left_out.append(f"the refractory period of {neurons.tau_ref} s")
    if np.isfinite(neurons.min_voltage):
        found.left_out.append(f"the lowest voltage of {neurons.min_voltage}")
    return found


@_writes(nengo.AdaptiveLIF)
def _adaptive_lif(neurons: nengo.AdaptiveLIF, writing: Writing) -> Population:
    found = _lif(neurons, writing)
    found.left_out.append(f"the adaptation, with a time constant of {neurons.tau_n} s")
    return found


@_writes(nengo.SpikingRectifiedLinear)
def _spiking_rectified(
    neurons: nengo.SpikingRectifiedLinear, writing: Writing
) -> Population:
    values = {"v_threshold": 1.0, "v_reset": 0.0}
    found = Population("IF", values, neurons.amplitude / writing.dt, bias_field=None)
    found.approximated.append(
        "a spike resets to zero instead of taking 1 from the voltage, there is at most "
        "one in a step, and currents below zero lower the voltage"
    )
    return found


@_writes(ResetLIF)
def _reset_lif(neurons: ResetLIF, writing: Writing) -> Population:
    values = {"v_threshold": neurons.threshold, "v_reset": neurons.reset}
    scale = neurons.amplitude / writing.dt
    if _no_leak(neurons, "LIF or IF"):
        return Population("IF", values, scale, bias_field=None)
    values["tau"] = time_constants(neurons.tau_rc, neurons.method, writing)
    return Population("LIF", values, scale)


@_writes(CubaLIF)
def _cuba_lif(neurons: CubaLIF, writing: Writing) -> Population:
    if _no_leak(neurons, "CubaLIF"):
        raise ValidationError(
            "CubaLIF neurons without leak have no node in NIR",
            attr="tau_rc",
            obj=neurons,
        )
    values = {
        "v_threshold": neurons.threshold,
        "v_reset": neurons.reset,
        "tau_mem": time_constants(neurons.tau_rc, neurons.method, writing),
        "tau_syn": time_constants(neurons.tau_syn, neurons.method, writing),
        "r": 1.0,
        "v_leak": 0.0,
    }
    scale = neurons.amplitude / writing.dt
    # the bias of Nengo comes through the synapse
    return Population("CubaLIF", values, scale, gain_field="w_in", bias_field=None)


@_writes(LeakyIntegrator)
def _leaky_integrator(neurons: LeakyIntegrator, writing: Writing) -> Population:
    if _no_leak(neurons, "LI or I"):
        return Population("I", {}, neurons.amplitude, bias_field=None)
    tau = time_constants(neurons.tau_rc, neurons.method, writing)
    return Population("LI", {"tau": tau}, neurons.amplitude)


@_writes(Heaviside)
def _heaviside(neurons: Heaviside, writing: Writing) -> Population:
    values = {"threshold": neurons.threshold}
    return Population("Threshold", values, neurons.amplitude, None, None)
