"""Filters are built as Nengo builds them, without discretizing each."""

import nengo
import numpy as np
import pytest
from nengo.builder import Builder, Model, Signal
from nengo.builder.processes import SimProcess, build_process
from nengo.synapses import LinearFilter

from nengo_dl.building.builder import FastBuilder

FILTERS = [
    nengo.Lowpass(0.1),
    nengo.Lowpass(0),
    nengo.Alpha(0.05),
    LinearFilter([0.5, 0.1], [1, -0.9], analog=False),
    LinearFilter([2], [1]),
    nengo.synapses.Triangle(0.01),
]


def built(process, builder, **kwargs):
    model = Model(builder=builder)
    output = model.build(process, Signal(shape=(3,), name="input"), **kwargs)
    (op,) = (op for op in model.operators if isinstance(op, SimProcess))
    return model, op, output


@pytest.mark.parametrize("mode", ["set", "inc", "update"])
@pytest.mark.parametrize("process", FILTERS, ids=repr)
def test_filter_is_built_as_by_nengo(process, mode):
    model, op, output = built(process, FastBuilder(), mode=mode)
    _, expected, their_output = built(process, Builder(), mode=mode)
    assert op.process is process and op.mode == mode and op.tag == expected.tag
    assert output.name == their_output.name and output.shape == their_output.shape
    assert list(op.state) == list(expected.state)
    for name, signal in expected.state.items():
        assert op.state[name] is model.sig[process]["_state_" + name]
        assert op.state[name].dtype == signal.dtype
        np.testing.assert_array_equal(
            op.state[name].initial_value, signal.initial_value
        )


def test_filter_takes_the_output_that_it_is_given():
    output = Signal(np.ones(3, dtype=np.float32), name="output")
    _, op, found = built(nengo.Lowpass(0.1), FastBuilder(), sig_out=output)
    assert found is op.output is output
    assert op.state["X"].dtype == np.float32


@pytest.mark.parametrize(
    "output",
    [Signal(np.ones(2), name="short"), Signal(np.ones(3, dtype=int), name="whole")],
    ids=["shape", "type"],
)
def test_filter_that_does_not_fit_raises_nengos_error(output):
    errors = []
    for builder in (FastBuilder(), Builder()):
        with pytest.raises(Exception) as caught:
            built(nengo.Lowpass(0.1), builder, sig_out=output)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]


def test_filters_of_a_kind_are_discretized_once(monkeypatch):
    calls = []
    original = LinearFilter.make_state
    monkeypatch.setattr(
        LinearFilter,
        "make_state",
        lambda self, *args, **kwargs: (
            calls.append(self) or original(self, *args, **kwargs)
        ),
    )
    with nengo.Network(seed=0) as net:
        nodes = [nengo.Node(np.ones(size)) for size in (1, 2, 3)]
        for node in nodes:
            for synapse in (0.1, 0.1, 0.2):
                nengo.Connection(
                    node, nengo.Node(size_in=node.size_out), synapse=synapse
                )
    model = Model(builder=FastBuilder())
    model.build(net)
    assert [process.tau for process in calls] == [0.1, 0.2]
    sizes = [op.output.size for op in model.operators if isinstance(op, SimProcess)]
    assert sizes == [1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_a_function_that_the_user_registered_for_filters_is_called(monkeypatch):
    seen = []

    def build(model, process, *args, **kwargs):
        seen.append(process)
        return build_process(model, process, *args, **kwargs)

    monkeypatch.setitem(Builder.builders, nengo.Lowpass, build)
    process = nengo.Lowpass(0.1)
    built(process, FastBuilder())
    assert seen == [process]
