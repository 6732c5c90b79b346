"""Values for the variables of layers in TensorNodes, for the length of a call."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal

from nengo_dl.compiler.tensor_nodes import BuiltTensorNode
from nengo_dl.execution.state import StateStore
from nengo_dl.support.lazy_imports import tf

__all__ = ["fed_weights"]


@contextlib.contextmanager
def fed_weights(
    store: StateStore, model: Model, feeds: Sequence[tuple[tf.Variable, np.ndarray]]
) -> Iterator[None]:
    """Give weights that were copied from a layer the values of its variables.

    Each simulator has a copy of a layer's variables, so that assigning to these changes
    nothing in it.

    Parameters
    ----------
    store : StateStore
        Holds the weights.
    model : Model
        What was built.
    feeds : sequence of (tf.Variable, ndarray)
        Variables, of which some are those of layers, and their values.
    """
    values = _find_weights(model, feeds)
    if not values:
        yield
        return
    before = {}
    for signal in values:
        found, is_shared = store.value_of(signal)
        before[signal] = np.array(found[0] if is_shared else found)
    try:
        store.set_values(values)
        yield
    finally:
        store.set_values(before)


def _find_weights(
    model: Model, feeds: Sequence[tuple[tf.Variable, np.ndarray]]
) -> dict[Signal, np.ndarray]:
    given = {id(variable): value for variable, value in feeds}
    found: dict[Signal, np.ndarray] = {}
    if not given:
        return found
    for record in model.params.values():
        if not isinstance(record, BuiltTensorNode):
            continue
        for name, variable in record.function.own_variables().items():
            # Keras's variables hold one of TensorFlow
            held = variable if isinstance(variable, tf.Variable) else variable.value
            if id(held) in given and name in record.signals:
                found[record.signals[name]] = given[id(held)]
    return found
