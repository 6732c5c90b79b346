"""What is trained and measured: all that stays the same over calls of `fit`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nengo

from nengo_dl.support.lazy_imports import keras
from nengo_dl.training.optimizer_kinds import optimizer_key
from nengo_dl.training.weighting import Weighted

__all__ = ["TrainingRecipe"]


@dataclass(frozen=True, eq=False)
class TrainingRecipe:
    """How parameters are trained, and what is measured.

    Attributes
    ----------
    optimizer : keras.optimizers.Optimizer or tf.compat.v1.train.Optimizer or str
        Updates the parameters.
    objective : object
        What is minimized; see ``Simulator.train``.
    metrics : mapping of {str: object}, optional
        What is measured besides; see ``Simulator.train``.
    truncation : int or None
        Number of steps after which parameters are updated and gradients end.
    recompute : int or None
        Number of steps whose intermediate results are kept at once.
    needed : set of Probe
        Probes that must have targets, since something was chosen for each of them.
    """

    optimizer: Any
    objective: Any = "mse"
    metrics: Mapping[str, Any] | None = field(default_factory=dict)
    truncation: int | None = None
    recompute: int | None = None
    needed: frozenset[nengo.Probe] = frozenset()

    @property
    def key(self) -> Hashable:
        """Equal for recipes that need the same compiled functions.

        Optimizers with equal options have equal keys, and so have losses of Keras;
        functions are equal to themselves.
        """
        if isinstance(self.optimizer, str):
            optimizer: Hashable = ("name", self.optimizer)
        else:
            optimizer = optimizer_key(self.optimizer) or id(self.optimizer)
        return (
            optimizer,
            _key(self.objective),
            _key(self.metrics or {}),
            self.truncation,
            self.recompute,
        )


def _key(given: Any) -> Hashable:
    if isinstance(given, Mapping):
        return tuple((name, _key(value)) for name, value in given.items())
    if isinstance(given, keras.losses.Loss):
        # not its configuration, from which Keras leaves out arguments such as delta
        return type(given), _key(vars(given))
    if isinstance(given, Weighted):
        return Weighted, _key(given.function)
    if isinstance(given, keras.DTypePolicy):
        return given.name
    try:
        hash(given)
    except TypeError:
        return id(given)
    return given
