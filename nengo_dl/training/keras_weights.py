"""Weights of items, as `fit` and `evaluate` take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

from nengo_dl.training.keras_objectives import probe_named

__all__ = ["ItemWeights"]

Arrays = Mapping[nengo.Probe, np.ndarray]


class ItemWeights:
    """Turns ``sample_weight`` and ``class_weight`` into an array for each target.

    Parameters
    ----------
    probes : mapping of {str: Probe}
        What can have targets, by name.
    """

    def __init__(self, probes: Mapping[str, nengo.Probe]):
        self.probes = probes

    def read(
        self, sample_weight: Any, class_weight: Any, targets: Arrays
    ) -> dict[nengo.Probe, np.ndarray]:
        """Return weights of shape (n_items,) or (n_items, 1 or n_steps), by Probe.

        Parameters
        ----------
        sample_weight : array_like or dict or list or None
            Weights of items, or of their steps: for all targets, by Probe, label or
            name, or in the order of the targets.
        class_weight : dict of {int: float} or None
            Weights of classes; those that are left out weigh 1.
        targets : mapping of {Probe: ndarray}
            Targets.

        Raises
        ------
        ValidationError
            If both are given, or something has the wrong form, shape or type.
        """
        if sample_weight is None and class_weight is None:
            return {}
        attribute = "class_weight" if sample_weight is None else "sample_weight"
        if sample_weight is not None and class_weight is not None:
            raise self._error(
                "class_weight",
                "Give either class_weight or sample_weight; to use both, multiply the "
                "weight of each item by that of its class",
            )
        if not targets:
            raise self._error(attribute, "There are no targets (y) to weigh")
        if class_weight is not None:
            return self._of_classes(class_weight, targets)
        return {
            probe: self._checked(values, probe, targets[probe])
            for probe, values in self._by_probe(sample_weight, targets).items()
        }

    def check_classes(self, class_weight: Any) -> dict[int, float]:
        """Return the weights of classes, if that is what they are."""
        if isinstance(class_weight, Mapping) and all(
            is_integer(label) and is_number(weight) and np.isfinite(weight)
            for label, weight in class_weight.items()
        ):
            return {int(label): float(w) for label, w in class_weight.items()}
        raise self._error(
            "class_weight",
            "Must be a dict from numbers of classes to weights, such as "
            f"{{0: 1.0, 1: 5.0}} (got {class_weight!r})",
        )

    def _of_classes(self, class_weight: Any, targets: Arrays) -> dict:
        weights = self.check_classes(class_weight)
        if len(targets) > 1:
            raise self._error(
                "class_weight",
                "Weights of classes belong to one target, and there are "
                f"{len(targets)}; pass sample_weight, a dict of arrays by Probe",
            )
        ((probe, target),) = targets.items()
        values = np.asarray(target)
        if values.ndim > 2:  # the last axis has one number, or one for each class
            values = values.argmax(-1) if values.shape[-1] > 1 else values[..., 0]
        if values.ndim > 2:
            raise self._error(
                "class_weight",
                f"Targets of {probe} must be classes, of shape (n_items, n_steps, 1), "
                f"or (n_items, n_steps, n_classes) with ones (got {target.shape})",
            )
        values = np.round(values)
        found = np.ones(values.shape)
        for label, weight in weights.items():
            found[values == label] = weight
        return {probe: found[:, 0] if found.shape[1:] == (1,) else found}

    def _by_probe(self, given: Any, targets: Arrays) -> dict[nengo.Probe, Any]:
        if isinstance(given, Mapping):
            found = {
                probe_named(key, self.probes, "sample_weight"): values
                for key, values in given.items()
            }
            for probe in found:
                if probe not in targets:
                    raise self._error(
                        "sample_weight", f"There is no target for {probe} to weigh"
                    )
            return {p: values for p, values in found.items() if values is not None}
        if isinstance(given, (list, tuple)) and _is_list_of_arrays(given):
            if len(given) != len(targets):
                raise self._error(
                    "sample_weight",
                    f"A list must have an array for each of the {len(targets)} targets "
                    f"(got {len(given)}); or pass a dict by Probe",
                )
            pairs = zip(targets, given, strict=True)
            return {probe: values for probe, values in pairs if values is not None}
        if len(targets) > 1 and np.ndim(given) > 1 and np.shape(given)[1:] != (1,):
            raise self._error(
                "sample_weight",
                "One array for several targets must have one number for each item (got "
                f"shape {np.shape(given)}); for weights of steps, pass a dict by Probe",
            )
        return dict.fromkeys(targets, given)

    def _checked(self, given: Any, probe: nengo.Probe, target: Any) -> np.ndarray:
        try:
            array = np.asarray(given)
        except ValueError:  # ragged
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise self._error(
                "sample_weight",
                f"Weights of {probe} must be finite numbers (got {given!r:.60})",
            )
        shape = np.shape(target)
        n_items, n_steps = shape[0], shape[1] if len(shape) > 1 else 1
        allowed = {(n_items,), (n_items, 1), (n_items, n_steps)}
        if array.shape not in allowed:
            raise self._error(
                "sample_weight",
                f"Weights of {probe} must have shape (n_items,) = ({n_items},), or "
                f"(n_items, n_steps) = ({n_items}, {n_steps}) (got {array.shape})",
            )
        return array

    def _error(self, attribute: str, message: str) -> ValidationError:
        return ValidationError(message, attr=attribute)


def _is_list_of_arrays(given: Sequence[Any]) -> bool:
    return any(part is None or np.ndim(part) > 0 for part in given)
