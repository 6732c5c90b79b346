"""What a loop over time carries from step to step."""

from types import SimpleNamespace

import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.program.carry import Carried


def state_of(*sizes, minibatch=1, dtype=np.float32):
    rng = np.random.RandomState(0)
    return [
        tf.constant(rng.uniform(-1, 1, (minibatch, size)), dtype=dtype)
        for size in sizes
    ]


def carried(state, n_steps=1000, merge_counter=True, twins=None, shapes=None):
    program = SimpleNamespace(
        config=SimpleNamespace(minibatch_size=int(state[0].shape[0])),
        state_shapes=shapes or [(int(value.shape[1]),) for value in state],
    )
    return Carried(program, state, twins or {}, n_steps, merge_counter)


def check_round_trip(carry, state, i):
    variables = carry.pack(tf.constant(i), state)
    assert carry.step_number(variables).dtype == tf.int32
    assert int(carry.step_number(variables)) == i
    for found, value in zip(carry.state(variables), state, strict=True):
        assert found.dtype == value.dtype
        np.testing.assert_array_equal(found, value)
    return variables


def test_step_number_goes_with_the_smallest_state():
    state = state_of(100, 3, 5)
    variables = check_round_trip(carried(state), state, 17)
    assert [tuple(v.shape) for v in variables] == [(1, 100), (1, 4), (1, 5)]


@pytest.mark.parametrize("minibatch, is_merged", [(1, True), (16, True), (17, False)])
def test_state_of_all_items_counts_as_small(minibatch, is_merged):
    state = state_of(4, 100, minibatch=minibatch)
    variables = check_round_trip(carried(state), state, 3)
    assert len(variables) == 2 + (not is_merged)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"merge_counter": False},
        {"shapes": [(2, 3)]},  # a matrix stays one
        {"n_steps": 2**23},  # from here on, single precision does not count in ones
    ],
)
def test_step_number_is_a_variable_of_its_own_where_it_must_be(kwargs):
    state = state_of(6)
    assert len(check_round_trip(carried(state, **kwargs), state, 5)) == 2


@pytest.mark.parametrize("state", [[], state_of(0), state_of(3, dtype=np.int32)])
def test_step_number_needs_state_of_floating_point_values(state):
    carry = carried(state) if state else carried_without_state()
    assert len(check_round_trip(carry, state, 5)) == len(state) + 1


def carried_without_state():
    config = SimpleNamespace(minibatch_size=1)
    return Carried(SimpleNamespace(config=config, state_shapes=[]), [], {}, 10, True)


def test_last_step_that_single_precision_counts():
    state = state_of(2)
    carry = carried(state, n_steps=2**23 - 1)
    assert len(check_round_trip(carry, state, 2**23 - 1)) == 1


def test_equal_state_is_carried_once():
    first, other = state_of(3, 50)
    state = [first, other, first]
    variables = check_round_trip(carried(state, twins={2: 0}), state, 9)
    assert [tuple(v.shape) for v in variables] == [(1, 4), (1, 50)]


@pytest.mark.parametrize("minibatch_size", [None, 2])
@pytest.mark.parametrize("unroll", [1, 3])
def test_state_that_is_not_finite_does_not_disturb_the_counter(minibatch_size, unroll):
    with nengo.Network(seed=0) as net:
        # overflows in single precision after some steps
        node = nengo.Node(size_in=1)
        nengo.Connection(node, node, transform=1e20, synapse=nengo.Lowpass(0))
        nengo.Connection(nengo.Node(1), node)
        probe = nengo.Probe(node)
        counter = nengo.Probe(nengo.Node(lambda t: t))
    with nengo_dl.Simulator(
        net,
        minibatch_size=minibatch_size,
        unroll_simulation=unroll,
        jit_compile=True,
        progress_bar=False,
    ) as sim:
        sim.run_steps(20)
        data = sim.data[probe]
        assert not np.isfinite(data).all()
        assert np.isfinite(data[..., 0, :]).all()
        times = np.arange(1, 21) * 0.001
        np.testing.assert_allclose(np.ravel(sim.data[counter])[-20:], times, rtol=1e-6)
