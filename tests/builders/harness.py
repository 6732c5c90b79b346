"""Run a group of operators through its builder and through nengo's NumPy steps."""

import numpy as np
import tensorflow as tf
from nengo.builder.signal import SignalDict

from nengo_dl.builders import BuildConfig, Writes, find_builder
from nengo_dl.compiler.sparse import coo


def to_operand(arrays, flat):
    """Arrange arrays ``(batch,) + signal.shape`` as a builder receives them."""
    if flat:
        return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1)
    return np.stack(arrays, axis=1)


def from_operand(tensor, signals, flat, batch):
    """Undo `to_operand`: one array of shape ``(batch,) + signal.shape`` per signal."""
    array = np.broadcast_to(tensor.numpy(), (batch,) + tensor.shape[1:])
    if not flat:
        return [array[:, i].reshape((batch, *s.shape)) for i, s in enumerate(signals)]
    ends = np.cumsum([s.size for s in signals])
    return [
        array[:, end - s.size : end].reshape((batch, *s.shape))
        for s, end in zip(signals, ends, strict=True)
    ]


def random_inputs(low=-1, high=1):
    """Return a function for the ``inputs`` of `check_parity`, the same in every run."""
    numbers = {}

    def inputs(signal, step, item):
        number = numbers.setdefault(signal, len(numbers))
        rng = np.random.RandomState([number, step, item])
        return rng.uniform(low, high, size=signal.shape)

    return inputs


def is_constant(signal):
    """Whether a signal never changes, so that all batch items share its value."""
    return signal.readonly or signal.sparse


def values(signals, state, live):
    """Return the values of read signals, each ``(batch or 1,) + signal.shape``.

    Sparse signals are represented by their stored entries.
    """
    shared = all(is_constant(signal) for signal in signals)
    result = []
    for signal in signals:
        if signal.sparse:
            result.append(coo(signal.initial_value)[2][None])
        elif signal in state:
            result.append(state[signal])
        else:
            items = live[:1] if shared else live
            result.append(np.stack([np.array(item[signal]) for item in items]))
    return result


def check_parity(
    ops,
    inputs,
    n_steps=20,
    batch=1,
    dt=0.001,
    dtype=np.float64,
    rtol=1e-12,
    atol=1e-12,
    jit_compile=True,
):
    """Assert that a merged group computes what nengo's NumPy steps compute.

    Parameters
    ----------
    ops : list of Operator
        Operators of one builder that are expected to merge.
    inputs : callable
        ``inputs(signal, step, item)`` gives the value of a read signal that no operator
        of the group writes, for a step and a batch item.
    """
    rng = np.random.RandomState(0)
    builder_type = find_builder(ops[0])
    assert builder_type is not None, f"no builder for {ops[0]}"
    assert all(find_builder(op) is builder_type for op in ops)
    assert len({builder_type.merge_key(op) for op in ops}) == 1, "would not merge"
    flat = builder_type.flat(ops[0])
    state_sets = list(builder_type.state_sets(ops[0]))
    used_reads = list(builder_type.used_reads(ops[0]))
    builder = builder_type(
        ops, BuildConfig(dt=dt, dtype=np.dtype(dtype), minibatch_size=batch)
    )
    builder.constant_reads = {
        position
        for position, i in enumerate(used_reads)
        if all(is_constant(op.reads[i]) for op in ops)
    }

    # NumPy side: one dictionary of live arrays per batch item
    live = []
    for _ in range(batch):
        signals = SignalDict()
        for op in ops:
            op.init_signals(signals)
        live.append(signals)
    steps = [[op.make_step(signals, dt, rng) for op in ops] for signals in live]
    written = [s.base for op in ops for s in op.sets + op.incs + op.updates]

    state = {
        sig: np.stack([np.array(signals[sig]) for signals in live])
        for op in ops
        for sig in [op.sets[i] for i in state_sets] + op.updates
    }

    @tf.function(jit_compile=jit_compile, autograph=False)
    def step(reads, previous):
        arranged = [
            builder.arrange(i, value) if i in builder.constant_reads else value
            for i, value in enumerate(reads)
        ]
        writes = builder.step(arranged, previous)
        return writes.sets, writes.incs, writes.updates

    def cast(array):
        return tf.constant(array.astype(dtype) if array.dtype.kind == "f" else array)

    for n in range(n_steps):
        for item, signals in enumerate(live):
            for op in ops:
                for sig in op.reads:
                    if sig.base not in written and not is_constant(sig):
                        signals[sig][...] = inputs(sig, n, item)
        reads = [
            cast(to_operand(values([op.reads[i] for op in ops], state, live), flat))
            for i in used_reads
        ]
        previous = [
            cast(to_operand([state[getattr(op, kind)[i]] for op in ops], flat))
            for kind, idxs in (
                ("sets", state_sets),
                ("updates", range(len(ops[0].updates))),
            )
            for i in idxs
        ]
        writes = Writes(*step(reads, previous))
        before_incs = [
            [[np.array(signals[s]) for s in op.incs] for op in ops] for signals in live
        ]
        for item in range(batch):
            for numpy_step in steps[item]:
                numpy_step()
        for kind in ("sets", "incs", "updates"):
            results = getattr(writes, kind)
            assert len(results) == len(getattr(ops[0], kind)), kind
            for i, result in enumerate(results):
                assert result.shape[0] in (1, batch)
                sigs = [getattr(op, kind)[i] for op in ops]
                for j, (sig, value) in enumerate(
                    zip(sigs, from_operand(result, sigs, flat, batch), strict=True)
                ):
                    expected = np.stack([np.array(signals[sig]) for signals in live])
                    if kind == "incs":
                        expected = expected - np.stack(
                            [before_incs[b][j][i] for b in range(batch)]
                        )
                    np.testing.assert_allclose(
                        value,
                        expected,
                        rtol=rtol,
                        atol=atol,
                        err_msg=f"{kind}[{i}] of {ops[j]} at step {n}",
                    )
                    if sig in state:
                        state[sig] = np.asarray(value, dtype=sig.dtype)
