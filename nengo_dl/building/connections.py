"""Connections, built as Nengo builds them."""

from __future__ import annotations

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder import connection as nengos
from nengo.builder.operator import Copy, ElementwiseInc, SimPyFunc
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.neurons import Direct

from nengo_dl.building.workshop import Workshop

__all__ = ["build_connection"]


def build_connection(shop: Workshop, model: Model, conn: nengo.Connection) -> None:
    """Build a connection into a model, in the place of Nengo's ``build_connection``.

    Signals, operators and random numbers are the same, in the same order. Connections
    with learning rules, with weights that are solved for, and to neurons that are not a
    slice, are left to Nengo, as is whatever is wrong.

    Parameters
    ----------
    shop : Workshop
        What the functions that build a model share.
    model : nengo.builder.Model
        The model.
    conn : nengo.Connection
        A connection that it does not have yet.

    Raises
    ------
    BuildError
        If the connection cannot be built (Nengo's errors).
    """
    pre, post, post_slice = conn.pre_obj, conn.post_obj, conn.post_slice
    source, target = _signal(model, pre, "out"), _signal(model, post, "in")
    is_decoded = isinstance(pre, nengo.Ensemble)
    is_decoded = is_decoded and not isinstance(pre.neuron_type, Direct)
    function = None if is_decoded or isinstance(pre, Neurons) else conn.function
    if (
        source is None
        or target is None
        or conn.learning_rule_type is not None
        or conn.solver.weights
        or isinstance(function, np.ndarray)
        or (isinstance(post, Neurons) and not isinstance(post_slice, slice))
    ):
        return nengos.build_connection(model, conn)

    rng = shop.streams.seeded(model.seeds[conn])
    signals = model.sig[conn]
    signals["in"], signals["out"] = source, target
    points = decoders = info = None
    if is_decoded:
        points, decoders, info = model.build(conn.solver, conn, rng)
    else:
        source = nengos.slice_signal(model, source, conn.pre_slice)
        if function is not None:
            argument, source = source, shop.zeros(conn.size_mid, f"{conn}.func")
            model.add_op(SimPyFunc(source, function, None, argument))

    transform = conn.transform
    weighted, weights = model.build(
        transform, source, decoders=decoders, encoders=None, rng=rng
    )
    signals["weights"] = weights
    if conn.synapse is not None:
        weighted = model.build(conn.synapse, weighted, mode="update")
    signals["weighted"] = weighted

    name = str(conn)
    if isinstance(post, Neurons):
        gain = model.params[post.ensemble].gain[post_slice]
        gains = Signal(gain, name=f"{name}.gains")
        part, tag = target[post_slice], f"{name}.gains_elementwiseinc"
        model.add_op(ElementwiseInc(gains, weighted, part, tag=tag))
    else:
        model.add_op(Copy(weighted, target, dst_slice=post_slice, inc=True, tag=name))
    initial = getattr(weights, "initial_value", None)
    model.params[conn] = nengos.BuiltConnection(points, info, initial, transform)
    return None


def _signal(model: Model, obj: object, key: str) -> Signal | None:
    """Return the signal of an object, or None if there is none to be connected."""
    signal = model.sig[obj].get(key) if obj in model.sig else None
    return None if signal is None or signal.size == 0 else signal
