"""Programs for other libraries that the benchmarks can compare with."""

import ast
from pathlib import Path

import nengo
import numpy as np
import pytest

import nengo_dl.benchmarks
from nengo_dl.benchmarks import Backend, Effort, command_line, measure
from nengo_dl.benchmarks.networks import make_network
from nengo_dl.benchmarks.peers.lif_networks import probe_data, read_network

PEERS = Path(nengo_dl.benchmarks.__file__).parent / "peers"


def recurrent():
    return make_network("recurrent", {"n_neurons": 40, "density": 0.2})


def test_contents_of_a_network_are_what_core_builds():
    net = recurrent()
    found = read_network(net, 0.001)
    (ens,), (conn,) = net.all_ensembles, net.all_connections
    with nengo.Simulator(net, progress_bar=False) as sim:
        (population,), (projection,) = found.populations, found.projections
        assert population.ensemble is projection.pre is projection.post is ens
        np.testing.assert_array_equal(population.bias, sim.data[ens].bias)
        weights = np.zeros((40, 40))
        weights[projection.rows, projection.columns] = projection.weights
        np.testing.assert_array_equal(weights, sim.data[conn].weights.toarray())
        voltage = sim.signals[sim.model.sig[ens.neurons]["voltage"]]
        np.testing.assert_array_equal(population.voltage, voltage)
    assert (found.tau_rc, found.tau_ref, found.tau) == (0.02, 0.002, 0.005)


def test_slices_of_neurons_keep_their_places():
    with nengo.Network(seed=0) as net:
        pre, post = nengo.Ensemble(5, 1), nengo.Ensemble(6, 1)
        weights = [[1, 0], [3, 2]]
        nengo.Connection(pre.neurons[1:3], post.neurons[[5, 0]], transform=weights)
    (projection,) = read_network(net, 0.001).projections
    found = set(
        zip(projection.rows, projection.columns, projection.weights, strict=True)
    )
    assert found == {(5, 1, 1.0), (0, 1, 3.0), (0, 2, 2.0)}


@pytest.mark.parametrize("synapse", [None, 0.01])
def test_probe_data_are_those_of_core(synapse):
    net = recurrent()
    with net:
        neurons = net.all_ensembles[0].neurons
        spikes = nengo.Probe(neurons)
        probe = nengo.Probe(neurons[3:17], synapse=synapse)
    with nengo.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(200)
        steps, senders = np.nonzero(sim.data[spikes])
        found = probe_data(probe, senders, steps, 200, 0.001)
        assert len(steps) > 100
        # core's filter passes a value on one step later
        expected = sim.data[probe]
        if synapse is not None:
            found, expected = found[:-1], expected[1:]
        np.testing.assert_allclose(found, expected, atol=1e-9)


def add_ensemble(**kwargs):
    return nengo.Ensemble(3, 1, **kwargs)


@pytest.mark.parametrize(
    "add, message",
    [
        (lambda: add_ensemble(neuron_type=nengo.Izhikevich()), "expected LIF neurons"),
        (lambda: add_ensemble(neuron_type=nengo.LIF(tau_rc=0.1)), "equal neurons"),
        (lambda: nengo.Node(0), "no nodes"),
        (
            lambda: nengo.Connection(add_ensemble(), add_ensemble()),
            "expected neurons to neurons",
        ),
        (
            lambda: nengo.Connection(
                add_ensemble().neurons, add_ensemble().neurons, synapse=None
            ),
            "expected neurons to neurons",
        ),
        (
            lambda: nengo.Connection(
                add_ensemble().neurons, add_ensemble().neurons, synapse=0.1
            ),
            "equal filters",
        ),
        (lambda: nengo.Probe(add_ensemble()), "expected neurons"),
        (
            lambda: nengo.Connection(
                add_ensemble().neurons,
                add_ensemble().neurons,
                transform=np.ones((3, 3)),
                learning_rule_type=nengo.Oja(),
            ),
            "learning rules",
        ),
    ],
)
def test_what_a_network_may_not_have_is_refused(add, message):
    net = recurrent()
    with net:
        add()
    with pytest.raises(NotImplementedError, match=message):
        read_network(net, 0.001)


def test_simulator_of_a_file_finds_its_neighbours(tmp_path):
    (tmp_path / "neighbour.py").write_text("FACTOR = 2\n")
    (tmp_path / "peer.py").write_text(
        "import nengo\n"
        "import neighbour\n"
        "__version__ = str(neighbour.FACTOR)\n"
        "class Simulator(nengo.Simulator):\n"
        "    pass\n"
    )
    backend = Backend(f"{tmp_path / 'peer.py'}:Simulator")
    effort = Effort(rounds=2, seconds=0.001, first_steps=5)
    (result,) = measure("integrator", [backend], {"n_neurons": 10}, effort)
    assert result.error is None
    assert result.versions["peer"] == "2"


@pytest.fixture
def measured(monkeypatch):
    """Catch what the command line would measure."""
    backends = []

    def catch(name, found, *args, **kwargs):
        backends.extend(found)
        return []

    monkeypatch.setattr(command_line, "measure", catch)
    monkeypatch.setattr(command_line.report, "table", lambda results: "")
    return backends


def test_peers_are_found_by_their_names(measured, tmp_path, monkeypatch):
    arguments = ["run", "recurrent", "--simulator", "nest_simulator.py:Simulator"]
    command_line.main(arguments)
    (tmp_path / "nest_simulator.py").touch()
    monkeypatch.chdir(tmp_path)
    command_line.main(arguments)
    peer, own = measured
    assert peer.simulator == f"{PEERS / 'nest_simulator.py'}:Simulator"
    assert peer.name == "nest_simulator"
    assert own.simulator == "nest_simulator.py:Simulator"


def test_file_that_is_nowhere_is_refused(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["run", "--simulator", "nets.py:Simulator"])
    message = capsys.readouterr().err
    assert "there is no file 'nets.py'" in message
    for name in ("brian2_simulator.py", "nest_simulator.py", "spyx_training.py"):
        assert name in message
    assert "lif_networks.py" not in message


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.py")), ids=lambda path: path.stem)
def test_peers_need_nothing_of_this_package(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not any(a.name.startswith("nengo_dl") for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and not node.module.startswith("nengo_dl")
