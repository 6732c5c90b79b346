"""Settings of networks and objects that only this simulator knows.

They live in Nengo's own configuration system, so they follow its rules: a setting of
one object beats one of the nearest network, which beats one of the networks around it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.ensemble import Neurons
from nengo.exceptions import ConfigError, NetworkContextError, ValidationError
from nengo.params import Parameter

from nengo_dl.setting_kinds import (
    INSTEAD,
    KINDS,
    SIMPLIFICATIONS,
    SURROGATE_SHAPES,
    Surrogate,
)
from nengo_dl.support.user_warnings import warn_user

__all__ = [
    "SURROGATE_SHAPES",
    "NetworkSettings",
    "Settings",
    "Surrogate",
    "configure_settings",
    "get_setting",
]


_SINGLE = np.dtype(np.float32)


class _SettingParam(Parameter):
    """A parameter of Nengo's configuration system that checks our values."""

    def __init__(self, name: str):
        super().__init__(name, default=None, optional=True)

    def coerce(self, instance, value):  # numpydoc: inherits
        """Return the value in its normal form."""
        return super().coerce(instance, KINDS[self.name].check(value))

    def __reduce_ex__(self, protocol):
        """Pickle as Nengo's own class, so that nengo_dl need not be installed there."""
        return Parameter, (self.name, None, True), self.__getstate__()

    def __deepcopy__(self, memo):
        """Return a copy that checks values, too."""
        made = _SettingParam(self.name)
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return made


def configure_settings(**settings: Any) -> None:
    """Make settings available in a network, and set their values.

    Call this inside a network's context. The settings become part of the network's
    configuration: ``net.config[nengo.Ensemble].trainable`` is the value for all its
    ensembles, ``net.config[ens].trainable`` that of one of them. Subnetworks inherit
    settings, unless they have their own.

    Parameters
    ----------
    trainable : bool or None
        Whether training changes the parameters of an object: encoders of an
        `nengo.Ensemble`, biases of its `nengo.ensemble.Neurons`, weights of a
        `nengo.Connection`, and of the connection to a decoded `nengo.Probe`.
        None means False for probes and for parameters that a learning rule changes,
        and True for all others. This does not affect the weights of a
        `nengo_dl.TensorNode`, which are trained unless ``net.config[node].trainable``
        or ``net.config[nengo.Node].trainable`` is False.
        ``net.config[inner].trainable`` sets it for all objects of a subnetwork.
    lif_smoothing : float or None
        Train `nengo.LIF` and `nengo.LIFRate` ensembles with the rates of
        `nengo_dl.SoftLIFRate` with this ``sigma``. None: with exact LIF rates.
    surrogate : Surrogate or str or callable or None
        Train spiking ensembles with spikes, and use this derivative instead of that
        of a spike; see `Surrogate`. None: train with their rates.
    zero_bias : float or None
        The bias for an input of zero, for ensembles that compute activation functions
        (made by `nengo_dl.Converter`). Their gains are then not parameters, but scale
        activations to firing rates. `Simulator.load_params` keeps these gains and
        scales biases, so that it can load files saved with other rates.
    can_be_fed : bool or None
        Whether data can replace the output of a Node (None: True). With False,
        the Node is not an input for ``input_feeds``, ``train`` and ``fit``.
    keep_history : bool or None
        Whether a Probe keeps the values of all time steps (None: True), or only the one
        of the last step. In training, an objective then sees just the last step.
    sparse_events : bool or None
        Whether a Probe keeps only values that are not zero, such as spikes (None:
        False). Memory then grows with the number of spikes, not of steps, and
        ``sim.data`` shows an `EventArray`.
    planner : "greedy" or "none" or callable or None
        Decides which operators run as one group, and in which order; see
        `nengo_dl.compiler.planners`. ``"greedy"`` (None) merges as many as possible,
        except for large ones; ``"none"`` merges nothing. A function
        ``planner(operators, before, keys)`` returns lists of positions in the list of
        operators; its result is checked.
    simplifications : list of str or None
        The rules that remove operators before they are merged, in the order in which
        they are applied: some of ``"find_aliases"``, ``"remove_zero_resets"`` and
        ``"remove_unread"``. None applies all of them, an empty list none.
    dtype : tf.DType or str or numpy.dtype or None
        Precision of simulators of this network, unless they get the argument. None:
        float32.
        ``"mixed_bfloat16"``: see `Simulator`.
    inference_only : bool or None
        Whether training is an error: `Simulator.train` then raises one. Parameters
        that training would change then share variables with others, which hardly
        makes runs faster.
    stateful : bool or None
        Whether each run continues where the last one ended (None: True). With False,
        each call of ``run``, ``run_steps`` or ``step`` starts at time 0 from the
        initial state, and leaves the state as it was; probes show the last call only.
    training_memory : int or None
        Bytes of memory that training of one minibatch may take, as they are estimated;
        where it would take more, it keeps less and computes it again. None: half of the
        computer's memory, on CPUs.
    shared_parameters : bool or None
        Whether time constants, amplitudes, learning rates and similar numbers are
        inputs of compiled programs (None: False). Simulators that differ only in these
        then share a program, whose steps are a little slower. See `nengo_dl.programs`.
    jit_compile : bool or None
        Default of the argument of `Simulator`.
    unroll_simulation : int or None
        Default of the argument of `Simulator`.

    Raises
    ------
    ConfigError
        If there is no such setting.
    ValidationError
        If a setting cannot have this value.
    NetworkContextError
        If this is not called inside a network's context.

    Notes
    -----
    The settings from ``planner`` on apply to a simulation as a whole. They are stored
    as ``net.config[nengo.Network].dtype`` and so on. Only those of the simulated
    network are used; a simulator warns of other values in subnetworks.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     nengo_dl.configure_settings(trainable=None)
    ...     a = nengo.Ensemble(10, 1)
    ...     b = nengo.Ensemble(10, 1)
    >>> net.config[nengo.Ensemble].trainable = False
    >>> net.config[b].trainable = True

    >>> with net:
    ...     nengo_dl.configure_settings(dtype="float64", stateful=False)
    >>> with nengo_dl.Simulator(net) as sim:
    ...     sim.dtype
    dtype('float64')
    """
    unknown = sorted(set(settings) - set(KINDS))
    if unknown:
        hints = [f"{name}: {INSTEAD[name]}" for name in unknown if name in INSTEAD]
        raise ConfigError(
            f"There is no setting {', '.join(map(repr, unknown))}; "
            + ("; ".join(hints) or f"the settings are {', '.join(KINDS)}")
        )
    if len(nengo.Network.context) == 0:
        raise NetworkContextError(
            "configure_settings must be called inside a network: "
            "with net: nengo_dl.configure_settings(...)"
        )
    config = nengo.Network.context[-1].config
    for name, value in settings.items():
        kind = KINDS[name]
        for cls in (*kind.classes, *kind.only_explicit):
            _class_params(config, cls, name)
        for cls in kind.classes:
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
    obj : Ensemble or Connection or Neurons or Probe or Network
        An object of the network, or of a subnetwork; a network for the settings of a
        simulation as a whole.
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
    ValidationError
        If the first argument is not a network, or the object does not belong to it.

    Examples
    --------
    >>> with nengo.Network() as net:
    ...     nengo_dl.configure_settings(trainable=False)
    ...     ensemble = nengo.Ensemble(10, 1)
    >>> nengo_dl.get_setting(net, ensemble, "trainable")
    False
    """
    if not isinstance(network, nengo.Network):
        raise ValidationError(
            f"Must be the nengo.Network that is simulated (got {network!r})",
            attr="network",
        )
    if name not in KINDS:
        raise ConfigError(
            f"There is no setting {name!r}; the settings are {', '.join(KINDS)}"
        )
    settings = Settings(network)
    if not settings.knows(obj):
        raise ValidationError(
            f"Must be the network, or one of its objects (got {obj!r})", attr="obj"
        )
    return settings.value(obj, name)


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a simulation as a whole; see `configure_settings`.

    Attributes
    ----------
    planner : str or callable
        A planner, or the name of one.
    simplifications : tuple of str
        Names of the rules to apply.
    dtype : numpy.dtype or str
        Default precision.
    product_dtype : str or None
        Type of products in training, if it is another one.
    inference_only, stateful, shared_parameters : bool
        As in `configure_settings`.
    jit_compile : bool or None
        Default of the simulator's argument.
    unroll_simulation : int
        Default of the simulator's argument.
    training_memory : int or None
        Bytes that training may take.
    """

    planner: str | Callable[..., Any] = "greedy"
    simplifications: tuple[str, ...] = SIMPLIFICATIONS
    dtype: np.dtype | str = _SINGLE
    product_dtype: str | None = None
    inference_only: bool = False
    stateful: bool = True
    shared_parameters: bool = False
    jit_compile: bool | None = None
    unroll_simulation: int = 1
    training_memory: int | None = None

    @classmethod
    def of(cls, network: nengo.Network | None) -> NetworkSettings:
        """Return the settings of a network that is to be simulated.

        Parameters
        ----------
        network : Network or None
            The outermost network.

        Returns
        -------
        NetworkSettings
            With defaults where nothing is set. A warning names other values in networks
            inside it, which do not count.
        """
        if network is None:
            return cls()
        settings = Settings(network)
        names = [name for name, kind in KINDS.items() if kind.is_global]
        found = {name: settings.value(network, name) for name in names}
        for inner in network.all_networks:
            ignored = []
            for name in names:
                value = settings.value(inner, name)
                if value is not None and (found[name] is None or value != found[name]):
                    ignored.append(name)
            if ignored:
                warn_user(
                    f"The settings {', '.join(ignored)} of {inner} are not used: only "
                    f"those of the simulated network, {network}, are",
                )
        return cls(**{k: value for k, value in found.items() if value is not None})


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
        self._around[network] = around
        for inner in network.networks:
            self._visit(inner, around)

    def knows(self, obj: Any) -> bool:
        """Whether an object is part of the network."""
        try:
            return bool(self._networks(obj))
        except TypeError:  # what cannot be a key is no object of Nengo
            return False

    def value(self, obj: Any, name: str, default: Any = None) -> Any:
        """Return the value of a setting for an object, or a default."""
        own = self.own_value(obj, name)
        if own is None and nengo.Network in KINDS[name].only_explicit:
            own = self._value_of_network(obj, name)
        if own is not None:
            return own
        for config in self._configs(obj):
            value = getattr(_params(config, type(obj), name), name, None)
            if value is not None:
                return KINDS[name].check(value)
        return default

    def _value_of_network(self, obj: Any, name: str) -> Any:
        """Return what was set for the nearest network around an object, or None.

        That a network is trained does not mean that its probes are.
        """
        for network in self._networks(obj):
            value = self.own_value(network, name)
            if value is not None:
                return None if value and isinstance(obj, nengo.Probe) else value
        return None

    def own_value(self, obj: Any, name: str) -> Any:
        """Return the value that was set for this one object, or None."""
        for config in self._configs(obj):
            if obj in config.params and _params(config, type(obj), name) is not None:
                params = config[obj]
                if name in params:  # of pickled networks, nothing was checked
                    return KINDS[name].check(getattr(params, name))
        return None

    def _configs(self, obj: Any) -> list[nengo.Config]:
        return [network.config for network in self._networks(obj)]

    def _networks(self, obj: Any) -> tuple[nengo.Network, ...]:
        owner = obj.ensemble if isinstance(obj, Neurons) else obj
        return self._around.get(owner, ())


def _params(config: nengo.Config, cls: type, name: str) -> Any:
    """Return the parameters of a class if it has a setting, else None."""
    known: Mapping[Any, Any] = config.params
    for ancestor in cls.__mro__:
        if ancestor in known and name in known[ancestor].extra_params:
            return known[ancestor]
    return None
