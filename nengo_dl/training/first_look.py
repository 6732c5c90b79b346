"""What can be said of training before the first update: neurons that cannot learn."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal

from nengo_dl.builders.build_config import BuildConfig
from nengo_dl.program.step import StepProgram
from nengo_dl.support.lazy_imports import tf
from nengo_dl.training.inputs import Part

__all__ = ["currents", "idle_neurons"]

#: More steps are not looked at.
_MOST_STEPS = 100

#: A rate this close to a bound, as a part of the range, has next to no derivative.
_AT_BOUND = 0.02

#: Of an ensemble, so many neurons are most of them.
_MOST = 0.8


def currents(
    program: StepProgram,
    constants: Sequence[tf.Tensor],
    state: Sequence[tf.Tensor],
    part: Part,
) -> dict[Operator, np.ndarray]:
    """Return the input of all neurons in the steps of a minibatch.

    Parameters
    ----------
    program : StepProgram
        One step of training.
    constants, state : sequence of tf.Tensor
        Parameters, and the state before the first step.
    part : Part
        Inputs; nothing is returned if it has many steps, or Python is called.

    Returns
    -------
    dict of {Operator: ndarray, shape (n_steps * minibatch, n_neurons)}
        By the operator of the neurons.
    """
    n_steps = part.minibatch.n_steps
    if n_steps > _MOST_STEPS or program.has_callbacks:
        return {}
    numbers = [
        number
        for number, bound in enumerate(program.layout.groups)
        if isinstance(bound.group.ops[0], SimNeurons)
    ]
    if not numbers:
        return {}
    size = program.config.minibatch_size
    fixed_values = program.read_fixed(constants)
    fixed = {
        id(plan): value
        for plan, value in zip(program.fixed_plans, fixed_values, strict=True)
    }
    state_numbers = [block.number for block in program.state_blocks]
    found: dict[Operator, list[np.ndarray]] = {}
    state = list(state)
    for step in range(n_steps):
        frame = [_frame(parts, step, size) for parts in part.pieces]
        store = program.store(
            {
                block.number: value
                for blocks, values in (
                    (program.constant_blocks, constants),
                    (program.state_blocks, state),
                    (program.input_blocks, frame),
                )
                for block, value in zip(blocks, values, strict=True)
            }
        )
        for number, bound in enumerate(program.layout.groups):
            program.run_group(number, store, fixed)
            if number in numbers:
                plan = bound.reads[0]
                value = fixed[id(plan)] if id(plan) in fixed else store.read(plan)
                _divide(np.asarray(value), bound.group.ops, found)
        state = store.next_state(state_numbers)
    return {op: np.concatenate(parts) for op, parts in found.items()}


def _frame(parts: Sequence[tf.Tensor], step: int, minibatch: int) -> tf.Tensor:
    """Return the values of an input block in one step, shape (minibatch, size)."""
    rows = [part[min(step, part.shape[0] - 1)] for part in parts]
    return tf.concat(
        [tf.broadcast_to(row, (minibatch, row.shape[-1])) for row in rows], axis=1
    )


def _divide(values, ops, found) -> None:
    """Add the inputs of the operators of a group, which are side by side."""
    rows = values.reshape(len(values), -1)
    start = 0
    for op in ops:
        found.setdefault(op, []).append(rows[:, start : start + op.J.size])
        start += op.J.size


def idle_neurons(
    inputs: Mapping[Operator, np.ndarray],
    config: BuildConfig,
    reached: Collection[Signal],
    model: Model,
) -> str | None:
    """Say which ensembles are mostly silent or saturated, so that they cannot learn.

    Parameters
    ----------
    inputs : mapping of {Operator: ndarray}
        See `currents`.
    config : BuildConfig
        Tells how neurons are trained.
    reached : collection of Signal
        Base signals on which the loss depends.
    model : Model
        What Nengo built.

    Returns
    -------
    str or None
        What is wrong, and the cure. None: nothing is.
    """
    assert config.training is not None, "there is nothing to train"
    silent: list[str] = []
    saturated: list[str] = []
    for ens, op in _ensembles(inputs, model):
        how = config.training(op)
        if (
            op.J.base not in reached
            or how.surrogate is not None
            or how.smoothing is not None
        ):
            continue
        low, high = _idle(op.neurons, inputs[op])
        for idle, names in ((low, silent), (high, saturated)):
            if idle.mean() >= _MOST:
                names.append(f"{ens} ({int(idle.sum())} of {idle.size})")
    said = []
    if silent:
        said.append(
            f"Most neurons of {', '.join(silent)} are silent for the whole first "
            "minibatch. Choose max_rates and intercepts (or gain and bias) with which "
            "the inputs make them fire, or larger inputs or weights; lif_smoothing "
            "helps LIF neurons"
        )
    if saturated:
        said.append(
            f"Most neurons of {', '.join(saturated)} are at a bound of their rates for "
            "the whole first minibatch. Choose smaller gains, weights or inputs"
        )
    if not said:
        return None
    return ". ".join(said) + ". Such neurons have no gradient, so they do not learn"


def _ensembles(
    inputs: Mapping[Operator, np.ndarray], model: Model
) -> Iterator[tuple[nengo.Ensemble, SimNeurons]]:
    if model.toplevel is None:
        return
    by_output = {op.output: op for op in inputs if isinstance(op, SimNeurons)}
    for ens in model.toplevel.all_ensembles:
        for name in ("out", "rate_out"):
            op = by_output.get(model.sig[ens.neurons].get(name))
            if op is not None:
                yield ens, op
                break


def _idle(neurons: nengo.neurons.NeuronType, inputs: np.ndarray):
    """Return which neurons are silent, and which saturated, in all rows."""
    n_neurons = inputs.shape[1]
    none = np.zeros(n_neurons, dtype=bool)
    gain, bias = np.ones(n_neurons), np.zeros(n_neurons)
    try:
        with np.errstate(all="ignore"):
            rates = neurons.rates(inputs, gain, bias)
            ends = [
                neurons.rates(np.full((1, n_neurons), value), gain, bias)[0]
                for value in (-1e8, 1e6, 1e8)
            ]
    except Exception:  # a type of the user's without such a function
        return none, none
    low, nearly, high = ends
    silent = np.all(rates == 0, axis=0) & (low == 0)
    span = high - low
    is_bounded = np.isfinite(span) & (span > 0) & (abs(high - nearly) < 0.01 * span)
    near = np.minimum(abs(rates - low), abs(rates - high)) <= _AT_BOUND * span
    # below the threshold, a rate of zero is silence
    return silent, is_bounded & np.all(near, axis=0) & ~silent
