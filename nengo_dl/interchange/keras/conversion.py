"""A conversion: the network that grows, and what is known about the model's tensors."""

from __future__ import annotations

from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.keras.activation_functions import Activation
from nengo_dl.interchange.keras.activations import Drive, Swaps, drive
from nengo_dl.interchange.keras.fallback import tensor_code
from nengo_dl.interchange.keras.fold import Fold
from nengo_dl.interchange.keras.folding import find_folds
from nengo_dl.interchange.keras.graph import (
    Call,
    Tensor,
    build_inner_layers,
    read_graph,
)
from nengo_dl.interchange.keras.network_maker import (
    NetworkMaker,
    is_neural,
    neurons_of,
    trains,
)
from nengo_dl.interchange.keras.options import Options
from nengo_dl.interchange.keras.registry import find_row
from nengo_dl.interchange.keras.report import ConversionReport, LayerReport
from nengo_dl.support.lazy_imports import keras
from nengo_dl.support.user_warnings import warn_user
from nengo_dl.tensor_node import TensorNode

__all__ = ["Conversion"]


class Conversion:
    """Makes a network of a model; what converters of layers work with.

    Parameters
    ----------
    model : keras.Model
        The model.
    options : Options
        How it is converted.

    Attributes
    ----------
    model : keras.Model
        The model.
    options : Options
        How it is converted.
    graph : Graph
        Its calls.
    net : Network
        The network.
    report : ConversionReport
        What the layers became.
    objects : dict of {Tensor: object}
        The Nengo object that holds each tensor.
    """

    def __init__(self, model: keras.Model, options: Options):
        self.graph = read_graph(model)
        build_inner_layers(self.graph)
        self.model = model
        self.options = options
        self.swaps = Swaps(options.swap_activations)
        options.check_layers([call.layer for call in self.graph.calls])
        self.report = ConversionReport(model.name, n_parameters=model.count_params())
        self.objects: dict[Tensor, Any] = {}
        self._calls = {(id(c.layer), c.node_id): c for c in self.graph.calls}
        self._n_calls: dict[int, int] = {}
        for call in self.graph.calls:
            self._n_calls[id(call.layer)] = call.node_id + 1
        self._has_time = self._find_time()
        self._reasons = {call: self._reason(call) for call in self.graph.calls}
        self._folds = find_folds(
            self.graph,
            lambda call: None if self._reasons[call] else find_row(call.layer),
            lambda activation: self.swaps.neurons(activation) is not None,
        )
        self._head = {c: h for h, fold in self._folds.items() for c in fold.calls}
        self._converters: dict[int, Any] = {}
        self._drives: dict[tuple[Call, str], Drive | None] = {}
        #: synapses that a tensor is behind, and whether it is a sum of spikes
        self._lags: dict[Tensor, int] = {}
        self._spikes: dict[Tensor, bool] = {}
        self.net = self._make()

    def _make(self) -> nengo.Network:
        with nengo.Network(label=self.model.name, seed=0) as net:
            self.maker = NetworkMaker(net, self.options)
            for tensor in self.graph.inputs:
                size = int(np.prod(self.shape(tensor)))
                node = nengo.Node(np.zeros(size), label=tensor.name)
                self._put(tensor, node, 0, False)
            for call in self.graph.calls:
                self._convert(call)
        self.swaps.warn_of_unused(
            activation.name
            for call in self.graph.calls
            for activation in [self._activation(call)]
            if activation is not None and not activation.is_linear
        )
        return net

    def _activation(self, call: Call) -> Activation | None:
        row = find_row(call.layer)
        return None if row is None else row.activation(call.layer)

    def _find_time(self) -> dict[Tensor, bool]:
        """Return which tensors have an axis that stands for time."""
        temporal = self.options.temporal_model
        found = dict.fromkeys(self.graph.inputs, temporal)
        for tensor in self.graph.inputs:
            if temporal and len(tensor.shape) < 2:
                raise ValidationError(
                    f"The input {tensor.name!r} of shape {tensor.shape} has no axis "
                    "for time; it is to be the first one, before those of the features",
                    attr="temporal_model",
                )
        for call in self.graph.calls:
            row = find_row(call.layer)
            ends = row is not None and row.ends_sequence(call.layer)
            has_time = any(found[t] for t in call.inputs) and not ends
            found.update(dict.fromkeys(call.outputs, has_time))
        return found

    def _reason(self, call: Call) -> str | None:
        """Return why a call cannot become Nengo objects, or None if it can."""
        row = find_row(call.layer)
        layer = call.layer
        if row is None:
            return f"there is no converter for {type(layer).__name__}"
        fine = row.convertible(layer, self)
        if fine is not True:
            return fine or f"{row.__name__} does not convert it"
        if self._n_calls[id(layer)] > 1 and not self.options.splits(layer):
            return (
                "its weights are shared by several calls; split_shared_weights=True "
                "gives each call its own, and inference_only=True trains none"
            )
        if self.has_time(call):
            if not row.step_by_step:
                return "it does not compute each time step for itself"
            activation = row.activation(layer)
            if not activation.by_element and not row.distributes:
                return f"{activation.name!r} is a layer that sees the whole sequence"
        return None

    def has_time(self, call: Call) -> bool:
        """Whether a call computes a sequence of which a time step has one element."""
        return any(self._has_time[tensor] for tensor in call.inputs)

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the shape of a tensor in a time step, without the batch."""
        shape = tensor.shape[1:] if self._has_time[tensor] else tensor.shape
        sizes = tuple(int(n) for n in shape if n is not None)
        if len(sizes) < len(shape):
            name = tensor.name if tensor.call is None else tensor.call.layer.name
            raise ValidationError(
                f"{name!r} has the shape {tensor.shape}; all its sizes must be known. "
                "Give keras.Input a shape without None",
                attr="model",
            )
        return sizes

    def find_call(self, layer: keras.Layer, node_id: int) -> Call:
        """Return a call of a layer."""
        return self._calls[id(layer), node_id]

    def calls_of(self, layer: keras.Layer) -> list[Call]:
        """Return all calls of a layer."""
        n_calls = self._n_calls.get(id(layer), 0)
        return [self._calls[id(layer), number] for number in range(n_calls)]

    def fold_of(self, call: Call) -> Fold:
        """Return what is computed along with a call."""
        return self._folds.get(call) or Fold()

    def is_inside(self, tensor: Tensor) -> bool:
        """Whether no object holds a tensor, but what is computed along with it."""
        if tensor.call is None:
            return False
        head = self._head.get(tensor.call, tensor.call)
        return tensor.call is not ([head, *self.fold_of(head).calls])[-1]

    def computed_with(self, call: Call) -> str:
        """Return the names of other layers that are computed along with a call's."""
        head = self._head.get(call, call)
        calls = [head, *self.fold_of(head).calls]
        return ", ".join(repr(c.layer.name) for c in calls if c is not call)

    def has_time_axis(self, tensor: Tensor) -> bool:
        """Whether a tensor is a sequence of which a time step has one element."""
        return self._has_time[tensor]

    def differs_in_training(self, call: Call) -> bool:
        """Whether a layer was converted that computes something else in training."""
        row = find_row(call.layer)
        return row is not None and not self._reasons[call] and row.differs_in_training

    def _convert(self, call: Call) -> None:
        name = call.layer.name
        if self._n_calls[id(call.layer)] > 1:
            name = f"{name}[{call.node_id}]"
        entry = LayerReport(name, type(call.layer).__name__)
        self.maker.entries[call] = entry
        self.report.layers.append(entry)
        if call in self._head:
            head = self._head[call]
            entry.folded_into = self.maker.entries[head].name
            tensor = head.outputs[0]
            self._put(
                call.outputs[0],
                self.objects[tensor],
                self._lags[tensor],
                self._spikes[tensor],
            )
            return
        lag = max((self._arrival(tensor) for tensor in call.inputs), default=0)
        spikes = any(self._spikes[tensor] for tensor in call.inputs)
        reason = self._reasons[call]
        if reason is not None:
            results = self._fall_back(call, reason, spikes)
        else:
            results = self._converter(call.layer).convert(call.node_id)
            results = results if isinstance(results, list) else [results]
        for tensor, obj in zip(call.outputs, results, strict=True):
            own = is_neural(obj) and neurons_of(obj).ensemble.neuron_type.spiking
            self._put(tensor, obj, lag, own or spikes)

    def _converter(self, layer: keras.Layer) -> Any:
        if id(layer) not in self._converters:
            row = find_row(layer)
            assert row is not None, "there would be a reason not to convert it"
            self._converters[id(layer)] = row(layer, self)
        return self._converters[id(layer)]

    def _put(self, tensor: Tensor, obj: Any, lag: int, spikes: bool) -> None:
        self.objects[tensor] = obj
        self._lags[tensor] = lag
        self._spikes[tensor] = spikes

    def _arrival(self, tensor: Tensor) -> int:
        """Return how many synapses a tensor is behind where it is read."""
        has_synapse = self.options.synapse is not None
        return self._lags[tensor] + (has_synapse and is_neural(self.objects[tensor]))

    def source(self, call: Call, index: int) -> Any:
        """Return an object that holds an input of a call, in step with the others.

        A shortcut past neurons would be ahead of what has passed them, so it passes as
        many synapses.
        """
        tensor = call.inputs[index]
        last = max(self._arrival(other) for other in call.inputs)
        n_missing = last - self._arrival(tensor)
        return self.maker.delayed(call, self.objects[tensor], n_missing)

    def drive_of(self, call: Call, activation: Activation) -> Drive | None:
        """Return the neurons of an activation; None if there are none."""
        key = (call, activation.name)
        if key not in self._drives:
            neurons = self.swaps.neurons(activation)
            found = None
            if neurons is not None:
                scale = self.options.scale([call, *self.fold_of(call).calls])
                voltage = self.options.initial_voltage
                found = drive(neurons, scale, voltage)
                if found is None:
                    if isinstance(self.options.scale_firing_rates, dict):
                        warn_user(
                            f"scale_firing_rates does not change {call.layer.name!r}: "
                            f"{type(neurons).__name__} has no amplitude"
                        )
                    found = drive(neurons, None, voltage)
            self._drives[key] = found
        return self._drives[key]

    def _fall_back(self, call: Call, reason: str, spikes: bool) -> list[Any]:
        """Make a TensorNode that computes a call as Keras does."""
        if not self.options.allow_fallback:
            self.maker.refuse(call, reason)
        if self.has_time(call):
            raise ValidationError(
                f"{call.layer.name!r}, a {type(call.layer).__name__}, cannot be "
                f"computed step by step: {reason}",
                attr="temporal_model",
            )
        row = find_row(call.layer)
        warning = getattr(row, "warning_with_spikes", None)
        if spikes and warning:
            warn_user(f"{call.layer.name!r}: {warning}")
        if self._masks(call.layer):
            warn_user(
                f"{call.layer.name!r} makes a mask, which the converted network does "
                "not have: layers behind it see all elements"
            )
        code, shape_in = tensor_code(call, self.shape)
        if call.node_id > 0 and code is not call.layer:
            code = self._same_code(call, code)
        node = TensorNode(
            code, shape_in=shape_in, pass_time=False, label=call.layer.name
        )
        sizes = [int(np.prod(self.shape(tensor))) for tensor in call.outputs]
        if node.size_out != sum(sizes):
            raise ValidationError(
                f"{call.layer.name!r}, a {type(call.layer).__name__}, has {sum(sizes)} "
                f"outputs, and a copy of it {node.size_out}: its get_config leaves out "
                "what that depends on. (For output_padding, Keras does so before "
                'version 3.15: pip install --upgrade "keras>=3.15")',
                attr="model",
            )
        if not trains(call):
            self.maker.net.config[node].trainable = False
        self.maker.entries[call].fallback = reason
        self.maker.note(call, "TensorNode")
        begin = 0
        for index, tensor in enumerate(call.inputs):
            size = int(np.prod(self.shape(tensor)))
            part = node if len(call.inputs) == 1 else node[begin : begin + size]
            self.maker.connect(call, self.source(call, index), part, False)
            begin += size
        if len(call.outputs) == 1:
            return [node]
        ends = np.cumsum(sizes)
        return [node[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    def _same_code(self, call: Call, code: Any) -> Any:
        """Return the code of an earlier call of a layer, so that weights are shared."""
        for node in self.maker.net.nodes:
            other = getattr(node, "tensor_func", None)
            if (
                other is not None
                and getattr(other, "layer", None) is call.layer
                and other.arguments == code.arguments
                and other.shapes == code.shapes
            ):
                return other
        return code

    @staticmethod
    def _masks(layer: Any) -> bool:
        return bool(getattr(layer, "mask_zero", False)) or isinstance(
            layer, keras.layers.Masking
        )
