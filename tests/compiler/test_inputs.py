"""What runs on the host ahead of the device, and what stays in step with it."""

import nengo
import numpy as np
import pytest
from nengo.builder import Model
from nengo.builder.operator import Copy, Reset, SimPyFunc, TimeUpdate
from nengo.builder.probe import SimProbe
from nengo.builder.processes import SimProcess
from nengo.builder.signal import Signal, SignalDict

from nengo_dl.compiler.inputs import split_inputs
from nengo_dl.compiler.operators import RandomSample, StochasticRounding


def split_network(build, is_callback=lambda op: isinstance(op, SimPyFunc)):
    with nengo.Network(seed=0) as net:
        build()
    model = Model(dt=0.001)
    model.build(net)
    return model, split_inputs(model.operators, is_callback)


def types(operators):
    return sorted(type(op).__name__ for op in operators)


def test_functions_of_time_run_on_the_host():
    model, split = split_network(lambda: nengo.Node(np.sin))
    assert types(split.host) == ["SimPyFunc", "TimeUpdate"]
    assert split.device == []
    assert split.inputs == [model.step, model.time, split.host[1].output]
    assert split.origin == {}


def test_functions_without_output_run_on_the_host_too():
    _, split = split_network(lambda: nengo.Node(lambda t: None))
    assert types(split.host) == ["SimPyFunc", "TimeUpdate"]
    assert len(split.inputs) == 2


def test_processes_without_input_run_on_the_host():
    _, split = split_network(
        lambda: nengo.Node(nengo.processes.WhiteNoise(), size_out=2)
    )
    assert types(split.host) == ["SimProcess", "TimeUpdate"]
    assert split.inputs[-1] is split.host[-1].output


def test_functions_with_input_stay_on_the_device():
    _, split = split_network(lambda: nengo.Node(lambda t, x: x, size_in=1))
    assert types(split.host) == ["TimeUpdate"]
    assert "SimPyFunc" in types(split.device)


def test_functions_of_time_stay_in_step_with_other_functions():
    def build():
        nengo.Node(np.sin)
        nengo.Node(nengo.processes.WhiteNoise(), size_out=1)
        nengo.Node(lambda t, x: x, size_in=1)

    _, split = split_network(build)
    # noise cannot depend on what functions do
    assert types(split.host) == ["SimProcess", "TimeUpdate"]
    assert types(split.device).count("SimPyFunc") == 2
    _, split = split_network(build, is_callback=lambda op: False)
    assert types(split.host) == ["SimProcess", "SimPyFunc", "TimeUpdate"]


def test_lock_step_ignores_functions_of_time_themselves():
    def build():
        nengo.Node(np.sin)
        nengo.Node(np.cos)

    _, split = split_network(build)
    assert types(split.host) == ["SimPyFunc", "SimPyFunc", "TimeUpdate"]


def test_probes_have_no_operator():
    def build():
        nengo.Probe(nengo.Node(np.sin))

    _, split = split_network(build)
    assert not any(isinstance(op, SimProbe) for op in split.device + split.host)


def test_processes_with_input_stay_on_the_device():
    def build():
        a, b = nengo.Node([1.0]), nengo.Node(size_in=1)
        nengo.Connection(a, b, synapse=0.1)

    _, split = split_network(build)
    assert any(isinstance(op, SimProcess) for op in split.device)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_becomes_an_input_that_is_added(dtype):
    target, time = Signal(np.ones(3, dtype), name="x"), Signal(0.0, name="time")
    noise = SimProcess(nengo.processes.WhiteNoise(), None, target, time, mode="inc")
    split = split_inputs([Reset(target), noise], lambda op: False)
    (moved,) = split.host
    _reset, copy = split.device
    assert (moved.process, moved.mode, moved.t) == (noise.process, "set", time)
    assert split.inputs == [moved.output]
    assert moved.output.shape == target.shape and moved.output.dtype == dtype
    assert type(copy) is Copy and copy.inc
    assert (copy.src, copy.dst) == (moved.output, target)
    assert split.origin == {moved: noise, copy: noise}
    assert noise.incs == [target]


def test_process_that_fills_part_of_a_signal_is_copied_there():
    target, time = Signal(np.zeros(3), name="x"), Signal(0.0, name="time")
    op = SimProcess(nengo.processes.WhiteNoise(), None, target[1:], time)
    split = split_inputs([op], lambda op: False)
    (copy,) = split.device
    assert not copy.inc and copy.dst is op.output
    assert split.inputs == [copy.src] and not copy.src.is_view


def test_function_that_fills_part_of_a_signal_is_copied_there():
    target, time = Signal(np.zeros(3), name="x"), Signal(0.0, name="time")
    op = SimPyFunc(target[:2], np.sin, time, None)
    split = split_inputs([op], lambda op: False)
    (moved,), (copy,) = split.host, split.device
    assert (moved.fn, moved.t, moved.x) == (np.sin, time, None)
    assert copy.src is moved.output and copy.dst is op.output
    assert split.origin == {moved: op, copy: op}


def test_moved_noise_has_the_numbers_of_the_original():
    time = Signal(0.0, name="time")
    target = Signal(np.zeros(3), name="x")
    noise = SimProcess(nengo.processes.WhiteNoise(), None, target, time, mode="inc")
    split = split_inputs([noise], lambda op: False)

    def run(operators):
        signals = SignalDict()
        for op in operators:
            op.init_signals(signals)
        rng = np.random.RandomState(3)
        for step in [op.make_step(signals, 0.001, rng) for op in operators]:
            step()
        return signals[target]

    expected = run([noise])
    assert expected.any()
    np.testing.assert_array_equal(run([*split.host, *split.device]), expected)


def test_random_numbers_of_stochastic_neurons_are_drawn_on_the_host():
    def build():
        nengo.Ensemble(
            10, 1, neuron_type=nengo.StochasticSpiking(nengo.RectifiedLinear())
        )

    model, split = split_network(build)
    (sample,) = (op for op in split.host if isinstance(op, RandomSample))
    (rounding,) = (op for op in split.device if isinstance(op, StochasticRounding))
    assert sample.draws is rounding.draws and sample.draws in split.inputs
    original = split.origin[sample]
    assert original is split.origin[rounding] and original in model.operators
    assert sample.rng is original.state_extra["rng"]


def test_random_numbers_of_stochastic_neurons_are_no_callbacks():
    def build():
        nengo.Node(np.sin)
        nengo.Ensemble(
            10, 1, neuron_type=nengo.StochasticSpiking(nengo.RectifiedLinear())
        )

    # whoever asks for the builder of an operator that is rewritten gets a warning
    def is_callback(op):
        return isinstance(getattr(op, "neurons", None), nengo.StochasticSpiking)

    _, split = split_network(build, is_callback)
    assert "SimPyFunc" in types(split.host)


def test_every_operator_has_a_place():
    def build():
        a = nengo.Node(np.sin)
        ens = nengo.Ensemble(10, 1, noise=nengo.processes.WhiteNoise())
        nengo.Connection(a, ens)

    model, split = split_network(build)
    there = {split.origin.get(op, op) for op in split.host + split.device}
    assert there == set(model.operators)
    assert isinstance(split.host[0], TimeUpdate)


def with_function(pre, **kwargs):
    post = nengo.Node(size_in=1)
    nengo.Connection(pre, post, function=lambda x: x[:1], synapse=None, **kwargs)


def test_functions_of_inputs_run_on_the_host():
    _, split = split_network(
        lambda: with_function(nengo.Node(lambda t: [t, t, t])[[2, 0]])
    )
    assert types(split.host) == ["SimPyFunc", "SimPyFunc", "TimeUpdate"]
    ((op, argument),) = split.arguments.items()
    assert op.output in split.inputs
    assert argument.root in split.inputs and argument.root is not op.output
    # the slice stays on the device as well: others may read it
    assert type(argument.copy) is Copy and argument.copy in split.device


def test_functions_of_constants_run_ahead_only_if_these_can_be_fed():
    with nengo.Network(seed=0) as net:
        node = nengo.Node([1.0])
        with_function(node)
    model = Model(dt=0.001)
    model.build(net)
    for fixed in ([], [model.sig[node]["out"]]):
        split = split_inputs(model.operators, lambda op: False, fixed)
        assert len(split.arguments) == len(fixed)


def test_functions_of_what_the_device_computes_stay_there():
    def build():
        ensemble = nengo.Ensemble(2, 1, neuron_type=nengo.Direct())
        nengo.Connection(nengo.Node(np.sin), ensemble)
        with_function(ensemble)

    _, split = split_network(build)
    assert not split.arguments and types(split.host) == ["TimeUpdate"]
