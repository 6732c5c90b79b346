"""What processes must agree about before they train or evaluate together."""

from __future__ import annotations

import zlib

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.distribution.workers import Workers
from nengo_dl.execution.session import Session
from nengo_dl.support.lazy_imports import keras, tf
from nengo_dl.training.data import ArrayData, StreamData
from nengo_dl.training.updates import Update
from nengo_dl.version import __version__

__all__ = ["check_constants", "facts_of_data", "facts_of_session", "facts_of_update"]

#: Relative difference of the sums of constants that other computers may cause.
_TOLERANCE = 1e-3


def facts_of_session(session: Session) -> dict[str, str]:
    """Return what must be equal about what is simulated, by how it is called."""
    plan = session.plan
    operators = [
        (type(op).__name__, [s.shape for s in op.all_signals]) for op in plan.order
    ]
    # labels may hold addresses
    trained = [(p.attribute, p.signal.shape) for p in plan.trainable]
    return {
        "the versions": f"nengo_dl {__version__}, TensorFlow {tf.__version__}",
        "the network": f"{len(operators)} operators (checksum {_sum(operators)})",
        "what is trained": f"{len(trained)} parameters (checksum {_sum(trained)})",
        "minibatch_size": str(session.placement.minibatch_size),
        "dtype": str(session.step.config.dtype),
    }


def facts_of_update(update: Update | None) -> dict[str, str]:
    """Return what must be equal about an optimizer, by how it is called."""
    if update is None:
        return {}
    optimizer = update.optimizer
    text = type(optimizer).__name__
    if isinstance(optimizer, keras.optimizers.Optimizer):
        # the learning rate may be another now; the first worker's counts
        plain = {
            name: value
            for name, value in optimizer.get_config().items()
            if name not in ("name", "learning_rate")
            and isinstance(value, bool | int | float | str | None)
        }
        text = f"{text} {plain}"
    shapes = [tuple(variable.shape) for variable in update.variables]
    return {"the optimizer": text, "the optimizer's variables": str(shapes)}


def facts_of_data(data: ArrayData | StreamData | None) -> str:
    """Return what must be equal about data."""
    if data is None:
        return "none"
    if isinstance(data, ArrayData):
        return f"{data.n_items} items of {data.n_steps} steps"
    return "an iterable"


def check_constants(workers: Workers, session: Session) -> None:
    """Raise if what is not trained differs, as it does without seeds.

    Parameters
    ----------
    workers : Workers
        The processes.
    session : Session
        What this one simulates.

    Raises
    ------
    ValidationError
        In all processes; the message names one that differs.
    """
    blocks = session.step.constant_blocks
    values = [
        variable.numpy().astype(np.float64)
        for block, variable in zip(blocks, session.store.variables.constants)
        if not block.trainable
    ]
    sums = [(v.sum(), np.abs(v).sum()) for v in values]
    rows = workers.gather(np.array([*sums, (0, 0)], np.float64).reshape(-1))
    rows = rows.reshape(workers.count, -1, 2)
    scale = _TOLERANCE * np.abs(rows[0, :, 1:])
    same = np.all(np.abs(rows - rows[0]) <= scale, axis=(1, 2))
    if not same.all():
        raise ValidationError(
            f"Worker {int(np.argmin(same))} has other values than worker 0 of what is "
            "not trained (such as gains, encoders or decoders). Give the network a "
            "seed, so that all workers build the same",
            attr="workers",
        )


def _sum(value: object) -> str:
    return f"{zlib.crc32(repr(value).encode()):08x}"
