"""The training problems: data, initial weights and sizes, the same for every side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nengo_dl.benchmarks.networks import legendre_delay

__all__ = ["CASES", "Case", "Problem"]

N_CLASSES = 10


@dataclass(frozen=True)
class Problem:
    """What is trained, with what.

    The loss is the mean cross-entropy of labels, where the logits are the mean of the
    output over time. All sides minimize it with Adam, learning rate 0.001.

    Attributes
    ----------
    settings : dict
        Sizes and whatever else describes the computation; ``settings["kind"]`` is the
        network: ``"mlp"``, ``"convnet"`` or ``"lmu"``.
    arrays : dict of {str: ndarray}
        ``inputs`` of shape ``(n_items, n_steps or 1, size)``, of one step where they do
        not change; ``labels`` of shape ``(n_items,)``; and initial weights.
    """

    settings: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def save(self, path: Path) -> None:
        """Write everything to a file, which any interpreter with NumPy can read."""
        entries: dict[str, Any] = {"settings": json.dumps(self.settings), **self.arrays}
        np.savez(path, **entries)


@dataclass(frozen=True)
class Case:
    """A problem with fixed settings, and who is measured with it.

    Attributes
    ----------
    title : str
        What it is, in a few words.
    build : callable
        Makes the problem. Its arguments are ``fixed`` and sizes, with defaults.
    sides : dict of {str: str}
        Functions to measure, as ``module:function``, by name; the first is what others
        are compared with.
    small : dict of {str: int}
        Sizes for quick checks.
    fixed : dict
        Settings of the case that are no sizes.
    arguments : dict of {str: dict}
        Further arguments of sides, by name.
    needs : dict of {str: str}
        Packages that sides need, by name; where they are not installed, these sides are
        left out.
    """

    title: str
    build: Callable[..., Problem]
    sides: Mapping[str, str]
    small: Mapping[str, int]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)

    def make(self, sizes: Mapping[str, Any]) -> Problem:
        """Return the problem, with some sizes that differ from the defaults."""
        return self.build(**{**self.fixed, **sizes})


def _data(n_items: int, n_steps: int, n_inputs: int) -> dict[str, np.ndarray]:
    """Return random images or sequences, and labels."""
    rng = np.random.default_rng(0)
    inputs = rng.random((n_items, n_steps, n_inputs), dtype=np.float32)
    return {"inputs": inputs, "labels": rng.integers(N_CLASSES, size=n_items)}


def _weights(n_in: int, n_out: int, seed: int) -> np.ndarray:
    limit = np.sqrt(6 / (n_in + n_out))
    rng = np.random.RandomState(seed)
    return rng.uniform(-limit, limit, size=(n_in, n_out)).astype(np.float32)


def mlp(
    n_steps: int = 50,
    minibatch: int = 128,
    n_hidden: int = 512,
    n_inputs: int = 784,
    n_minibatches: int = 6,
    varying: bool = True,
    synapse: float | None = None,
    spiking: bool = False,
) -> Problem:
    """Return a layer of LIF neurons, with weights and biases that are trained.

    Parameters
    ----------
    n_steps, minibatch, n_hidden, n_inputs, n_minibatches : int
        Sizes.
    varying : bool
        Whether inputs differ between steps.
    synapse : float or None
        Time constant of the filter of the output, in seconds.
    spiking : bool
        Whether neurons spike, and are trained with a surrogate derivative (the fast
        sigmoid, slope 5), or have the rates of LIF neurons.

    Returns
    -------
    Problem
        What is trained.
    """
    arrays = _data(n_minibatches * minibatch, n_steps if varying else 1, n_inputs)
    arrays["w_in"] = _weights(n_inputs, n_hidden, 0)
    arrays["bias"] = np.ones(n_hidden, dtype=np.float32)
    arrays["w_out"] = _weights(n_hidden, N_CLASSES, 1)
    settings = {
        "kind": "mlp",
        "n_steps": n_steps,
        "minibatch": minibatch,
        "varying": varying,
        "synapse": synapse,
        "spiking": spiking,
        # of the neurons; times in seconds
        "dt": 0.001,
        "tau_rc": 0.02,
        "tau_ref": 0.002,
        "amplitude": 0.01,
        "slope": 5.0,
    }
    return Problem(settings, arrays)


def convnet(
    minibatch: int = 64,
    n_minibatches: int = 60,
    layers: tuple[tuple[int, int], ...] = ((32, 2), (64, 2)),
) -> Problem:
    """Return a network of one step: 3 x 3 convolutions, rectified, and a product.

    Parameters
    ----------
    minibatch, n_minibatches : int
        Sizes. Images have 28 x 28 pixels.
    layers : tuple of (int, int)
        Number of filters, and stride, of each convolution.

    Returns
    -------
    Problem
        What is trained.
    """
    arrays = _data(n_minibatches * minibatch, 1, 28 * 28)
    rng = np.random.RandomState(0)
    channels, size = 1, 28
    for number, (n_filters, stride) in enumerate(layers):
        kernel = np.sqrt(2 / (9 * channels)) * rng.randn(3, 3, channels, n_filters)
        arrays[f"kernel_{number}"] = kernel.astype(np.float32)
        channels, size = n_filters, (size - 3) // stride + 1
    arrays["w_out"] = _weights(size * size * channels, N_CLASSES, 1)
    settings = {
        "kind": "convnet",
        "n_steps": 1,
        "minibatch": minibatch,
        "layers": [list(layer) for layer in layers],
    }
    return Problem(settings, arrays)


def lmu(
    n_steps: int = 128,
    minibatch: int = 100,
    order: int = 256,
    n_units: int = 212,
    n_minibatches: int = 6,
) -> Problem:
    """Return a Legendre memory unit with one input.

    In each step, memory ``m`` and hidden units ``h`` get (all weights but ``A`` and
    ``B`` are trained)::

        u = e_x x + e_h h + e_m m
        m = A m + B u
        h = tanh(w_x x + w_h h + w_m m)

    Parameters
    ----------
    n_steps, minibatch, order, n_units, n_minibatches : int
        Sizes; the memory is as long as the input.

    Returns
    -------
    Problem
        What is trained.
    """
    arrays = _data(n_minibatches * minibatch, n_steps, 1)
    a, b = legendre_delay(order, n_steps, 1.0)
    arrays["A"], arrays["B"] = a.astype(np.float32), b.astype(np.float32)
    arrays["e_x"] = np.ones((1, 1), dtype=np.float32)
    arrays["e_h"] = np.zeros((n_units, 1), dtype=np.float32)
    arrays["e_m"] = np.zeros((order, 1), dtype=np.float32)
    arrays["w_x"] = _weights(1, n_units, 0)
    arrays["w_h"] = _weights(n_units, n_units, 1)
    arrays["w_m"] = _weights(order, n_units, 2)
    arrays["w_out"] = _weights(n_units, N_CLASSES, 3)
    settings = {
        "kind": "lmu",
        "n_steps": n_steps,
        "minibatch": minibatch,
        "order": order,
        "n_units": n_units,
    }
    return Problem(settings, arrays)


_HERE = __name__.rpartition(".")[0]
_OURS = {"nengo_dl": f"{_HERE}.simulator_sides:train"}
_LOOP = {"XLA loop": f"{_HERE}.tensorflow_sides:loop"}
_FIT = {"Keras fit": f"{_HERE}.keras_sides:fit"}
_BARE = {
    "bare step": f"{_HERE}.tensorflow_sides:bare_step",
    "bare step, XLA": f"{_HERE}.tensorflow_sides:bare_step",
}
_OVER_TIME = {**_OURS, **_LOOP, **_FIT}
_ONE_STEP = {
    **_OURS,
    **_BARE,
    "Keras train_on_batch": f"{_HERE}.keras_sides:train_on_batch",
    **_FIT,
}
_JIT = {"bare step, XLA": {"jit_compile": True}}

_SMALL_MLP = {
    "n_steps": 20,
    "minibatch": 3,
    "n_hidden": 8,
    "n_inputs": 6,
    "n_minibatches": 2,
}
_SMALL_CONVNET = {"minibatch": 3, "n_minibatches": 2}
_SMALL_LMU = {
    "n_steps": 5,
    "minibatch": 3,
    "order": 4,
    "n_units": 6,
    "n_minibatches": 2,
}


def _mlp_case(title: str, **fixed: Any) -> Case:
    return Case(f"784-512-10, 50 steps: {title}", mlp, _OVER_TIME, _SMALL_MLP, fixed)


#: All training benchmarks.
CASES = {
    "mlp-varying": _mlp_case("rates, inputs vary"),
    "mlp-varying-filtered": _mlp_case("rates, inputs vary, filter", synapse=0.01),
    "mlp-varying-spiking": _mlp_case(
        "spikes, inputs vary, filter", synapse=0.01, spiking=True
    ),
    "mlp-constant": _mlp_case("rates, constant inputs", varying=False),
    "mlp-constant-filtered": _mlp_case(
        "rates, constant inputs, filter", varying=False, synapse=0.01
    ),
    "mlp-constant-spiking": _mlp_case(
        "spikes, constant inputs, filter", varying=False, synapse=0.01, spiking=True
    ),
    "mlp-recompute": Case(
        "784-512-10, 200 steps: spikes, less memory",
        mlp,
        {
            **_OURS,
            "recompute=50": _OURS["nengo_dl"],
            "recompute=20": _OURS["nengo_dl"],
            **_LOOP,
        },
        {**_SMALL_MLP, "n_steps": 100},
        {"synapse": 0.01, "spiking": True, "n_steps": 200, "n_minibatches": 2},
        {"recompute=50": {"recompute": 50}, "recompute=20": {"recompute": 20}},
    ),
    "convnet": Case(
        "two convolutions, one step", convnet, _ONE_STEP, _SMALL_CONVNET, {}, _JIT
    ),
    "convnet-3": Case(
        "three convolutions, one step",
        convnet,
        _ONE_STEP,
        _SMALL_CONVNET,
        {"layers": ((32, 1), (64, 2), (128, 2)), "n_minibatches": 12},
        _JIT,
    ),
    "lmu": Case(
        "Legendre memory unit, 128 steps",
        lmu,
        {**_OVER_TIME, "KerasLMU fit": f"{_HERE}.keras_sides:keras_lmu"},
        _SMALL_LMU,
        needs={"KerasLMU fit": "keras_lmu"},
    ),
}
