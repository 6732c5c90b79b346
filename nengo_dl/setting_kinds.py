"""The settings that this simulator knows, and what their values may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

__all__ = [
    "INSTEAD",
    "KINDS",
    "MIXED",
    "MOST_UNROLLED",
    "PLANNERS",
    "SIMPLIFICATIONS",
    "SURROGATE_SHAPES",
    "Kind",
    "Surrogate",
    "floating_dtype",
    "product_dtype",
]

#: Most steps in the body of a loop: TensorFlow would take minutes to trace more.
MOST_UNROLLED = 1000

#: Types of products, by the names that Keras has for precisions that are mixed.
#: (Products in float16 overflow, and need scaled losses.)
MIXED = {"mixed_bfloat16": "bfloat16"}

#: Names of the planners.
PLANNERS = ("greedy", "none")

#: Names of the rules that simplify a program, in the order in which they are applied.
SIMPLIFICATIONS = ("find_aliases", "remove_zero_resets", "remove_unread")

#: Names of the surrogate derivatives.
SURROGATE_SHAPES = (
    "fast_sigmoid",
    "arctan",
    "triangular",
    "gaussian",
    "straight_through",
)


#: What took the place of settings of the older library.
INSTEAD = {
    "use_loop": "leave it out, a single step is compiled without a loop",
    "learning_phase": "leave it out, train and fit use the training behaviour, run, "
    "predict and evaluate that of inference, and loss(..., training=True) the former",
    "sorter": "planner decides the order of operators, too",
    "session_config": "there are no sessions in TensorFlow 2",
}


@dataclass(frozen=True)
class Surrogate:
    r"""Derivative to use in place of the one of a spike, which is zero or infinite.

    Parameters
    ----------
    shape : str or callable
        A name from the list below, or a function of a tensor ``x`` that returns the
        derivative.
    slope : float, optional
        How narrow the derivative is (not used by ``"straight_through"``). A function
        gets ``x`` itself, and has no slope but its own.

    Raises
    ------
    ValidationError
        If the shape is unknown or the slope is not positive.

    Notes
    -----
    With :math:`x` the distance of the membrane voltage from its threshold, in units of
    the distance between reset and threshold, and :math:`z` the product of slope and
    :math:`x`, the derivatives are

    - ``"fast_sigmoid"`` [1]_: :math:`(1 + |z|)^{-2}`
    - ``"arctan"`` [2]_: :math:`(1 + (\pi z / 2)^2)^{-1}`
    - ``"triangular"`` [3]_: :math:`\max(0, 1 - |z|)`
    - ``"gaussian"``: :math:`e^{-z^2 / 2}`
    - ``"straight_through"`` [4]_: 1

    Pickled, this becomes the tuple ``(shape, slope)``, which the setting ``surrogate``
    takes, too: a pickled network can be read where nengo_dl is not installed.

    References
    ----------
    .. [1] F. Zenke, S. Ganguli. SuperSpike: Supervised learning in multilayer spiking
       neural networks. Neural Computation 30(6), 2018, 1514-1541.
    .. [2] W. Fang et al. Incorporating learnable membrane time constant to enhance
       learning of spiking neural networks. ICCV 2021, 2661-2671.
    .. [3] S. K. Esser et al. Convolutional networks for fast, energy-efficient
       neuromorphic computing. PNAS 113(41), 2016, 11441-11446.
    .. [4] Y. Bengio, N. Léonard, A. Courville. Estimating or propagating gradients
       through stochastic neurons for conditional computation. arXiv:1308.3432, 2013.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     nengo_dl.configure_settings(surrogate=nengo_dl.Surrogate("arctan", slope=2))
    ...     ensemble = nengo.Ensemble(10, 1)
    >>> nengo_dl.get_setting(net, ensemble, "surrogate").slope
    2
    """

    shape: str | Callable[[Any], Any] = "fast_sigmoid"
    slope: float = 5.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not callable(self.shape) and self.shape not in SURROGATE_SHAPES:
            raise ValidationError(
                f"Must be a callable or one of {', '.join(SURROGATE_SHAPES)} "
                f"(got {self.shape!r})",
                attr="shape",
                obj=self,
            )
        if isinstance(self.slope, bool) or not (
            is_number(self.slope) and 0 < self.slope < np.inf
        ):
            raise ValidationError(
                f"Must be a positive number (got {self.slope!r})",
                attr="slope",
                obj=self,
            )
        if callable(self.shape) and self.slope != Surrogate.slope:
            raise ValidationError(
                "A function is given the distance from the threshold itself: put the "
                f"slope into it, such as lambda x: f({self.slope:g} * x)",
                attr="slope",
                obj=self,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as a tuple."""
        return tuple, ((self.shape, self.slope),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Surrogate:
        """Return itself: nothing of it can be changed."""
        return self

    def __copy__(self) -> Surrogate:
        """Return itself: nothing of it can be changed."""
        return self


def product_dtype(dtype: Any) -> str | None:
    """Return the type of products of a precision that is mixed, as Keras names it.

    Parameters
    ----------
    dtype : str or keras.DTypePolicy or object
        ``"mixed_bfloat16"``, or a precision that is not mixed.

    Returns
    -------
    str or None
        ``"bfloat16"``; None if all values have one type.
    """
    name = getattr(dtype, "name", dtype)
    return MIXED.get(name) if isinstance(name, str) else None


def floating_dtype(dtype: Any) -> np.dtype | None:
    """Return the NumPy type of a precision, or None if it is none that is supported.

    Parameters
    ----------
    dtype : tf.DType or str or numpy.dtype or type
        float32 or float64 in any of their forms; float32 for what is mixed.
    """
    if product_dtype(dtype) is not None:
        return np.dtype(np.float32)
    try:
        found = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    except TypeError:
        return None
    known = dtype is not None and found in (np.float32, np.float64)
    return found if known else None


def _flag(name: str) -> Callable[[Any], bool | None]:
    def check(value: Any) -> bool | None:
        if value is None or isinstance(value, bool | np.bool_):
            return None if value is None else bool(value)
        raise ValidationError(f"Must be True, False or None (got {value!r})", attr=name)

    return check


def _check_smoothing(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value) or isinstance(value, bool) or not 0 < value < np.inf:
        raise ValidationError(
            f"Must be a positive number, or None for no smoothing (got {value!r})",
            attr="lif_smoothing",
        )
    return float(value)


def _check_zero_bias(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value) or isinstance(value, bool) or not np.isfinite(value):
        raise ValidationError(
            f"Must be a number, or None (got {value!r})", attr="zero_bias"
        )
    return float(value)


def _check_surrogate(value: Any) -> Surrogate | None:
    if value is None or isinstance(value, Surrogate):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Surrogate(*value)
    if isinstance(value, str) or callable(value):
        return Surrogate(value)
    raise ValidationError(
        "Must be a nengo_dl.Surrogate, a callable, None, or one of "
        f"{', '.join(SURROGATE_SHAPES)} (got {value!r})",
        attr="surrogate",
    )


def _check_planner(value: Any) -> str | Callable | None:
    if value is None or callable(value):
        return value
    if isinstance(value, str) and value in PLANNERS:
        return value
    raise ValidationError(
        f"Must be one of {', '.join(map(repr, PLANNERS))}, a function "
        f"planner(operators, before, keys), or None (got {value!r})",
        attr="planner",
    )


def _check_simplifications(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    fine = isinstance(value, Sequence) and not isinstance(value, str)
    if not fine or any(name not in SIMPLIFICATIONS for name in value):
        raise ValidationError(
            f"Must be a list of some of {', '.join(map(repr, SIMPLIFICATIONS))}, or "
            f"None for all of them (got {value!r})",
            attr="simplifications",
        )
    if len(set(value)) < len(value):
        raise ValidationError(
            f"Each rule can be applied once only (got {value!r})",
            attr="simplifications",
        )
    return tuple(value)


def _check_dtype(value: Any) -> np.dtype | str | None:
    if value is None:
        return None
    if product_dtype(value) is not None:
        return str(getattr(value, "name", value))
    found = floating_dtype(value)
    if found is None:
        raise ValidationError(
            f"Must be tf.float32, tf.float64, 'mixed_bfloat16' or None (got {value!r})",
            attr="dtype",
        )
    return found


def _check_memory(value: Any) -> int | None:
    if value is None:
        return None
    if not is_integer(value) or isinstance(value, bool) or value < 1:
        raise ValidationError(
            "Must be a positive number of bytes, such as 2**30, or None "
            f"(got {value!r})",
            attr="training_memory",
        )
    return int(value)


def _check_unroll(value: Any) -> int | None:
    if value is None:
        return None
    fine = is_integer(value) and not isinstance(value, bool)
    if not fine or not 1 <= value <= MOST_UNROLLED:
        raise ValidationError(
            f"Must be an integer from 1 to {MOST_UNROLLED}, or None (got {value!r})",
            attr="unroll_simulation",
        )
    return int(value)


@dataclass(frozen=True)
class Kind:
    """What is known about a setting.

    Attributes
    ----------
    classes : tuple of type
        The classes of objects to which it applies; `nengo.Network` for what can only be
        set for a simulation as a whole.
    check : callable
        Returns a value in its normal form, or raises a ValidationError.
    only_explicit : tuple of type
        Further classes whose objects can have it, if it is set for them alone.
    """

    classes: tuple[type, ...]
    check: Callable[[Any], Any]
    only_explicit: tuple[type, ...] = ()

    @property
    def is_global(self) -> bool:
        """Whether it belongs to a simulation as a whole."""
        return self.classes == (nengo.Network,)


#: All settings, by name.
KINDS: dict[str, Kind] = {
    "trainable": Kind(
        (nengo.Ensemble, nengo.Connection, Neurons, nengo.Probe),
        _flag("trainable"),
        only_explicit=(nengo.Node, nengo.Network),
    ),
    "lif_smoothing": Kind((nengo.Ensemble,), _check_smoothing),
    "surrogate": Kind((nengo.Ensemble,), _check_surrogate),
    "zero_bias": Kind((nengo.Ensemble,), _check_zero_bias),
    "can_be_fed": Kind((nengo.Node,), _flag("can_be_fed")),
    "keep_history": Kind((nengo.Probe,), _flag("keep_history")),
    "sparse_events": Kind((nengo.Probe,), _flag("sparse_events")),
    "planner": Kind((nengo.Network,), _check_planner),
    "simplifications": Kind((nengo.Network,), _check_simplifications),
    "dtype": Kind((nengo.Network,), _check_dtype),
    "inference_only": Kind((nengo.Network,), _flag("inference_only")),
    "stateful": Kind((nengo.Network,), _flag("stateful")),
    "training_memory": Kind((nengo.Network,), _check_memory),
    "shared_parameters": Kind((nengo.Network,), _flag("shared_parameters")),
    "jit_compile": Kind((nengo.Network,), _flag("jit_compile")),
    "unroll_simulation": Kind((nengo.Network,), _check_unroll),
}
