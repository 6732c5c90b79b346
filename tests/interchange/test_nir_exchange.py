"""NIR graphs as networks, and back, against the equations of NIR."""

import nengo
import nir
import numpy as np
import pytest

import nengo_dl
from tests.interchange.nir_graphs import CASES, KINDS, random_inputs
from tests.interchange.nir_reference import Reference

N_STEPS = 120


def simulate(graph, inputs, dt=0.001, method=None, simulator=nengo_dl.Simulator):
    """Return the outputs of the network of a graph, flat, in double precision."""
    net, nodes, probes = nengo_dl.from_nir(graph, dt=dt, method=method)
    n_steps = len(next(iter(inputs.values())))
    flat = {name: value.reshape(n_steps, -1) for name, value in inputs.items()}
    if simulator is nengo.Simulator:
        for name, values in flat.items():
            nodes[name].output = nengo.processes.PresentInput(values, dt)
        with nengo.Simulator(net, dt=dt, progress_bar=False, optimize=False) as sim:
            sim.run_steps(n_steps)
    else:
        feeds = {nodes[name]: values[None] for name, values in flat.items()}
        with simulator(net, dt=dt, dtype="float64", progress_bar=False) as sim:
            sim.run_steps(n_steps, input_feeds=feeds)
    return {name: np.array(sim.data[probe]) for name, probe in probes.items()}


def check_equal(found, expected):
    for name, values in expected.items():
        assert np.any(values), f"{name} is silent"
        if set(np.unique(values)) <= {0.0, 1.0}:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        np.testing.assert_allclose(
            found[name], values, rtol=1e-9, atol=1e-9, err_msg=name
        )


def expected_of(graph, waiting, inputs, method):
    found = Reference(graph, waiting, method=method).run(inputs)
    n_steps = len(next(iter(inputs.values())))
    return {name: values.reshape(n_steps, -1) for name, values in found.items()}


@pytest.mark.parametrize("kind, seed", CASES)
def test_networks_do_what_the_equations_say_and_come_back(kind, seed, tmp_path):
    graph, waiting = KINDS[kind](seed)
    method = ["euler", "exact"][seed % 2]
    inputs = random_inputs(graph, N_STEPS, seed)
    expected = expected_of(graph, waiting, inputs, method)
    check_equal(simulate(graph, inputs, method=method), expected)

    net, _, _ = nengo_dl.from_nir(graph, dt=0.001, method=method)
    again, report = nengo_dl.to_nir(
        net, tmp_path / "net.nir", method=method, dtype="float64", strict=True
    )
    assert len(report) == 0
    assert set(again.inputs) == set(graph.inputs)
    again_inputs = simulate(
        tmp_path / "net.nir", inputs, dt=0.001, simulator=nengo.Simulator
    )
    check_equal(again_inputs, expected)
    if kind == "recurrent":
        assert set(again.nodes) == set(graph.nodes)
        assert set(again.edges) == set(graph.edges)


def test_a_network_of_ensembles_is_written_exactly(tmp_path):
    with nengo.Network(seed=1) as net:
        node = nengo.Node(lambda t: np.sin(20 * t), label="in")
        a = nengo.Ensemble(50, 1, neuron_type=nengo_dl.ResetLIF(method="exact"))
        b = nengo.Ensemble(40, 2, neuron_type=nengo_dl.CubaLIF(tau_rc=0.03))
        nengo.Connection(node, a, synapse=None)
        nengo.Connection(a, b[1], function=np.square, synapse=0.01)
        nengo.Connection(a, a, synapse=0.1, transform=0.9)
        nengo.Connection(b, b, synapse=nengo_dl.Delay(0.005), transform=0.5)
        nengo.Connection(nengo.Node([0.3, -0.2]), b, synapse=None)
        nengo.Connection(a.neurons[:40], b.neurons, transform=0.001, synapse=0)
        decoded = nengo.Probe(b[0], synapse=0.02, label="decoded")
        spikes = nengo.Probe(a.neurons[10:30], label="spikes")
        inputs = nengo.Probe(node, label="node")
    with nengo.Simulator(net, seed=3, progress_bar=False, optimize=False) as sim:
        sim.run_steps(150)
        for method in ("euler", "exact"):
            path = tmp_path / f"{method}.nir"
            graph, _ = nengo_dl.to_nir(
                sim, path, method=method, dtype="float64", strict=True
            )
            # the recurrent synapse needs no delay of its own
            assert not any(name.startswith("a_to_a_delay") for name in graph.nodes)
            found = simulate(
                path,
                {"in": sim.data[inputs]},
                method=method,
                simulator=nengo.Simulator,
            )
            assert np.array_equal(found["spikes"] > 0, sim.data[spikes] > 0)
            assert sim.data[spikes].any()
            np.testing.assert_allclose(
                found["decoded"], sim.data[decoded], rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize("padding, strides", [("valid", 2), ("same", 1), ("same", 2)])
def test_images_with_channels_last_are_written_with_channels_first(padding, strides):
    rng = np.random.RandomState(0)
    with nengo.Network(seed=1) as net:
        image = nengo.Node(np.zeros(6 * 6 * 2), label="image")
        convolution = nengo.Convolution(
            3, (6, 6, 2), strides=(strides, strides), padding=padding
        )
        n_neurons = convolution.output_shape.size
        ens = nengo.Ensemble(
            n_neurons,
            1,
            neuron_type=nengo_dl.ResetLIF(amplitude=0.001),
            gain=rng.uniform(1, 2, size=n_neurons),
            bias=rng.uniform(0, 1.2, size=n_neurons),
            label="neurons",
        )
        nengo.Connection(image, ens.neurons, transform=convolution, synapse=None)
        out = nengo.Node(size_in=4)
        nengo.Connection(
            ens.neurons, out, transform=rng.normal(size=(4, n_neurons)), synapse=None
        )
        probe = nengo.Probe(out, label="out")
    values = rng.normal(size=(40, 6, 6, 2))
    graph, _ = nengo_dl.to_nir(net, dtype="float64", strict=True)
    is_matrix = padding == "same" and strides == 2  # zeros differ before and after
    kinds = {type(node).__name__ for node in graph.nodes.values()}
    assert ("Conv2d" in kinds) != is_matrix
    if not is_matrix:
        assert tuple(graph.nodes["image"].input_type["input"]) == (2, 6, 6)
        graph.check_types()
    order = (0, 1, 2, 3) if is_matrix else (0, 3, 1, 2)
    found = simulate(
        graph, {"image": values.transpose(order)}, simulator=nengo.Simulator
    )
    image.output = nengo.processes.PresentInput(values.reshape(40, -1), 0.001)
    with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
        sim.run_steps(40)
    assert sim.data[probe].any()
    np.testing.assert_allclose(found["out"], sim.data[probe], rtol=1e-9, atol=1e-9)


def test_parameters_of_a_trained_simulator_are_written():
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(2), label="in")
        neurons = nengo.Ensemble(
            4,
            1,
            neuron_type=nengo_dl.LeakyIntegrator(0.003),
            gain=np.ones(4),
            bias=np.zeros(4),
            label="neurons",
        ).neurons
        connection = nengo.Connection(
            node, neurons, transform=np.ones((4, 2)), synapse=None, label="weights"
        )
        probe = nengo.Probe(neurons)
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        inputs = {node: np.ones((2, 3, 2))}
        sim.train(inputs, {probe: np.zeros((2, 3, 4))}, "sgd", n_epochs=2)
        graph, _ = nengo_dl.to_nir(sim)
        weights = sim.data[connection].weights
    assert not np.any(weights == 1)
    np.testing.assert_allclose(graph.nodes["weights"].weight, weights)
    assert graph.nodes["weights"].weight.dtype == np.float32


def test_subgraphs_are_read_as_what_is_in_them():
    rng = np.random.RandomState(0)
    graph, waiting = KINDS["recurrent"](2)
    inner = {"first", "first_recurrent"}
    lif = graph.nodes["first"]
    nodes = {n: v for n, v in graph.nodes.items() if n not in inner}
    nodes["rnn"] = nir.NIRGraph(
        {
            "input": nir.Input(lif.input_type["input"]),
            "output": nir.Output(lif.output_type["output"]),
            **{name: graph.nodes[name] for name in inner},
        },
        [
            ("input", "first"),
            ("first", "first_recurrent"),
            ("first_recurrent", "first"),
            ("first", "output"),
        ],
    )
    edges = [
        tuple("rnn" if end == "first" else end for end in edge)
        for edge in graph.edges
        if not inner & {"first_recurrent"} & set(edge)
    ]
    nested = nir.NIRGraph(nodes, edges, type_check=False)
    inputs = random_inputs(graph, 60, rng.randint(9))
    found = simulate(nested, inputs, simulator=nengo.Simulator)
    check_equal(found, expected_of(graph, waiting, inputs, "euler"))


@pytest.mark.parametrize("kind", KINDS)
def test_networks_do_the_same_in_plain_nengo(kind):
    graph, waiting = KINDS[kind](2)
    inputs = random_inputs(graph, 60, 1)
    found = simulate(graph, inputs, simulator=nengo.Simulator)
    check_equal(found, expected_of(graph, waiting, inputs, "euler"))
