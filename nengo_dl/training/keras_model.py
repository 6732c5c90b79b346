"""A Keras model that shows what a simulator trains."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.ensemble import Neurons
from nengo.exceptions import ValidationError

from nengo_dl.config import Settings
from nengo_dl.support.errors import ErrorsOf
from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.keras_layer import SimulatorFunction
from nengo_dl.training.trained_parameters import Piece, TrainedParameters

__all__ = ["SimulatorModel"]


@dataclass(frozen=True, eq=False)
class _Units:
    """What currents of neurons that stand for an activation function mean.

    Attributes
    ----------
    gain : (n_neurons,) ndarray
        Current for an input of 1.
    zero_bias : float
        Bias for an input of zero.
    """

    gain: np.ndarray
    zero_bias: float

    def convert(self, attribute: str, value: np.ndarray, other: _Units) -> np.ndarray:
        """Return biases or encoders that belong to other units in these."""
        ratio = self.gain / other.gain
        if attribute == "encoders":
            return ratio[:, None] * value
        return self.zero_bias + ratio * (value - other.zero_bias)


class Parameters(keras.layers.Layer):
    """The trained parameters of one object of the network.

    Files hold the units of ensembles that stand for activation functions, too, so that
    they can be loaded where neurons fire at other rates, as those of ``load_params``.
    """

    def __init__(
        self,
        name: str,
        variables: Sequence[keras.Variable],
        attributes: Sequence[str],
        units: _Units | None,
    ):
        super().__init__(name=name)
        self.parameters = list(variables)
        object.__setattr__(self, "_meaning", (tuple(attributes), units))
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        """Store the variables by their number, and the units."""
        super().save_own_variables(store)
        _, units = self._meaning
        if units is not None:
            store["gain"] = units.gain
            store["zero_bias"] = np.asarray(units.zero_bias)

    def load_own_variables(self, store: Any) -> None:
        """Assign stored variables, in the units of the network."""
        names = list(store.keys())  # all that the entries of Keras's files have
        found = {name: np.asarray(store[name]) for name in names}
        gain, zero_bias = found.pop("gain", None), found.pop("zero_bias", 0.0)
        attributes, units = self._meaning
        if units is not None and gain is not None and gain.shape == units.gain.shape:
            other = _Units(gain, float(zero_bias))
            for number, attribute in enumerate(attributes):
                if str(number) in found:
                    value = found[str(number)]
                    found[str(number)] = units.convert(attribute, value, other)
        super().load_own_variables(found)


class SimulatorModel(keras.Model):
    """The trained parameters of a simulator as a Keras model.

    There is a layer for each object that has some, named after it. What is assigned to
    the weights is what the simulator uses next, and they show what it trained last.
    ``fit``, ``evaluate`` and ``predict`` are those of the simulator.

    Parameters
    ----------
    simulator : Simulator
        Whose parameters they are.
    parameters : TrainedParameters
        The parameters.
    inputs, outputs : dict of {str: object}
        Nodes that can be fed, and probes, by name.
    function : SimulatorFunction
        What the simulator computes, as a function of tensors.
    model : Model
        What Nengo built.
    """

    def __init__(
        self,
        simulator: Any,
        parameters: TrainedParameters,
        inputs: Mapping[str, nengo.Node],
        outputs: Mapping[str, nengo.Probe],
        function: SimulatorFunction,
        model: Model,
    ):
        super().__init__(name="simulator", dtype=function.dtype)
        # in tuples that Keras does not look into
        object.__setattr__(self, "_owner", (simulator, function))
        object.__setattr__(self, "_names", (dict(inputs), dict(outputs)))
        self.objects = _layers(parameters, model)
        self.stop_training = False
        self.built = True

    @property
    def simulator(self) -> Any:
        """The simulator."""
        return self._owner[0]

    @property
    def input_names(self) -> list[str]:
        """Names of the nodes that can be fed."""
        return list(self._names[0])

    @property
    def output_names(self) -> list[str]:
        """Names of the probes."""
        return list(self._names[1])

    @property
    def first_epoch(self) -> int:
        """Number of the first epoch of a training.

        Keras's `BackupAndRestore` has no other way to say where it goes on than to set
        this attribute; a test tells if the name changes.
        """
        return int(getattr(self, "_initial_epoch", None) or 0)

    @first_epoch.setter
    def first_epoch(self, epoch: int) -> None:
        self._initial_epoch = epoch

    def use(self, optimizer: Any) -> None:
        """Show an optimizer as that of the model."""
        if getattr(self, "optimizer", None) is optimizer:
            return
        if isinstance(optimizer, keras.optimizers.Optimizer):
            super().compile(optimizer=optimizer, jit_compile=False)
        else:  # of TensorFlow 1
            object.__setattr__(self, "optimizer", optimizer)

    # -- as a layer of another model

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Check inputs, before Keras would wrap what is wrong with them, and call."""
        inputs = keras.tree.map_structure(self._owner[1].with_batch, inputs)
        with ErrorsOf(self.simulator):
            self._owner[1].check(self._by_node(inputs))
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs: Any, training: bool | None = False) -> Any:
        """Return what probes show: one tensor, or a dict by name.

        Gradients flow to inputs and parameters. Each call starts from the initial
        state.

        Parameters
        ----------
        inputs : tensor or list or dict of tensors
            Values of the nodes, shapes ``(minibatch, n_steps, size)``: of the only one,
            in their order, or by name.
        training : bool
            Whether neurons are those of training.
        """
        function = self._owner[1]
        return self._shown(function(self._by_node(inputs), bool(training)))

    def compute_output_spec(self, inputs: Any, training: bool | None = False) -> Any:
        """Return shapes and types of what `call` returns."""
        function = self._owner[1]
        known = self._by_node(inputs)
        self._leave_out_unreached()
        n_steps = next(iter(known.values())).shape[1]
        shapes = function.output_shapes(n_steps)
        return self._shown([keras.KerasTensor(s, function.dtype) for s in shapes])

    def _by_node(self, inputs: Any) -> dict[nengo.Node, Any]:
        names = self._names[0]
        if not isinstance(inputs, Mapping):
            given = inputs if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) != len(names):
                raise ValidationError(
                    f"There are {len(given)} inputs, but the network has {len(names)} "
                    f"nodes that can be fed: {', '.join(names) or 'none'}; pass a dict "
                    "by name to feed some of them",
                    attr="inputs",
                    obj=self.simulator,
                )
            inputs = dict(zip(names, given, strict=True))
        for name in inputs:
            if name not in names:
                raise ValidationError(
                    f"{name!r} is no node that can be fed; there are "
                    f"{', '.join(names) or 'none'}",
                    attr="inputs",
                    obj=self.simulator,
                )
        return {names[name]: value for name, value in inputs.items()}

    def _shown(self, values: Sequence[Any]) -> Any:
        if len(values) == 1:
            return values[0]
        return dict(zip(self._names[1], values, strict=True))

    def _leave_out_unreached(self) -> None:
        """Tell Keras of parameters that no probe shows: they have no gradient."""
        variables = self._owner[1].trainer.parameters.variables
        reached = self._owner[1].reached()
        for variable, is_reached in zip(variables, reached, strict=True):
            variable.trainable = is_reached

    # -- what Keras would do, done by the simulator

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """See ``Simulator.compile``."""
        self.simulator.compile(*args, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """See ``Simulator.fit``."""
        return self.simulator.fit(*args, **kwargs)

    def evaluate(self, *args: Any, return_dict: bool = False, **kwargs: Any) -> Any:
        """See ``Simulator.evaluate``; numbers as Keras returns them."""
        found = self.simulator.evaluate(*args, **kwargs)
        if return_dict:
            return found
        return found["loss"] if len(found) == 1 else list(found.values())

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """See ``Simulator.predict``; one array, or a dict by name."""
        found = self.simulator.predict(*args, **kwargs)
        if len(found) == 1:
            return next(iter(found.values()))
        return dict(zip(self.output_names, found.values(), strict=True))

    def predict_on_batch(self, x: Any) -> Any:
        """See ``Simulator.predict_on_batch``."""
        return self.predict(x, verbose=0)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """See ``Simulator.train_on_batch``."""
        return self.simulator.train_on_batch(*args, **kwargs)

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """See ``Simulator.test_on_batch``."""
        return self.simulator.test_on_batch(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Refuse, as `save`: models around a simulator cannot be saved either."""
        self.save("simulator.keras")
        return {}

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Refuse: a network is more than Keras's files can describe."""
        raise ValidationError(
            f"Cannot save a Nengo network as the Keras model {str(filepath)!r}: its "
            "files hold layers that Keras can make again. Save weights "
            "(model.save_weights('x.weights.h5'), or ModelCheckpoint with "
            "save_weights_only=True), parameters and state (sim.save_params), or what "
            "is computed (model.export)",
            attr="filepath",
            obj=self.simulator,
        )


def _layers(parameters: TrainedParameters, model: Model) -> list[Parameters]:
    """Return a layer for each object, in the order of their first parameters."""
    settings = Settings(model.toplevel)
    found: dict[Any, list[tuple[Piece, keras.Variable]]] = {}
    for piece, variable in zip(parameters.pieces, parameters.variables, strict=True):
        obj = piece.parameter.obj
        obj = obj.ensemble if isinstance(obj, Neurons) else obj
        found.setdefault(obj, []).append((piece, variable))
    layers = []
    taken: set[str] = set()
    for obj, members in found.items():
        place = members[0][0].name.rpartition(".")[0]
        name = _unique(getattr(obj, "label", None) or place, taken)
        zero = None
        if isinstance(obj, nengo.Ensemble):
            zero = settings.value(obj, "zero_bias")
        units = None if zero is None else _Units(model.params[obj].gain, zero)
        attributes = [piece.parameter.attribute for piece, _ in members]
        variables = [variable for _, variable in members]
        layers.append(Parameters(name, variables, attributes, units))
    return layers


def _unique(name: str, taken: set[str]) -> str:
    """Return a name that Keras accepts for a layer, and that no other layer has."""
    name = re.sub(r"[^\w.\-]+", "_", name).strip("_") or "object"
    number, found = 0, name
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found
