"""Whether a converted network computes what Keras does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.interchange.keras.conversion import Conversion
from nengo_dl.interchange.keras.graph import Tensor, evaluate
from nengo_dl.simulator.simulator import Simulator
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["verify"]

#: Items, and steps of sequences of no particular length, that are drawn.
_N_ITEMS = 4
_N_STEPS = 7


def verify(
    conversion: Conversion,
    probes: Mapping[Tensor, nengo.Probe],
    training: bool,
    inputs: Any,
    atol: float,
    rtol: float,
) -> bool:
    """Compare a converted network with its model; see `nengo_dl.Converter.verify`."""
    arrays = _inputs(conversion, inputs)
    compare = _compare_training if training else _compare
    compare(conversion, probes, arrays, (atol, rtol))
    return True


def _inputs(conversion: Conversion, inputs: Any) -> list[np.ndarray]:
    """Return the given inputs, one array for each of the model, or random ones."""
    tensors = conversion.graph.inputs
    if inputs is None:
        return [_draw(conversion, tensor) for tensor in tensors]
    if isinstance(inputs, Mapping):
        try:
            inputs = [inputs[original] for original in conversion.model.inputs]
        except (KeyError, TypeError):
            inputs = [inputs.get(tensor.name) for tensor in tensors]
    arrays = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if len(arrays) != len(tensors) or any(array is None for array in arrays):
        names = ", ".join(tensor.name for tensor in tensors)
        raise ValidationError(
            f"Must be an array for each input of the model: {names} (got "
            f"{len(arrays)})",
            attr="inputs",
        )
    arrays = [np.asarray(array) for array in arrays]
    for tensor, array in zip(tensors, arrays):
        fits = array.ndim == len(tensor.shape) + 1 and all(
            n in (None, m) for n, m in zip(tensor.shape, array.shape[1:])
        )
        if not fits or len(array) != len(arrays[0]):
            raise ValidationError(
                f"The array for {tensor.name!r} has the shape {array.shape}; "
                f"(n_items, {', '.join(map(str, tensor.shape))}) is needed, with the "
                "same number of items for all inputs",
                attr="inputs",
            )
    return arrays


def _draw(conversion: Conversion, tensor: Tensor) -> np.ndarray:
    """Return random values of an input."""
    rng = np.random.RandomState(tensor.index)
    shape = (_N_ITEMS, *(_N_STEPS if n is None else n for n in tensor.shape))
    readers = conversion.graph.readers()[tensor]
    n_words = [
        call.layer.input_dim
        for call in readers
        if call is not None and getattr(call.layer, "input_dim", None)
    ]
    if n_words or not tensor.dtype.startswith("float"):
        return rng.randint(0, min(n_words, default=2), size=shape)
    return rng.randn(*shape).astype(tensor.dtype)


def _compare(
    conversion: Conversion,
    probes: Mapping[Tensor, nengo.Probe],
    arrays: Sequence[np.ndarray],
    tolerance: tuple[float, float],
) -> None:
    wanted = evaluate(conversion.graph, arrays)
    found = _simulate(conversion, probes, arrays)
    wrong = [
        tensor
        for tensor in probes
        if not _is_close(found[tensor], wanted[tensor], tolerance)
    ]
    if not wrong:
        return
    tensor = wrong[0]
    place = _find_first(conversion, arrays, wanted, tolerance)
    raise ValidationError(
        f"Output {_position(conversion, tensor)} of "
        f"{conversion.model.name!r} differs from Keras's by up to "
        f"{_difference(found[tensor], wanted[tensor]):.3g}, where Keras's values are "
        f"up to {np.abs(wanted[tensor]).max():.3g}. {place}{_hint(conversion)}",
        attr="model",
    )


def _position(conversion: Conversion, tensor: Tensor) -> int:
    return conversion.graph.outputs.index(tensor)


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.max(np.abs(found - wanted), initial=0))


def _is_close(
    found: np.ndarray, wanted: np.ndarray, tolerance: tuple[float, float]
) -> bool:
    atol, rtol = tolerance
    allowed = atol + rtol * np.max(np.abs(wanted), initial=0)
    return bool(_difference(found, wanted) <= allowed)


def _simulate(
    conversion: Conversion,
    probes: Mapping[Tensor, nengo.Probe],
    arrays: Sequence[np.ndarray],
) -> dict[Tensor, np.ndarray]:
    """Return what probes show of inputs, in the shapes of Keras's tensors."""
    n_items, n_steps, feeds = _feeds(conversion, arrays)
    with Simulator(conversion.net, minibatch_size=n_items, progress_bar=False) as sim:
        sim.run_steps(n_steps, input_feeds=feeds)
        data = {tensor: sim.data[probe] for tensor, probe in probes.items()}
    found = {}
    for tensor, values in data.items():
        if not conversion.has_time_axis(tensor):
            values = values[:, -1:]
        shape = [n_items, *tensor.shape]
        if conversion.has_time_axis(tensor):
            shape[1] = n_steps
        found[tensor] = values.reshape(shape)
    return found


def _feeds(
    conversion: Conversion, arrays: Sequence[np.ndarray]
) -> tuple[int, int, dict[nengo.Node, np.ndarray]]:
    n_items = len(arrays[0])
    n_steps = arrays[0].shape[1] if conversion.options.temporal_model else 1
    feeds = {
        conversion.objects[tensor]: array.reshape(n_items, n_steps, -1)
        for tensor, array in zip(conversion.graph.inputs, arrays, strict=True)
    }
    return n_items, n_steps, feeds


def _find_first(
    conversion: Conversion,
    arrays: Sequence[np.ndarray],
    wanted: Mapping[Tensor, np.ndarray],
    tolerance: tuple[float, float],
) -> str:
    """Return which layer is the first to differ, in words."""
    net = conversion.net
    n_probes = len(net.probes)
    tensors = [
        tensor
        for call in conversion.graph.calls
        for tensor in call.outputs
        if not conversion.is_inside(tensor)
    ]
    try:
        with net:
            probes = {t: nengo.Probe(conversion.objects[t]) for t in tensors}
        found = _simulate(conversion, probes, arrays)
    finally:
        del net.probes[n_probes:]
    for tensor in tensors:
        if not _is_close(found[tensor], wanted[tensor], tolerance):
            call = tensor.call
            assert call is not None, "only inputs have none"
            along = conversion.computed_with(call)
            return (
                f"The first layer to differ is {call.layer.name!r}, a "
                f"{type(call.layer).__name__}"
                f"{f' (computed along with {along})' if along else ''}: by up to "
                f"{_difference(found[tensor], wanted[tensor]):.3g} of "
                f"{np.abs(wanted[tensor]).max():.3g}"
            )
    return "No layer before it differs: the synapse of the probe does"


def _hint(conversion: Conversion) -> str:
    options = conversion.options
    reasons = {
        "swap_activations": options.swap_activations,
        "synapse": options.synapse is not None,
        "max_to_avg_pool": options.max_to_avg_pool,
        "product_neurons": options.product_neurons,
    }
    given = [name for name, value in reasons.items() if value]
    if not given:
        return ""
    return (
        f". The conversion is not meant to be exact with {', '.join(given)}; verify "
        "one without, and compare accuracies with it"
    )


def _compare_training(
    conversion: Conversion,
    probes: Mapping[Tensor, nengo.Probe],
    arrays: Sequence[np.ndarray],
    tolerance: tuple[float, float],
) -> None:
    """Compare outputs as they are in training, without a change of the model."""
    model = conversion.model
    given = [
        keras.ops.convert_to_tensor(array, dtype=tensor.dtype)
        for tensor, array in zip(conversion.graph.inputs, arrays, strict=True)
    ]
    plain = keras.Model(model.inputs, model.outputs)
    outputs, _ = plain.stateless_call(
        [v.value for v in plain.trainable_variables],
        [v.value for v in plain.non_trainable_variables],
        given,
        training=True,
    )
    wanted = dict(zip(conversion.graph.outputs, keras.tree.flatten(outputs)))
    n_items, n_steps, feeds = _feeds(conversion, arrays)
    atol, rtol = tolerance
    with Simulator(conversion.net, minibatch_size=n_items, progress_bar=False) as sim:
        for tensor, probe in probes.items():
            values = keras.ops.convert_to_numpy(wanted[tensor])
            in_time = conversion.has_time_axis(tensor)
            target = values.reshape(n_items, n_steps if in_time else 1, -1)

            def largest(output: Any, target: Any, in_time: bool = in_time) -> Any:
                output = output if in_time else output[:, -1:]
                return tf.reduce_max(tf.abs(output - target))

            difference = float(
                sim.loss(feeds, {probe: target}, {probe: largest}, training=True)
            )
            if difference > atol + rtol * np.abs(values).max():
                raise ValidationError(
                    f"In training, output {_position(conversion, tensor)} "
                    f"of {model.name!r} differs from Keras's by up to "
                    f"{difference:.3g}{_changed_in_training(conversion)}",
                    attr="model",
                )


def _changed_in_training(conversion: Conversion) -> str:
    """Return which layers behave differently in training, in words."""
    names = [
        call.layer.name
        for call in conversion.graph.calls
        if conversion.differs_in_training(call)
    ]
    if not names:
        return _hint(conversion)
    return (
        f"; the converted network is trained as it is used, while Keras's layers "
        f"{', '.join(names)} compute something else in training"
    )
