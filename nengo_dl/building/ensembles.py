"""Ensembles, built as Nengo builds them, with random numbers that take less time."""

from __future__ import annotations

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder import ensemble as nengos
from nengo.builder.operator import Copy, DotInc, Reset
from nengo.builder.signal import Signal
from nengo.dists import Distribution, get_samples
from nengo.utils.numpy import norm

from nengo_dl.building.points import LateEnsemble, later
from nengo_dl.building.randomness import FastRandom
from nengo_dl.building.workshop import Workshop

__all__ = ["build_ensemble"]


def build_ensemble(shop: Workshop, model: Model, ens: nengo.Ensemble) -> None:
    """Build an ensemble into a model, in the place of Nengo's ``build_ensemble``.

    What is drawn is the same to the last bit. Operators are added in the same order.

    Parameters
    ----------
    shop : Workshop
        What the functions that build a model share.
    model : nengo.builder.Model
        The model.
    ens : nengo.Ensemble
        An ensemble that it does not have yet.

    Raises
    ------
    BuildError
        If the encoders or the intercepts cannot be used (Nengo's errors).
    """
    dtype = shop.dtype
    seed = model.seeds[ens]
    rng = shop.streams.seeded(seed)
    points = later(ens, seed, dtype)
    if points is None:
        points = nengos.gen_eval_points(ens, ens.eval_points, rng=rng, dtype=dtype)
    else:
        points.skip(rng)
    is_direct = isinstance(ens.neuron_type, nengo.Direct)
    encoders = np.identity(ens.dimensions) if is_direct else _encoders(ens, rng)
    encoders = encoders.astype(dtype, copy=False)
    if ens.normalize_encoders:
        encoders /= norm(encoders, axis=1, keepdims=True)
    if np.isnan(encoders).any():
        return nengos.build_ensemble(model, ens)  # which says what is wrong
    gain, bias, max_rates, intercepts = nengos.get_gain_bias(ens, rng, dtype=dtype)
    scaled = encoders
    if not is_direct:
        scaled = encoders * (gain / ens.radius)[:, np.newaxis]
    _add(shop, model, ens, scaled, bias, is_direct)
    model.params[ens] = LateEnsemble(
        eval_points=points,
        encoders=encoders,
        intercepts=intercepts,
        max_rates=max_rates,
        scaled_encoders=scaled,
        gain=gain,
        bias=bias,
    )
    return None


def _encoders(ens: nengo.Ensemble, rng: FastRandom) -> np.ndarray:
    """Return encoders as they were given or drawn, in an array of their own."""
    given = ens.encoders
    if isinstance(given, Distribution):
        given = get_samples(given, ens.n_neurons, ens.dimensions, rng=rng)
    return np.array(given)


def _add(
    shop: Workshop,
    model: Model,
    ens: nengo.Ensemble,
    encoders: np.ndarray,
    bias: np.ndarray,
    is_direct: bool,
) -> None:
    """Add the signals and operators of an ensemble."""
    of_ens, of_neurons = model.sig[ens], model.sig[ens.neurons]
    name = str(ens)
    of_ens["in"] = shop.zeros(ens.dimensions, f"{name}.signal")
    model.add_op(Reset(of_ens["in"]))
    size = ens.dimensions if is_direct else ens.n_neurons
    of_neurons["in"] = shop.zeros(size, f"{name}.neuron_in")
    if is_direct:
        of_neurons["out"] = of_neurons["in"]
        model.add_op(Reset(of_neurons["in"]))
    else:
        of_neurons["out"] = shop.zeros(size, f"{name}.neuron_out")
        of_neurons["bias"] = Signal(bias, name=f"{name}.bias", readonly=True)
        model.add_op(Copy(of_neurons["bias"], of_neurons["in"]))
        model.build(ens.neuron_type, ens.neurons)
    of_ens["encoders"] = Signal(encoders, name=f"{name}.scaled_encoders", readonly=True)
    if ens.noise is not None:
        model.build(ens.noise, sig_out=of_neurons["in"], mode="inc")
    model.add_op(
        DotInc(
            of_ens["encoders"], of_ens["in"], of_neurons["in"], tag=f"{name} encoding"
        )
    )
    of_ens["out"] = of_neurons["out"]
