"""The arguments of a conversion, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nengo
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer, is_number

from nengo_dl.interchange.keras.graph import Call
from nengo_dl.support.lazy_imports import keras

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """Arguments of a `nengo_dl.Converter`, which see."""

    swap_activations: Mapping[Any, Any] | None = None
    scale_firing_rates: Any = None
    synapse: Any = None
    inference_only: bool = False
    max_to_avg_pool: bool = False
    allow_fallback: bool = True
    split_shared_weights: bool = False
    temporal_model: bool = False
    initial_voltage: Any = None
    product_neurons: int | None = None

    def __post_init__(self) -> None:
        """Check the arguments that do not depend on a model."""
        for name in (
            "inference_only",
            "max_to_avg_pool",
            "allow_fallback",
            "split_shared_weights",
            "temporal_model",
        ):
            if not isinstance(getattr(self, name), bool):
                raise ValidationError(
                    f"Must be True or False (got {getattr(self, name)!r})", attr=name
                )
        voltage = self.initial_voltage
        if voltage is not None and not (
            is_number(voltage) or isinstance(voltage, nengo.dists.Distribution)
        ):
            raise ValidationError(
                f"Must be a number or a distribution (got {voltage!r})",
                attr="initial_voltage",
            )
        number = self.product_neurons
        if number is not None and (not is_integer(number) or number < 1):
            raise ValidationError(
                f"Must be a number of neurons, or None (got {number!r})",
                attr="product_neurons",
            )
        values = self.scale_firing_rates
        values = values.values() if isinstance(values, Mapping) else [values]
        for value in values:
            if value is not None and not (is_number(value) and value > 0):
                raise ValidationError(
                    "Must be a positive number, or a dict of them by layer (got "
                    f"{value!r})",
                    attr="scale_firing_rates",
                )

    def check_layers(self, layers: list[Any]) -> None:
        """Raise an error if rates are scaled for layers that are not there."""
        if not isinstance(self.scale_firing_rates, Mapping):
            return
        names = [layer.name for layer in layers]
        for key in self.scale_firing_rates:
            there = any(key is layer for layer in layers) or key in names
            if not there:
                raise ValidationError(
                    f"{getattr(key, 'name', key)!r} is no layer of the model; its "
                    f"layers are {', '.join(names)}",
                    attr="scale_firing_rates",
                )

    def scale(self, calls: list[Call]) -> float | None:
        """Return the factor of the rates of some calls that share their neurons."""
        scales = self.scale_firing_rates
        if not isinstance(scales, Mapping):
            return scales
        for call in reversed(calls):
            for key, value in scales.items():
                if key is call.layer or key == call.layer.name:
                    return value
        return None

    def splits(self, layer: keras.Operation) -> bool:
        """Whether a layer that is called several times may become several."""
        return (
            self.inference_only
            or self.split_shared_weights
            or not getattr(layer, "weights", None)
        )
