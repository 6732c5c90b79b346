"""Parameters of each neuron, and the step of a membrane."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.params import Parameter
from nengo.utils.numpy import array_hash

__all__ = [
    "Numbers",
    "PerNeuronParam",
    "advance",
    "check_sizes",
    "fit",
    "membrane_factor",
    "retained",
]

Numbers = float | np.ndarray


class PerNeuronParam(Parameter):
    """A number for all neurons of a population, or an array with one for each.

    Parameters
    ----------
    name : str
        Name of the attribute.
    positive : bool
        Whether values must be above zero.
    infinite : bool
        Whether values may be infinite.
    """

    equatable = True

    def __init__(self, name: str, positive: bool = False, infinite: bool = False):
        super().__init__(name)
        self.positive = positive
        self.infinite = infinite

    def coerce(self, instance: Any, value: Any) -> Numbers:  # numpydoc: inherits
        """Return a float, or a read-only array of one axis."""
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValidationError(
                f"must be a number or an array of numbers; got {value!r}",
                attr=self.name,
                obj=instance,
            ) from error
        if array.ndim > 1 or array.size == 0:
            raise ValidationError(
                "must be a number, or an array with one number for each neuron; got "
                f"the shape {array.shape}",
                attr=self.name,
                obj=instance,
            )
        allowed = ~np.isnan(array) if self.infinite else np.isfinite(array)
        if self.positive:
            allowed &= array > 0
        if not np.all(allowed):
            kind = "above 0" if self.positive else "finite"
            if self.positive and not self.infinite:
                kind += " and finite"
            raise ValidationError(
                f"must be {kind}; got {array[~allowed].flat[0]}",
                attr=self.name,
                obj=instance,
            )
        if array.ndim == 0:
            return super().coerce(instance, float(array))
        array.setflags(write=False)
        return super().coerce(instance, array)

    def hashvalue(self, instance: Any) -> int:  # numpydoc: inherits
        """Return a hash of the number or of the array."""
        value = getattr(instance, self.name)
        return hash(value) if isinstance(value, float) else array_hash(value)


def membrane_factor(tau_rc: Numbers, dt: float, method: str) -> Numbers:
    r"""Return by what fraction a membrane approaches its target in a step.

    Parameters
    ----------
    tau_rc : float or ndarray
        Time constants, in seconds; infinite for membranes without leak.
    dt : float
        Length of the step, in seconds.
    method : "euler" or "exact"
        How the differential equation is solved.

    Returns
    -------
    float or ndarray
        :math:`dt / \tau_{rc}` or :math:`1 - e^{-dt / \tau_{rc}}`, and ``dt`` where
        there is no leak.
    """
    ratio = dt / tau_rc
    factor = ratio if method == "euler" else -np.expm1(-ratio)
    factor = np.where(np.isinf(tau_rc), dt, factor)
    return factor if factor.ndim else float(factor)


def retained(tau_rc: Numbers) -> Numbers:
    """Return 1 where membranes leak, else 0: what of the voltage pulls it to rest."""
    leaks = np.where(np.isinf(tau_rc), 0.0, 1.0)
    return leaks if leaks.ndim else float(leaks)


def fit(value: Numbers, n_neurons: int) -> Numbers:
    """Repeat an array for equal populations that a simulator merged."""
    if isinstance(value, float) or len(value) in (1, n_neurons):
        return value
    return np.tile(value, n_neurons // len(value))


def advance(voltage: np.ndarray, J: np.ndarray, factor: Any, leak: Any) -> None:
    """Move voltages towards currents by a fraction, or without leak by currents."""
    factor, leak = fit(factor, J.shape[-1]), fit(leak, J.shape[-1])
    voltage += factor * (J - leak * voltage)


def check_sizes(neurons: Any, n_neurons: int) -> None:
    """Raise an error if a parameter has another number of values than neurons."""
    for param in neurons._params:
        size = np.size(getattr(neurons, param.name))
        if isinstance(param, PerNeuronParam) and size not in (1, n_neurons):
            raise ValidationError(
                f"has {size} numbers, for a population of {n_neurons} neurons; pass "
                "one number, or one for each neuron",
                attr=param.name,
                obj=neurons,
            )
