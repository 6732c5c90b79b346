"""Nodes whose output is TensorFlow code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.base import NengoObject
from nengo.builder import Builder, Model
from nengo.builder.operator import Reset
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.params import BoolParam, Parameter, ShapeParam
from nengo.rc import rc
from nengo.utils.numpy import is_integer

from nengo_dl.builders.tensor_code.functions import TensorFunction
from nengo_dl.builders.tensor_code.objects import make_function
from nengo_dl.builders.tensor_code.weights import Weight
from nengo_dl.building.builder import FastBuilder
from nengo_dl.compiler.tensor_nodes import BuiltTensorNode, SimTensorNode, StateTraits
from nengo_dl.support.user_warnings import warn_user

__all__ = ["TensorNode", "build_tensor_node", "mark_trained"]


class TensorNode(nengo.Node):
    """A Node whose output is TensorFlow code, compiled into the simulation.

    Parameters
    ----------
    tensor_func : callable
        What computes the output, called as ``f(t, x)``, ``f(t)`` or ``f(x)``:

        - a function of tensors,
        - a Keras layer or model, which is copied: training in the simulator changes the
          copy. Weights that it has are where training begins; a layer that was not
          built yet gets weights that depend on the network's seed. Time is passed only
          if its ``call`` has a second argument without default;
        - an object with a method ``__call__``, whose attributes hold ``tf.Variable``
          objects, or whose method ``build(shape)`` makes them. It is copied too.

        It returns a tensor of shape ``(minibatch,) + shape_out`` (or ``(1,) +
        shape_out`` if all items share it), of the type of its arguments.
    shape_in : int or tuple of int, optional
        Shape of the input ``x``, without the axis for the items of the minibatch.
        None: no input.
    shape_out : int or tuple of int, optional
        Shape of the output, without that axis. It is found by tracing the code, and
        checked if it is given.
    pass_time : bool
        Whether the time is the first argument.
    label : str, optional
        A name.
    size_in, size_out : int, optional
        Number of elements of input and output, which can be given instead of shapes of
        one dimension.

    Attributes
    ----------
    tensor_func : callable
        As given.
    shape_in : tuple of int or None
        Shape of the input.
    shape_out : tuple of int
        Shape of the output.
    pass_time : bool
        Whether the code gets the time.

    Raises
    ------
    ValidationError
        If the code is not callable, fails when it is traced, or does not return a
        tensor of the right shape and type.

    Notes
    -----
    ``t`` is a scalar, and ``x`` of shape ``(minibatch,) + shape_in``, both in the
    precision of the simulation. Items of the minibatch must not depend on each other,
    unless a layer does so in training by design. A function may then be called with a
    longer first axis: the inputs of several nodes, or of several steps in training, at
    once.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     node = nengo.Node([1, 2, 3])
    ...     square = nengo_dl.TensorNode(tf.square, shape_in=3, pass_time=False)
    ...     _ = nengo.Connection(node, square, synapse=None)
    ...     probe = nengo.Probe(square)
    >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
    ...     sim.run_steps(1)
    >>> sim.data[probe]
    array([[1., 4., 9.]])
    """

    tensor_func = Parameter("tensor_func", default=None, optional=True, readonly=True)
    shape_in = ShapeParam("shape_in", default=None, optional=True, low=1, readonly=True)
    shape_out = ShapeParam(
        "shape_out", default=None, optional=True, low=1, readonly=True
    )
    pass_time = BoolParam("pass_time", default=True, readonly=True)

    #: whether a simulator has trained weights that the node's layer does not have
    trained_elsewhere = False

    _param_init_order: ClassVar[list[str]] = ["size_in", "size_out"]

    def __init__(
        self,
        tensor_func: Any,
        shape_in: int | Sequence[int] | None = None,
        shape_out: int | Sequence[int] | None = None,
        pass_time: bool = True,
        label: str | None = None,
        size_in: int | None = None,
        size_out: int | None = None,
    ):
        NengoObject.__init__(self, label=label, seed=None)
        self.shape_in = _shape(self, "in", shape_in, size_in)
        self.pass_time = pass_time
        wanted = _shape(self, "out", shape_out, size_out)
        known = _find_traced(tensor_func, self.shape_in, self.pass_time)
        if known is None or wanted not in (None, known):
            try:
                function = make_function(
                    tensor_func, self.shape_in, wanted, self.pass_time, str(self)
                )
            except ValidationError as error:
                error.obj = self
                raise
            known = function.shape_out
        self.tensor_func = tensor_func
        self.shape_out = known
        self.size_in = 0 if self.shape_in is None else int(np.prod(self.shape_in))
        self.size_out = int(np.prod(self.shape_out))

    @property
    def output(self) -> Any:
        """The same as ``tensor_func``."""
        return self.tensor_func

    def exchange(self, tensor_func: Any) -> None:
        """Put other code of the same shapes in the place of ``tensor_func``.

        Simulators that exist are not affected.
        """
        # a parameter that is read only for everybody else
        type(self).tensor_func.data[self] = tensor_func


def mark_trained(model: Model) -> None:
    """Note that a simulator of a model has weights that the layers of nodes lack."""
    for node, record in model.params.items():
        if isinstance(record, BuiltTensorNode) and record.trainable:
            node.trained_elsewhere = True


def _find_traced(
    tensor_func: Any, shape_in: tuple | None, pass_time: bool
) -> tuple | None:
    """Return the output's shape if the same code is in a node of this network.

    Tracing takes some ten milliseconds, which many nodes of one function save.
    """
    if not nengo.Network.context:
        return None
    for node in nengo.Network.context[-1].nodes:
        if (
            isinstance(node, TensorNode)
            and node.tensor_func is tensor_func
            and node.shape_in == shape_in
            and node.pass_time == pass_time
        ):
            return node.shape_out
    return None


def _shape(node: TensorNode, end: str, shape: Any, size: Any) -> tuple | None:
    """Return a shape that is given as such, or as a number of elements.

    A size of 0 stands for no input.
    """
    name = f"shape_{end}"
    shape = (shape,) if is_integer(shape) else shape
    if size is not None:
        if not is_integer(size) or size < (end == "out"):
            raise ValidationError(
                f"Must be a positive number of elements (got {size!r})",
                attr=f"size_{end}",
                obj=node,
            )
        if shape is None:
            shape = (size,) if size else None
        elif int(np.prod(shape)) != size:
            raise ValidationError(
                f"Has {int(np.prod(shape))} elements, but size_{end} is {size}; one "
                "of the two is enough",
                attr=name,
                obj=node,
            )
    if isinstance(shape, np.ndarray | list):
        shape = tuple(shape)
    if shape is not None and (
        not isinstance(shape, tuple)
        or not shape
        or not all(is_integer(n) and n > 0 for n in shape)
    ):
        raise ValidationError(
            f"Must be a positive integer or a tuple of them (got {shape!r})",
            attr=name,
            obj=node,
        )
    return None if shape is None else tuple(int(n) for n in shape)


def _make_signals(
    weights: Sequence[Weight], others: Sequence[BuiltTensorNode], label: str
) -> tuple[dict[str, Signal], dict[str, np.ndarray]]:
    """Return signals and initial values of weights, by name.

    What no call changes is shared with other nodes of the same code.
    """
    signals: dict[str, Signal] = {}
    values: dict[str, np.ndarray] = {}
    for weight in weights:
        name, value = weight.name, weight.value
        if value.dtype.kind == "f":
            value = value.astype(rc.float_dtype)
        if others and weight.state is None:
            signals[name] = others[0].signals[name]
            value = others[0].signals[name].initial_value
        else:
            signals[name] = Signal(value, name=f"{label}.{name}")
        values[name] = value
    return signals, values


def _name_signals(
    named: dict[str, Signal],
    signals: Mapping[str, Signal],
    state: Mapping[str, StateTraits],
) -> None:
    """Put the signals of weights among those of a node."""
    for number, (name, signal) in enumerate(signals.items()):
        key = f"weights/{name}"
        if name in state and state[name].advances:
            # counters in names of layers differ between sessions
            key = f"state[{number}].{name.rpartition('/')[2]}"
        named[key] = signal


@Builder.register(TensorNode)
def build_tensor_node(model: Model, node: TensorNode) -> None:
    """Build a TensorNode into a model.

    Parameters
    ----------
    model : Model
        The model to build into.
    node : TensorNode
        The node to build.

    Notes
    -----
    Sets ``model.params[node]`` to a `BuiltTensorNode`. Nodes with the same layer, model
    or object share their trainable and frozen weights, as calls of one Keras layer do;
    what calls in training replace (moving averages) belongs to each node.
    """
    label = str(node)
    if node.trained_elsewhere and not isinstance(model.builder, FastBuilder):
        warn_user(
            f"{node} is simulated with the weights that its layer was defined with, "
            "not with those that a nengo_dl.Simulator trained or loaded. To store them "
            "in the network, call sim.freeze_params(net) first"
        )
    others = [
        record
        for record in model.params.values()
        if isinstance(record, BuiltTensorNode)
        and record.function.source is node.tensor_func
    ]
    function = _function_of(node, others, label)
    weights = function.weights(model.seeds[node])
    signals, values = _make_signals(weights, others, label)
    state = {weight.name: weight.state for weight in weights if weight.state}
    listed = [weights[position].name for position in function.listed(len(weights))]

    sig_in = None
    if node.size_in > 0:
        sig_in = Signal(shape=node.size_in, name=f"{node}.in")
        model.add_op(Reset(sig_in))
    sig_out = Signal(shape=node.size_out, name=f"{node}.out")
    model.add_op(
        SimTensorNode(
            function,
            sig_out,
            model.time if function.passes_time else None,
            sig_in,
            [signal for name, signal in signals.items() if name not in state],
            {signals[name]: traits for name, traits in state.items()},
            label,
        )
    )
    model.sig[node]["in"] = sig_in
    model.sig[node]["out"] = sig_out
    _name_signals(model.sig[node], signals, state)
    model.params[node] = BuiltTensorNode(
        {name: values[name] for name in listed},
        signals,
        frozenset(weight.name for weight in weights if weight.trainable),
        state,
        function,
    )


def _function_of(
    node: TensorNode, others: Sequence[BuiltTensorNode], label: str
) -> TensorFunction:
    """Return the function of a node, which may be that of another one."""
    form = (node.shape_in, node.shape_out, node.pass_time)
    known = next((r.function for r in others if r.function.key[1:] == form), None)
    if isinstance(known, TensorFunction):
        return known
    return make_function(node.tensor_func, *form, label)
