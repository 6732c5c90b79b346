"""Calls that are computed along with the one before them.

Batch normalization of what a convolution alone has computed is a factor and a summand
of each of its channels; an activation is what neurons do with the sum of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nengo_dl.interchange.keras.activation_functions import Activation
from nengo_dl.interchange.keras.fold import Fold
from nengo_dl.interchange.keras.graph import Call, Graph, Tensor
from nengo_dl.interchange.keras.layer_converter import LayerConverter

__all__ = ["find_folds"]


def find_folds(
    graph: Graph,
    row_of: Callable[[Call], type[LayerConverter] | None],
    has_neurons: Callable[[Activation], bool],
) -> dict[Call, Fold]:
    """Return what is computed along with each call that does so.

    Parameters
    ----------
    graph : Graph
        The calls of a model.
    row_of : callable
        Returns the converter of a call, or None if it becomes a TensorNode.
    has_neurons : callable
        Whether there are neurons for an activation.

    Returns
    -------
    dict of {Call: Fold}
        By the call that comes first.
    """
    readers = graph.readers()
    taken: set[Call] = set()
    found: dict[Call, Fold] = {}
    for call in graph.calls:
        row = row_of(call)
        if call in taken or row is None or row.takes_fold == "nothing":
            continue
        fold = found[call] = Fold(activation=row.activation(call.layer))
        if fold.activation.is_linear:
            _follow(call, row.takes_fold, fold, readers, row_of, has_neurons)
        taken.update(fold.calls)
    return found


def _follow(
    call: Call,
    takes: str,
    fold: Fold,
    readers: Mapping[Tensor, list[Call | None]],
    row_of: Callable[[Call], type[LayerConverter] | None],
    has_neurons: Callable[[Activation], bool],
) -> None:
    """Add the calls behind one to what is computed along with it."""
    shape = call.outputs[0].shape
    passed: list[Call] = []  # dropout and the like counts only if more follows
    following = readers[call.outputs[0]]
    while len(following) == 1 and following[0] is not None:
        then = following[0]
        row = row_of(then)
        if row is None or len(then.inputs) > 1 or then.outputs[0].shape != shape:
            return
        passed.append(then)
        affine = row.affine(then.layer)
        if affine is not None:
            if takes != "everything":
                return
            fold.then(*affine)
            fold.calls += passed
            passed = []
        elif row.only_activates:
            activation = row.activation(then.layer)
            if has_neurons(activation):
                fold.activation = activation
                fold.calls += passed
            return
        elif not row.passes_on(then.layer):
            return
        following = readers[then.outputs[0]]
