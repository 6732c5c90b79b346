"""The memory of derivatives: what is estimated, and what is computed again for it."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.program.placement import Placement
from nengo_dl.program.schedule import Schedule
from nengo_dl.training import functions, memory
from nengo_dl.training.memory import (
    StepMemory,
    choose_segment,
    measure_step,
    training_limit,
)

STEP = StepMemory(state=1000, kept=4000, data=10)


@pytest.mark.parametrize("n_steps", [2, 7, 100, 997, 10_000])
@pytest.mark.parametrize("part", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_longest_segment_that_fits_is_chosen(n_steps, part):
    limit = part * STEP.total(n_steps)
    chosen = choose_segment(n_steps, STEP, limit)
    needed = {length: STEP.total(n_steps, length) for length in range(1, n_steps)}
    root = np.sqrt(n_steps * STEP.state / STEP.kept)
    fitting = [k for k, bytes in needed.items() if bytes <= limit and k >= int(root)]
    if fitting:
        assert chosen == max(fitting)
    else:  # what needs the least, up to what the root is rounded to
        assert needed[chosen] <= 1.1 * min(needed.values())


def test_everything_is_kept_where_it_fits():
    assert choose_segment(100, STEP, STEP.total(100)) is None
    assert choose_segment(100, STEP, None) is None
    assert choose_segment(1, STEP, 1) is None


def test_memory_grows_with_the_root_of_the_steps_where_little_fits():
    pure = StepMemory(state=1000, kept=4000, data=0)
    totals = [pure.total(n, choose_segment(n, pure, 1)) for n in (100, 400, 1600, 6400)]
    np.testing.assert_allclose(np.divide(totals[1:], totals[:-1]), 2, rtol=0.1)


def spiking_layer(**settings):
    """A layer of spiking neurons, trained with a surrogate derivative."""
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(surrogate="fast_sigmoid", **settings)
        node = nengo.Node(np.zeros(20))
        neurons = nengo.Ensemble(
            30, 1, gain=np.ones(30), bias=np.ones(30), neuron_type=nengo.LIF()
        ).neurons
        weights = 0.5 * rng.randn(30, 20)
        nengo.Connection(node, neurons, transform=weights, synapse=None)
        output = nengo.Node(size_in=4)
        weights = 0.001 * rng.randn(4, 30)
        nengo.Connection(neurons, output, transform=weights, synapse=0.005)
        nengo.Probe(output)
    return net


def test_a_step_of_a_spiking_layer_is_counted():
    with nengo_dl.Simulator(
        spiking_layer(), minibatch_size=3, progress_bar=False
    ) as sim:
        sim.loss(np.zeros((3, 2, 20)), np.zeros((3, 2, 4)), training=True)
        program = sim._get_training().trainer.functions.programs.step(True)
    moving = [block.size == 20 for block in program.input_blocks]
    found = measure_step(Schedule(program, moving), [0])
    each = 3 * 4  # items, bytes
    # voltages and refractory times; the filter, and its output
    assert found.state == each * (2 * 30 + 2 * 4)
    # besides: currents and spikes with their gradients, what currents are added up
    # from, and the filter's input
    values = (found.kept - found.state) / each
    assert 4 * 30 <= values <= 6 * 30 + 2 * 4
    assert found.data == each * memory._COPIES * (20 + 4)


def trained(monkeypatch, n_steps=12, recompute=None, **settings):
    """Return losses, trained values, and the number of steps that were kept."""
    chosen = []

    def choose(*args):
        chosen.append(choose_segment(*args))
        return chosen[-1]

    monkeypatch.setattr(functions, "choose_segment", choose)
    rng = np.random.RandomState(1)
    x = rng.uniform(-1, 1, (4, n_steps, 20))
    y = rng.uniform(-1, 1, (4, n_steps, 4))
    with nengo_dl.Simulator(
        spiking_layer(**settings),
        minibatch_size=2,
        dtype="float64",
        seed=0,
        progress_bar=False,
    ) as sim:
        history = sim.train(x, y, keras.optimizers.SGD(0.1), recompute=recompute)
        values = [v.numpy() for v in sim.trainable_variables]
    return history.loss, values, chosen


def test_little_memory_gives_the_same_results(monkeypatch):
    expected, values, (everything,) = trained(monkeypatch)
    assert everything is None
    actual, others, (chosen,) = trained(monkeypatch, training_memory=1)
    assert 1 <= chosen < 12
    np.testing.assert_allclose(actual, expected, rtol=1e-12)
    for one, other in zip(values, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_users_choose_before_that(monkeypatch):
    assert trained(monkeypatch, recompute=12, training_memory=1)[2] == []


def test_limit_is_that_of_the_setting_or_a_part_of_what_there_is(monkeypatch):
    cpu, gpu = Placement("/cpu:0", "CPU"), Placement("/gpu:0", "GPU")
    monkeypatch.setattr(memory, "memory_limit", lambda: 1000)
    assert training_limit(None, cpu) == 500
    assert training_limit(None, gpu) is None
    assert training_limit(123, cpu) == training_limit(123, gpu) == 123
    monkeypatch.setattr(memory, "memory_limit", lambda: None)
    assert training_limit(None, cpu) is None


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1 GB"])
def test_bad_limits_are_refused(value):
    with nengo.Network(), pytest.raises(ValidationError, match="number of bytes"):
        nengo_dl.configure_settings(training_memory=value)
