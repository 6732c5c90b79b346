"""Firing rates that suit the activations that data evokes."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number

from nengo_dl.interchange.keras import rows  # noqa: F401 (which registers converters)
from nengo_dl.interchange.keras.graph import evaluate, read_graph
from nengo_dl.interchange.keras.registry import find_row
from nengo_dl.support.lazy_imports import keras

__all__ = ["firing_rate_scales"]


def firing_rate_scales(
    model: keras.Model, inputs: Any, rate: float = 200.0, percentile: float = 99.9
) -> dict[keras.Layer, float]:
    r"""Return factors with which the strongest activations of all layers have one rate.

    The size of activations differs between layers. With a single factor, some layers
    fire too little for an answer within a few steps, or others more than necessary.

    Parameters
    ----------
    model : keras.Model
        A model.
    inputs : (n_samples, ...) array_like, or list of them
        Typical inputs, such as a few hundred training images. A list for models with
        several inputs.
    rate : float
        Firing rate of the strongest activations, in Hz.
    percentile : float
        Percentile that defines the strongest activations, so that outliers are ignored.

    Returns
    -------
    dict of {keras.Layer: float}
        For the argument ``scale_firing_rates`` of `nengo_dl.Converter`: a factor for
        each layer with an activation function.

    Raises
    ------
    ValidationError
        If an argument is out of range.

    Notes
    -----
    If :math:`p` is the percentile of the activations of a layer [1]_ [2]_, its factor
    is :math:`r / p` for the rate :math:`r`. The literature scales weights so that the
    strongest activation is 1; here the gains of neurons and the amplitudes of their
    spikes are scaled, which leaves the weights as Keras has trained them.

    References
    ----------
    .. [1] P. U. Diehl et al. Fast-classifying, high-accuracy spiking deep networks
       through weight and threshold balancing. IJCNN 2015.
    .. [2] B. Rueckauer et al. Conversion of continuous-valued deep networks to
       efficient event-driven networks for image classification. Frontiers in
       Neuroscience 11, 2017, 682.

    Examples
    --------
    >>> import keras
    >>> from nengo_dl.interchange.keras import firing_rate_scales
    >>> model = keras.Sequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, activation="relu")])
    >>> images = np.random.RandomState(0).uniform(size=(100, 4))
    >>> scales = firing_rate_scales(model, images, rate=100, percentile=100)
    >>> strongest = model(images).numpy().max()
    >>> round(float(strongest * scales[model.layers[0]]), 3)
    100.0
    """
    if not is_number(rate) or not rate > 0:
        raise ValidationError(f"Must be positive, in Hz (got {rate!r})", attr="rate")
    if not is_number(percentile) or not 0 < percentile <= 100:
        raise ValidationError(
            f"Must be above 0, and at most 100 (got {percentile!r})", attr="percentile"
        )
    graph = read_graph(model)
    arrays = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
    if len(arrays) != len(graph.inputs):
        raise ValidationError(
            f"{model.name!r} has {len(graph.inputs)} inputs (got {len(arrays)} arrays)",
            attr="inputs",
        )
    values = evaluate(graph, [np.asarray(array) for array in arrays])
    found: dict[keras.Layer, list[np.ndarray]] = {}
    for call in graph.calls:
        row = find_row(call.layer)
        if row is not None and not row.activation(call.layer).is_linear:
            found.setdefault(call.layer, []).append(values[call.outputs[0]].ravel())
    scales = {}
    for layer, parts in found.items():
        strongest = float(np.percentile(np.abs(np.concatenate(parts)), percentile))
        if strongest > 0:  # else it is silent with these inputs, whatever its factor
            scales[layer] = rate / strongest
    return scales
