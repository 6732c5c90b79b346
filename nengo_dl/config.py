"""Settings of networks and objects that only this simulator knows.

They live in Nengo's own configuration system, so they follow its rules: a setting of
one object beats one of the nearest network, which beats one of the networks around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.ensemble import Neurons
from nengo.exceptions import ConfigError, NetworkContextError, ValidationError
from nengo.params import Parameter
from nengo.utils.numpy import is_number

__all__ = [
    "SURROGATE_SHAPES",
    "Settings",
    "Surrogate",
    "configure_settings",
    "get_setting",
]

#: Names of the surrogate derivatives.
SURROGATE_SHAPES = (
    "fast_sigmoid",
    "arctan",
    "triangular",
    "gaussian",
    "straight_through",
)


@dataclass(frozen=True)
class Surrogate:
    r"""Derivative to use in place of the one of a spike, which is zero or infinite.

    Parameters
    ----------
    shape : str or callable
        A name from the list below, or a function of a tensor ``x`` that returns the
        derivative.
    slope : float
        How narrow the derivative is (not used by ``"straight_through"``).

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
        if not is_number(self.slope) or not self.slope > 0:
            raise ValidationError(
                f"Must be a positive number (got {self.slope!r})",
                attr="slope",
                obj=self,
            )


def _check_trainable(value: Any) -> bool | None:
    if value not in (None, True, False):
        raise ValidationError(
            f"Must be True, False or None (got {value!r})", attr="trainable"
        )
    return value


def _check_smoothing(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value) or isinstance(value, bool) or not value > 0:
        raise ValidationError(
            f"Must be a positive number, or None for no smoothing (got {value!r})",
            attr="lif_smoothing",
        )
    return float(value)


def _check_surrogate(value: Any) -> Surrogate | None:
    if value is None or isinstance(value, Surrogate):
        return value
    if isinstance(value, str) or callable(value):
        return Surrogate(value)
    raise ValidationError(
        "Must be a nengo_dl.Surrogate, a callable, None, or one of "
        f"{', '.join(SURROGATE_SHAPES)} (got {value!r})",
        attr="surrogate",
    )


@dataclass(frozen=True)
class _Kind:
    """What is known about a setting: where it applies, and what it may be."""

    classes: tuple[type, ...]
    check: Callable[[Any], Any]


_KINDS: dict[str, _Kind] = {
    "trainable": _Kind(
        (nengo.Ensemble, nengo.Connection, Neurons, nengo.Node, nengo.Probe),
        _check_trainable,
    ),
    "lif_smoothing": _Kind((nengo.Ensemble,), _check_smoothing),
    "surrogate": _Kind((nengo.Ensemble,), _check_surrogate),
}


class _SettingParam(Parameter):
    """A parameter of Nengo's configuration system that checks our values."""

    def __init__(self, name: str):
        super().__init__(name, default=None, optional=True)

    def coerce(self, instance, value):  # numpydoc: inherits
        """Return the value in its normal form."""
        return super().coerce(instance, _KINDS[self.name].check(value))


def configure_settings(**settings: Any) -> None:
    """Make settings available in a network, and set their values.

    To be called inside a network's context. The settings become part of the network's
    configuration: ``net.config[nengo.Ensemble].trainable`` is the value for all its
    ensembles, ``net.config[ens].trainable`` that of one of them. Networks inside it
    follow, unless they have settings of their own.

    Parameters
    ----------
    trainable : bool or None
        Whether training changes the parameters of an object: encoders of an
        `nengo.Ensemble`, biases of its `nengo.ensemble.Neurons`, weights of a
        `nengo.Connection`, and of the one that belongs to a decoded `nengo.Probe`;
        weights of a `nengo_dl.TensorNode` (a `nengo.Node` for this purpose).
        None stands for True, but for False for probes and for whatever a learning rule
        changes.
    lif_smoothing : float or None
        Train `nengo.LIF` and `nengo.LIFRate` ensembles with the rates of
        `nengo_dl.SoftLIFRate` with this ``sigma``. None: with exact LIF rates.
    surrogate : Surrogate or str or callable or None
        Train spiking ensembles with spikes, and this derivative in place of that of a
        spike; see `Surrogate`. None: with their rates.

    Raises
    ------
    ConfigError
        If there is no such setting.
    NetworkContextError
        If this is not called inside a network's context.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     nengo_dl.configure_settings(trainable=None)
    ...     a = nengo.Ensemble(10, 1)
    ...     b = nengo.Ensemble(10, 1)
    >>> net.config[nengo.Ensemble].trainable = False
    >>> net.config[b].trainable = True
    """
    unknown = sorted(set(settings) - set(_KINDS))
    if unknown:
        raise ConfigError(
            f"There is no setting {', '.join(map(repr, unknown))}; the settings are "
            f"{', '.join(_KINDS)}"
        )
    if len(nengo.Network.context) == 0:
        raise NetworkContextError(
            "configure_settings must be called inside a network: "
            "with net: nengo_dl.configure_settings(...)"
        )
    config = nengo.Network.context[-1].config
    for name, value in settings.items():
        for cls in _KINDS[name].classes:
            _class_params(config, cls, name)
            setattr(config[cls], name, value)


def _class_params(config: nengo.Config, cls: type, name: str) -> None:
    if cls not in config.params:
        config.configures(cls)
    if name not in config[cls].extra_params:
        config[cls].set_param(name, _SettingParam(name))


def get_setting(network: nengo.Network, obj: Any, name: str) -> Any:
    """Return the value of a setting for an object of a network.

    Parameters
    ----------
    network : Network
        The network that is simulated.
    obj : Ensemble or Connection or Neurons or Probe
        An object of it, or of a network inside it.
    name : str
        Name of the setting.

    Returns
    -------
    object
        The value; None if none was set.

    Raises
    ------
    ConfigError
        If there is no such setting.
    """
    if name not in _KINDS:
        raise ConfigError(
            f"There is no setting {name!r}; the settings are {', '.join(_KINDS)}"
        )
    return Settings(network).value(obj, name)


class Settings:
    """Looks settings up for all objects of a network.

    Parameters
    ----------
    network : Network or None
        The outermost network; without one, nothing is set.
    """

    def __init__(self, network: nengo.Network | None):
        self._around: dict[Any, tuple[nengo.Network, ...]] = {}
        if network is not None:
            self._visit(network, ())

    def _visit(self, network: nengo.Network, around: tuple[nengo.Network, ...]) -> None:
        around = (network, *around)
        for objects in (
            network.ensembles,
            network.connections,
            network.nodes,
            network.probes,
        ):
            for obj in objects:
                self._around[obj] = around
        for inner in network.networks:
            self._visit(inner, around)

    def value(self, obj: Any, name: str, default: Any = None) -> Any:
        """Return the value of a setting for an object, or a default."""
        own = self.own_value(obj, name)
        if own is not None:
            return own
        for config in self._configs(obj):
            value = getattr(_params(config, type(obj), name), name, None)
            if value is not None:
                return value
        return default

    def own_value(self, obj: Any, name: str) -> Any:
        """Return the value that was set for this one object, or None."""
        for config in self._configs(obj):
            if obj in config.params and _params(config, type(obj), name) is not None:
                params = config[obj]
                if name in params:
                    return getattr(params, name)
        return None

    def _configs(self, obj: Any) -> list[nengo.Config]:
        owner = obj.ensemble if isinstance(obj, Neurons) else obj
        return [network.config for network in self._around.get(owner, ())]


def _params(config: nengo.Config, cls: type, name: str) -> Any:
    """Return the parameters of a class if it has a setting, else None."""
    known: Mapping[Any, Any] = config.params
    for ancestor in cls.__mro__:
        if ancestor in known and name in known[ancestor].extra_params:
            return known[ancestor]
    return None
