"""Calls that are computed along with the one before them.

Batch normalization of what a convolution alone has computed is a factor and a summand
of each of its channels; an activation is what neurons do with the sum of their inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nengo_dl.interchange.keras.activation_functions import LINEAR, Activation
from nengo_dl.interchange.keras.graph import Call, Graph, Tensor

if TYPE_CHECKING:
    from nengo_dl.interchange.keras.layer_converter import LayerConverter

__all__ = ["Fold", "find_folds"]


@dataclass
class Fold:
    """What is computed along with a call.

    Attributes
    ----------
    factor, summand : float or ndarray
        Of each channel.
    activation : Activation
        Of the layer itself, or of one that follows.
    calls : list of Call
        The calls that follow and are computed along.
    """

    factor: Any = 1.0
    summand: Any = 0.0
    activation: Activation = LINEAR
    calls: list[Call] = field(default_factory=list)

    def apply(
        self, kernel: np.ndarray, biases: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return weights and biases, channels last, with factor and summand."""
        if biases is None and not self.calls_change_channels:
            return kernel, None
        summand = 0 if biases is None else biases
        return (
            (kernel * self.factor).astype(kernel.dtype),
            np.asarray(summand * self.factor + self.summand, dtype=kernel.dtype),
        )

    @property
    def calls_change_channels(self) -> bool:
        """Whether there are factors or summands."""
        return np.ndim(self.factor) > 0 or np.ndim(self.summand) > 0

    def then(self, factor: np.ndarray, summand: np.ndarray) -> None:
        """Add factors and summands behind those that there are."""
        self.summand = np.asarray(self.summand) * factor + summand
        self.factor = np.asarray(self.factor) * factor


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
