"""What is exported: names, inputs, state; and what cannot be."""

import warnings

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.exporting.network import ExportedNetwork
from tests.exporting.examples import simulated


def network_of(sim, wanted=None, state="initial"):
    """Return what would be written."""
    return ExportedNetwork(
        sim._session, sim.model, sim._input_signals, wanted, state, None
    )


def functions_of(sim, *args, **kwargs):
    return network_of(sim, *args, **kwargs).functions


def one_step(network, **inputs):
    """Compute a step from the default state."""
    functions = network.functions
    values = {entry.name: entry.default for entry in functions.state}
    values.update({entry.name: inputs[entry.name] for entry in functions.inputs})
    values = {name: tf.constant(value) for name, value in values.items()}
    compute = network.one_step(network.constants)
    return {k: v.numpy() for k, v in functions.step(compute, values).items()}


def test_names_are_legal_and_unique():
    with nengo.Network(seed=0) as net:
        nodes = [
            nengo.Node([0.0], label=label)
            for label in ("my input!", "my.input", "MY_INPUT", "2nd", None, "state_0")
        ]
        both = nengo.Node(size_in=1)
        for node in nodes:
            nengo.Connection(node, both, synapse=0.1)
        for label in ("2nd", None, "next_state_0"):
            nengo.Probe(both, label=label)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        functions = functions_of(sim)
    assert [entry.name for entry in functions.inputs] == [
        *("my_input", "my_input_1", "MY_INPUT_2", "node_2nd", "node", "state_0_1")
    ]
    assert [entry.name for entry in functions.outputs] == [
        *("probe_2nd", "probe", "next_state_0_1")
    ]


def test_what_python_makes_ahead_is_an_input():
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: t, label="wave")
        signal = nengo.Node(nengo.processes.WhiteSignal(1, 5), label="signal")
        const = nengo.Node([0.5], label="constant")
        noisy = nengo.Ensemble(
            5, 1, noise=nengo.processes.WhiteNoise(seed=1), label="noisy"
        )
        lots = nengo.Ensemble(
            4, 1, neuron_type=nengo.StochasticSpiking(nengo.RectifiedLinear())
        )
        nengo.Connection(wave, noisy)
        nengo.Connection(wave, lots, function=np.square)
        nengo.Connection(signal, noisy)
        nengo.Connection(const, noisy)
        nengo.Probe(noisy)
        nengo.Probe(lots.neurons, label="spikes")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        network = network_of(sim)
    meanings = {e.name: e.meaning for e in network.functions.inputs}
    assert meanings == {
        "wave": "Node 'wave', in the simulation values of its function of time",
        "signal": "Node 'signal', in the simulation values of "
        "WhiteSignal(period=1, high=5)",
        "constant": "Node 'constant'",
        "noisy_noise": "for 'noisy': values of WhiteNoise() with seed 1",
        "wave_ensemble1_function": "function of 'wave->ensemble1': its result for "
        "'wave'",
        "ensemble1_draws": "for neurons of 'ensemble1': random numbers, uniform from "
        "0 to 1",
    }
    defaults = {e.name: e.default for e in network.functions.inputs}
    assert defaults.pop("constant").tolist() == [[0.5]]
    assert set(defaults.values()) == {None}

    zeros = {e.name: np.zeros(e.shape, e.dtype) for e in network.functions.inputs}
    certain = one_step(network, **zeros)["spikes"]
    never = one_step(network, **{**zeros, "ensemble1_draws": np.ones((1, 4), "f")})
    assert np.all(certain[certain > 0] == 1 / sim.dt) and certain.any()
    assert not never["spikes"].any()


def test_fed_values_are_those_of_processes():
    process = nengo.processes.WhiteNoise(seed=1)
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(
            5, 1, noise=process, neuron_type=nengo.RectifiedLinear(), label="a"
        )
        probe = nengo.Probe(ens.neurons, label="rates")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        noise = process.run_steps(1, d=5, dt=sim.dt).astype("float32")
        found = one_step(network_of(sim), a_noise=noise)["rates"]
        sim.step()
        np.testing.assert_allclose(found[0], sim.data[probe][0], rtol=1e-6)


def test_inputs_that_are_left_out_keep_their_values():
    with nengo.Network() as net:
        a = nengo.Node([1.0], label="a")
        b = nengo.Node([2.0, 3.0], label="b")
        total = nengo.Node(size_in=2)
        nengo.Connection(a, total[0], synapse=None)
        nengo.Connection(b, total, synapse=None)
        nengo.Probe(total, label="total")
    with nengo_dl.Simulator(net, progress_bar=False, minibatch_size=2) as sim:
        network = network_of(sim, [a])
        results = one_step(network, a=np.array([[5.0], [7.0]], "float32"))
    assert [entry.name for entry in network.functions.inputs] == ["a"]
    assert results["total"].tolist() == [[7, 3], [9, 3]]


@pytest.mark.parametrize("state", ["initial", "current"])
def test_state_at_the_start(state):
    example = simulated("pes")
    sim = example.sim
    before = {e.name: e for e in functions_of(sim).state}
    try:
        sim.run_steps(
            20, input_feeds={sim.model.toplevel.nodes[0]: np.ones((1, 20, 2))}
        )
        functions = functions_of(sim, state=state)
        weights = sim.data[sim.model.toplevel.all_connections[1]].weights
    finally:
        sim.reset()
    same = {
        e.name: np.array_equal(e.default, before[e.name].default)
        for e in functions.state
    }
    meanings = {e.name: e.meaning for e in functions.state}
    learned = [e for e in functions.state if e.default.size == weights.size]
    # what was learned is kept, the voltages start anew
    assert any(np.array_equal(e.default.ravel(), weights.ravel()) for e in learned)
    voltages = [same[name] for name, m in meanings.items() if "voltage" in m]
    assert voltages and all(voltages) is (state == "initial")


def test_number_of_steps_is_part_of_the_state_where_it_counts():
    with nengo.Network() as net:
        clock = nengo_dl.TensorNode(lambda t: tf.reshape(t, (1, 1)), size_out=1)
        nengo.Probe(clock, label="t")
    with nengo_dl.Simulator(net, progress_bar=False, dtype=tf.float64) as sim:
        sim.run_steps(6)
        network = network_of(sim, state="current")
        results = one_step(network)
        assert results["t"].tolist() == [[7 * sim.dt]]
        assert results["next_state_n_steps"] == 7
        assert functions_of(sim).state[-1].default == 0


def test_current_parameters_are_written():
    with nengo.Network(seed=0) as net:
        x = nengo.Node([1.0], label="x")
        y = nengo.Node(size_in=1)
        nengo.Connection(x, y, transform=2, synapse=None)
        probe = nengo.Probe(y, label="y")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.train(
            {x: np.ones((1, 1, 1))},
            {probe: np.ones((1, 1, 1))},
            keras.optimizers.SGD(0.25),
            n_epochs=1,
        )
        sim.run_steps(1)
        trained = sim.data[probe][0]
        results = one_step(network_of(sim), x=np.ones((1, 1), "float32"))
    assert results["y"][0] == trained != 2


def test_export_can_be_printed(tmp_path):
    example = simulated("integrator")
    text = str(example.sim.export(tmp_path / "model"))
    assert text.startswith("tf_saved_model: step, run (any number of steps of 0.001 s)")
    assert "x     (1, 1)  float64  Node 'x'" in text
    assert "decoded_output of 'ensemble0'" in text


# -- what cannot be exported


def test_python_in_the_loop_is_listed(tmp_path):
    with nengo.Network() as net:
        x = nengo.Node([0.0], label="x")
        printer = nengo.Node(lambda t, x: x, size_in=1, label="printer")
        direct = nengo.Ensemble(1, 1, neuron_type=nengo.Direct(), label="direct")
        nengo.Connection(x, printer)
        nengo.Connection(printer, direct)
        nengo.Probe(nengo.Connection(direct, printer, function=np.sin))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError) as caught:
            sim.export(tmp_path / "model")
    message = str(caught.value)
    assert "Cannot export a network that calls Python in each step:\n- " in message
    assert "Node 'printer' calls Python in each step" in message
    assert "the function of 'direct->printer' is called in each step" in message
    assert list(tmp_path.iterdir()) == []


def test_python_in_tensorflow_code_is_refused(tmp_path):
    with nengo.Network() as net:
        node = nengo_dl.TensorNode(
            lambda t, x: tf.reshape(tf.numpy_function(np.sin, [x], x.dtype), (1, 1)),
            size_in=1,
            size_out=1,
        )
        nengo.Connection(nengo.Node([0.0]), node)
        nengo.Probe(node)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that XLA cannot compile it
        sim = nengo_dl.Simulator(net, progress_bar=False, jit_compile=False)
    with sim, pytest.raises(ValidationError, match=r"Cannot export .* Python"):
        sim.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_closed_simulator(tmp_path):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([0.0]))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        pass
    with pytest.raises(SimulatorClosed, match="Cannot export: the simulator is closed"):
        sim.export(tmp_path / "model")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"format": "pb"}, "format: Must be one of 'tf_saved_model', 'onnx', 'litert'"),
        ({"format": None}, "format: Must be one of"),
        ({"format": "keras"}, "A .keras file lists layers .* call_endpoint='simulate'"),
        ({"function": "loop"}, "function: Must be 'step', 'run' or None; got 'loop'"),
        ({"n_steps": 0}, "n_steps: Must be a whole number of steps, at least 1"),
        ({"n_steps": 2.5}, "n_steps: Must be a whole number of steps"),
        ({"n_steps": 5, "function": "step"}, "A step has no number of steps"),
        ({"state": "last"}, "state: Must be 'initial' or 'current'; got 'last'"),
        ({"jit_compile": 3}, "jit_compile"),
        ({"jit_compile": True, "format": "litert"}, "'litert' does not use XLA"),
        ({"inputs": "x"}, "inputs: Must be a list of Nodes; got 'x'"),
        ({"inputs": [nengo.Node([0], add_to_container=False)]}, "no input of this"),
        ({"path": 3}, "path: Must be a string or a path; got int"),
        ({"path": ""}, "path: Must be the name of a file or folder; got ''"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "-".join(value),
)
def test_wrong_argument(arguments, message, tmp_path):
    sim = simulated("integrator").sim
    with pytest.raises(ValidationError, match=message):
        sim.export(**{"path": tmp_path / "model", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_node_of_time_cannot_be_left_out():
    with nengo.Network() as net:
        nengo.Probe(nengo.Node(lambda t: t, label="ramp"))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(ValidationError, match=r"'ramp'.* have to be fed: list"):
            functions_of(sim, [])


def test_path_that_exists_is_left_alone(tmp_path):
    sim = simulated("integrator").sim
    (tmp_path / "model").mkdir()
    with pytest.raises(ValidationError, match=r"model' exists already; remove it"):
        sim.export(tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []
    with pytest.raises(ValidationError, match=r"There is no folder '.*nowhere'"):
        sim.export(tmp_path / "nowhere/model")


def test_nothing_is_left_of_a_file_that_fails(tmp_path, monkeypatch):
    def fail(module, folder, **kwargs):
        (tmp_path / folder).mkdir()
        raise OSError("disk full")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        simulated("integrator").sim.export(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_simulator_goes_on_as_if_nothing_had_happened(tmp_path):
    sim = simulated("integrator").sim
    (x,), (probe,) = sim.model.toplevel.nodes, sim.model.probes
    data = []
    for exports in (False, True):
        sim.reset()
        sim.run_steps(10, input_feeds={x: np.ones((1, 10, 1))})
        if exports:
            sim.export(tmp_path / "model")
        sim.run_steps(10, input_feeds={x: np.ones((1, 10, 1))})
        data.append(np.array(sim.data[probe]))
    sim.reset()
    assert np.array_equal(*data)
