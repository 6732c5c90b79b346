"""Arguments of the simulator, checked once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.exceptions import ValidationError
from nengo.utils.numpy import maxint
from nengo.utils.progress import ProgressBar

from nengo_dl.building.builder import FastBuilder
from nengo_dl.building.decoder_cache import default_decoder_cache
from nengo_dl.building.model import FastModel
from nengo_dl.config import NetworkSettings
from nengo_dl.setting_kinds import MOST_UNROLLED, product_dtype
from nengo_dl.support.arguments import (
    check_device,
    check_dtype,
    check_positive,
    check_seconds,
    check_seed,
)
from nengo_dl.support.memory import memory_limit
from nengo_dl.tensorboard.board import check_folder

__all__ = ["SimulatorOptions", "check_memory", "check_options", "choose_seed"]


@dataclasses.dataclass(frozen=True)
class SimulatorOptions:
    """Arguments of a simulator; see `nengo_dl.Simulator`.

    Attributes
    ----------
    model : nengo.builder.Model
        As given, or a new one.
    dtype : numpy.dtype
        Precision of the computations.
    device : str or None
        TensorFlow device.
    unroll_simulation : int
        Steps in the body of the loop.
    minibatch_size : int or None
        Number of items; None: one, without an axis in the data.
    tensorboard : str or None
        Folder.
    progress_bar : bool or ProgressBar
        Whether to show progress.
    jit_compile : bool or None
        Use of XLA.
    optimize : bool
        As given.
    settings : NetworkSettings
        Settings of the simulation as a whole.
    """

    model: Model
    dtype: np.dtype
    device: str | None
    unroll_simulation: int
    minibatch_size: int | None
    tensorboard: str | None
    progress_bar: bool | ProgressBar
    jit_compile: bool | None
    optimize: bool
    settings: NetworkSettings


def check_options(
    network: nengo.Network | None,
    dt: float,
    model: Model | None,
    dtype: Any,
    device: str | None,
    unroll_simulation: int | None,
    minibatch_size: int | None,
    tensorboard: str | os.PathLike | None,
    progress_bar: bool | ProgressBar,
    jit_compile: bool | None,
    optimize: bool,
) -> SimulatorOptions:
    """Check the arguments of a simulator, in the order of its signature.

    Raises
    ------
    ValidationError
        If an argument is of the wrong kind, or there is nothing to simulate.
    """
    _check_subject(network, model)
    if jit_compile is not None and not isinstance(jit_compile, (bool, np.bool_)):
        raise ValidationError(
            f"Must be None, True or False (got {jit_compile!r})", attr="jit_compile"
        )
    toplevel = getattr(model, "toplevel", None)
    settings = NetworkSettings.of(network if toplevel is None else toplevel)
    if jit_compile is None:
        jit_compile = settings.jit_compile
    if unroll_simulation is None:
        unroll_simulation = settings.unroll_simulation
    dtype = settings.dtype if dtype is None else dtype
    checked: dict[str, Any] = {
        "dtype": check_dtype(dtype),
        "device": check_device(device),
        "unroll_simulation": check_positive(
            unroll_simulation, "unroll_simulation", most=MOST_UNROLLED
        ),
        "minibatch_size": None
        if minibatch_size is None
        else check_positive(minibatch_size, "minibatch_size"),
        "tensorboard": check_folder(tensorboard),
    }
    if model is None:
        model = FastModel(
            dt=check_seconds(dt, "dt"),
            label=f"{network}, dt={dt:f}",
            decoder_cache=default_decoder_cache(),
            builder=FastBuilder(compiled=jit_compile is not False),
        )
    return SimulatorOptions(
        model=model,
        progress_bar=progress_bar,
        jit_compile=jit_compile,
        optimize=optimize,
        settings=dataclasses.replace(
            settings, jit_compile=jit_compile, product_dtype=product_dtype(dtype)
        ),
        **checked,
    )


def _check_subject(network: object, model: object) -> None:
    """Raise unless there is something to simulate."""
    if network is None and model is None:
        raise ValidationError(
            "Pass a network, or a model that was built before; got None for both",
            attr="network",
        )
    if network is not None and not isinstance(network, nengo.Network):
        raise ValidationError(
            f"Must be a nengo.Network (got {type(network).__name__})", attr="network"
        )
    if model is not None and not isinstance(model, Model):
        raise ValidationError(
            f"Must be a nengo.builder.Model (got {type(model).__name__})", attr="model"
        )


def choose_seed(seed: int | None, network: nengo.Network | None) -> int:
    """Return the seed of a simulation: as given, or as Nengo's simulator chooses it."""
    if seed is None:
        if network is not None and network.seed is not None:
            seed = network.seed + 1
        else:
            seed = np.random.randint(maxint)
    return check_seed(seed)


def check_memory(
    operators: Sequence[Operator], dtype: np.dtype, minibatch_size: int
) -> None:
    """Raise if the state of a simulation does not fit into the computer's memory.

    Parameters
    ----------
    operators : sequence of Operator
        Of the built model.
    dtype : numpy.dtype
        Precision of the simulation.
    minibatch_size : int
        Number of items.

    Raises
    ------
    ValidationError
        With an estimate of what would be needed. It counts what is kept from step to
        step and the outputs of operators, once.
    """
    written = {
        signal.base
        for op in operators
        for signal in (*op.sets, *op.incs, *op.updates)
        if not signal.sparse
    }
    needed = sum(signal.size for signal in written) * minibatch_size * dtype.itemsize
    existing = memory_limit()
    if existing is not None and needed > existing:
        raise ValidationError(
            f"{minibatch_size} items need about {needed / 2**30:.4g} GiB of memory for "
            f"one time step, but there are {existing / 2**30:.4g} GiB. Simulate fewer "
            "at once",
            attr="minibatch_size",
        )
