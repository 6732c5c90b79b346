"""What cannot be said in NIR, and graphs and files that are refused."""

import h5py
import nengo
import nir
import numpy as np
import pytest
from nengo.exceptions import SimulatorClosed, ValidationError

import nengo_dl
from nengo_dl.interchange.nir.graph import waiting_edges


def network(neuron_type=None, **connection):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(2), label="in")
        ens = nengo.Ensemble(
            10, 2, neuron_type=neuron_type or nengo_dl.ResetLIF(), label="ens"
        )
        nengo.Connection(node, ens, **{"synapse": None, **connection})
        if not isinstance(neuron_type, nengo.Direct):
            nengo.Probe(ens.neurons, label="out")
    return net


def of(report):
    return {(loss.kind, loss.what) for loss in report}


@pytest.mark.parametrize(
    "neurons, kind, what",
    [
        (nengo.LIF(), "left out", "refractory period of 0.002 s"),
        (nengo.LIF(), "left out", "lowest voltage of 0"),
        (nengo.LIF(), "approximated", "spikes happen at the end of a step"),
        (nengo.LIF(), "left out", "its initial voltages"),
        (nengo.AdaptiveLIF(), "left out", "adaptation, with a time constant of 1"),
        (nengo.SpikingRectifiedLinear(), "approximated", "resets to zero"),
    ],
)
def test_what_neurons_lose_is_in_the_report(neurons, kind, what):
    net = network(neurons)
    _, report = nengo_dl.to_nir(net)
    assert any(k == kind and what in text for k, text in of(report))
    assert what in str(report) and what in report._repr_html_()
    with pytest.raises(ValidationError, match="strict=True, but NIR cannot express"):
        nengo_dl.to_nir(net, strict=True)


def test_what_networks_lose_is_in_the_report():
    net = network()
    with net:
        (ens,) = net.ensembles
        ens.noise = nengo.processes.WhiteNoise()
        squared = nengo.Node(lambda t, x: x**2, size_in=2, label="square")
        nengo.Connection(ens, squared, synapse=nengo.Alpha(0.01))
        connection = nengo.Connection(
            ens, squared, learning_rule_type=nengo.PES(), synapse=None
        )
        nengo.Connection(squared, connection.learning_rule)
        nengo.Connection(net.nodes[0], squared[:1], function=np.sum, synapse=None)
        nengo.Probe(ens.neurons, "voltage")
        nengo.Probe(squared, sample_every=0.01)
    graph, report = nengo_dl.to_nir(net)
    text = str(report)
    for what in (
        "the noise",
        "its function; what it gets is the Output square_in",
        "two leaky integrators",
        "learning rule",
        "what it brings to a learning rule",
        "the Output in_to_square_in",
        "voltage of",
        "keeps 0.01 s apart",
    ):
        assert what in text, what
    assert {"square_in", "square_out", "in_to_square_in"} <= set(graph.nodes)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: network(nengo.Sigmoid()),
            "Sigmoid neurons, for which NIR has no node",
        ),
        (lambda: network(nengo.Direct()), "Direct neurons, for which NIR has no node"),
        (
            lambda: network(synapse=nengo.synapses.Triangle(0.01)),
            "the synapse Triangle",
        ),
        (
            lambda: network(nengo_dl.ResetLIF(np.r_[np.inf, np.ones(9)])),
            "with and without leak are in one population",
        ),
        (lambda: network(nengo_dl.CubaLIF(tau_rc=np.inf)), "CubaLIF neurons without"),
        (lambda: 3, "must be a simulator or a network; got int"),
    ],
)
def test_what_nir_has_nothing_for_raises(make, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.to_nir(make())


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"method": "midpoint"}, "method: must be 'euler' or 'exact'"),
        ({"dtype": int}, "dtype: must be a floating point type"),
        ({"dt": -1}, "dt: Must be a number of seconds above 0"),
    ],
)
def test_arguments_of_to_nir_are_checked(kwargs, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.to_nir(network(), **kwargs)


def test_time_constants_below_a_step_have_no_exact_form():
    net = network(nengo_dl.ResetLIF(tau_rc=0.0005))
    with pytest.raises(ValidationError, match="too short for method='exact'"):
        nengo_dl.to_nir(net, method="exact")


def test_simulators_that_cannot_be_written_raise():
    with nengo.Simulator(network(), progress_bar=False) as sim:
        with pytest.raises(ValidationError, match=r"is that of the simulator, 0\.001"):
            nengo_dl.to_nir(sim, dt=0.01)
    with pytest.raises(SimulatorClosed, match="Cannot write the network as NIR"):
        nengo_dl.to_nir(sim)


def test_constant_inputs_can_be_kept():
    with nengo.Network() as net:
        node = nengo.Node([2.0], label="in")
        neurons = nengo.Ensemble(
            1, 1, neuron_type=nengo_dl.LeakyIntegrator(), gain=[1], bias=[0], label="v"
        ).neurons
        nengo.Connection(node, neurons, synapse=None)
        nengo.Probe(neurons, label="out")
    assert set(nengo_dl.to_nir(net, inputs=[node])[0].inputs) == {"in"}
    graph, _ = nengo_dl.to_nir(net)
    assert "in" not in graph.nodes and graph.nodes["v"].v_leak == 2


# -- graphs


def chain(*nodes, edges=None):
    names = {f"n{i}": node for i, node in enumerate(nodes)}
    if edges is None:
        edges = [(f"n{i}", f"n{i + 1}") for i in range(len(nodes) - 1)]
    return nir.NIRGraph(names, edges, type_check=False)


def lif(n, **changes):
    values = dict(tau=0.02, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0)
    arrays = {k: np.full(n, v) for k, v in values.items()}
    return nir.LIF(**{**arrays, **changes})


IN, OUT = nir.Input(np.array([2])), nir.Output(np.array([2]))


class Foreign(nir.ir.NIRNode):
    """A node type of somebody else."""

    def __init__(self):
        self.input_type = self.output_type = {"input": np.array([2])}


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: chain(IN, Foreign(), OUT),
            "'n1' has the type Foreign; known are Affine",
        ),
        (
            lambda: chain(IN, nir.Linear(np.ones((2, 3))), OUT),
            r"'n0' gives the shape \(2,\) and 'n1' takes the shape \(3,\)",
        ),
        (
            lambda: chain(IN, nir.Affine(np.ones((2, 2)), np.ones(3)), OUT),
            r"'n1' has no shape: 'bias' has the shape \(3,\)",
        ),
        (
            lambda: chain(IN, nir.Linear(np.array([[1, np.nan], [0, 1]])), OUT),
            "'weight' of the node 'n1' has numbers that are not finite",
        ),
        (lambda: chain(IN, lif(2, tau=np.zeros(2)), OUT), "LIF node 'n1'.*above 0"),
        (
            lambda: chain(IN, lif(2, v_reset=np.ones(2)), OUT),
            "LIF node 'n1'.*must be below the threshold",
        ),
        (
            lambda: chain(
                IN,
                nir.Linear(np.eye(2)),
                nir.Scale(np.ones(2)),
                OUT,
                edges=[("n0", "n1"), ("n1", "n2"), ("n2", "n1"), ("n2", "n3")],
            ),
            "the cycle n1 -> n2 -> n1 has neither neurons nor a delay",
        ),
        (
            lambda: chain(IN, nir.SumPool2d(*np.full((3, 2), 2)), OUT),
            "'n1' has no shape: it gets the shape",
        ),
        (
            lambda: nir.NIRGraph({"a": IN, "b": OUT}, [("a", "x")], type_check=False),
            r"the edge \('a', 'x'\) has an end 'x'",
        ),
        (lambda: chain(IN, OUT, edges=[("n0", "n1")] * 2), "is there twice"),
        (
            lambda: chain(IN, OUT, edges=[("n0", "n1"), ("n1", "n0")]),
            "the cycle|gets something from",
        ),
        (
            lambda: chain(nir.Input(np.array([2**31])), OUT, edges=[]),
            "more than the .* numbers that 'max_bytes' allows",
        ),
        (
            lambda: chain(IN, nir.Delay(np.full(2, 1e7)), OUT),
            "Delay node 'n1' would keep",
        ),
        (lambda: chain(IN, nir.Delay(np.full(2, -1.0)), OUT), "must not be negative"),
        (
            lambda: chain(
                nir.Input(np.array([1, 4, 4])),
                nir.Conv2d(
                    (4, 4), np.ones((1, 1, 3, 3)), 10**6, 10**6, 1, 1, np.zeros(1)
                ),
                edges=[("n0", "n1")],
            ),
            "the image with zeros around would take",
        ),
        (
            lambda: chain(
                nir.Input(np.array([3, 4, 4])),
                nir.Conv2d((4, 4), np.ones((2, 3, 3, 3)), 1, 0, 1, 2, np.zeros(2)),
                edges=[("n0", "n1")],
            ),
            "takes the shape",
        ),
        (lambda: 3, "must be a file or a nir.NIRGraph; got int"),
    ],
)
def test_graphs_that_cannot_be_read_raise(make, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.from_nir(make(), dt=0.001)


def test_settings_of_from_nir_are_checked():
    graph = chain(IN, OUT)
    with pytest.raises(ValidationError, match="dt: must be given, since the graph"):
        nengo_dl.from_nir(graph)
    with pytest.raises(ValidationError, match="method: must be 'euler' or 'exact'"):
        nengo_dl.from_nir(graph, dt=0.001, method="heun")


def test_rounded_delays_are_warned_of():
    graph = chain(IN, nir.Delay(np.array([0.001, 0.0024])), OUT)
    with pytest.warns(UserWarning, match=r"\['n1'\] are not a whole number of steps"):
        nengo_dl.from_nir(graph, dt=0.001)


def test_edges_that_wait_leave_the_last_neurons_before_a_cycle_closes():
    edges = [("in", "a"), ("a", "w"), ("w", "b"), ("b", "v"), ("v", "a"), ("a", "u")]
    edges.append(("u", "a"))
    assert waiting_edges(edges, ["in"], {"a", "b"}, set()) == {("b", "v"), ("a", "u")}
    assert waiting_edges(edges, ["in"], {"a", "b"}, {"w"}) == {("a", "u")}


# -- files


@pytest.fixture
def path(tmp_path):
    found = tmp_path / "graph.nir"
    nir.write(found, chain(IN, nir.Linear(np.ones((2, 2))), lif(2), OUT))
    nengo_dl.from_nir(found, dt=0.001)
    return found


def refused(path, message, **kwargs):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.from_nir(path, dt=0.001, **kwargs)


def test_files_of_another_kind_are_refused(tmp_path):
    refused(tmp_path / "none.nir", "there is no such file")
    (tmp_path / "text.nir").write_text("no HDF5")
    refused(tmp_path / "text.nir", "it is no whole HDF5 file of NIR")
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["data"] = np.ones(3)
    refused(tmp_path / "other.nir", "no group 'node'")


def test_cut_files_are_refused(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, "no whole HDF5 file")


@pytest.mark.parametrize(
    "link, kind",
    [
        (h5py.SoftLink("/node/nodes/n0"), "SoftLink"),
        (h5py.ExternalLink("/etc/passwd", "/"), "ExternalLink"),
    ],
)
def test_links_are_refused(path, link, kind):
    with h5py.File(path, "a") as file:
        file["node/nodes/n9"] = link
    refused(path, f"'/node/nodes/n9' is a link .{kind}")


def test_circles_are_refused(path):
    with h5py.File(path, "a") as file:
        file["node/nodes/n9"] = file["node"]
    refused(path, "is part of the file twice")


def test_declared_sizes_are_checked_before_reading(path):
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/weight"]
        file.create_dataset("node/nodes/n1/weight", (2**24, 2**24), "f8", chunks=(8, 8))
    assert path.stat().st_size < 10**6
    refused(path, "take more than 1073741824 bytes; pass a larger 'max_bytes'")


def test_repeated_text_is_counted(path):
    with h5py.File(path, "a") as file:
        file["node/metadata/text"] = ["x" * 10_000] * 2000
    refused(path, "take more than 1000000 bytes", max_bytes=10**6)


def test_data_in_other_files_is_refused(path, tmp_path):
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/weight"]
        file.create_dataset(
            "node/nodes/n1/weight",
            (2, 2),
            "f8",
            external=[(str(tmp_path / "raw"), 0, 32)],
        )
    refused(path, "the numbers of '/node/nodes/n1/weight' are in another file")
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/weight"]
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "raw.h5"), "x", (2, 2))
        file.create_virtual_dataset("node/nodes/n1/weight", layout)
    refused(path, "are in another file")


def test_types_that_are_no_numbers_are_refused(path):
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/weight"]
        file["node/nodes/n1/weight"] = np.zeros(2, dtype=[("a", "f8")])
    refused(path, "expected numbers or text")


def test_unknown_nodes_and_missing_fields_are_refused(path):
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/type"]
        file["node/nodes/n1/type"] = "Spaceship"
    refused(path, "'n1' has the type 'Spaceship'; NIR has")
    with h5py.File(path, "a") as file:
        del file["node/nodes/n1/type"], file["node/nodes/n1/weight"]
        file["node/nodes/n1/type"] = "Linear"
    refused(path, "its nodes are not as NIR defines them")
    with h5py.File(path, "a") as file:
        del file["node/edges"]
    refused(path, "the graph '' has no 'edges'")


def test_resets_to_zero_are_left_out_of_files_for_older_readers(tmp_path):
    graph = chain(IN, lif(2), OUT)
    net, _, _ = nengo_dl.from_nir(graph, dt=0.001)
    written, _ = nengo_dl.to_nir(net, tmp_path / "zero.nir")
    assert not np.any(written.nodes["n1"].v_reset)
    with h5py.File(tmp_path / "zero.nir") as file:
        assert "v_reset" not in file["node/nodes/n1"]
        assert file["node/metadata/dt"][()] == 0.001
        assert file["node/metadata/method"].asstr()[()] == "euler"
    graph = chain(IN, lif(2, v_reset=np.array([0, -1.0])), OUT)
    nengo_dl.to_nir(nengo_dl.from_nir(graph, dt=0.001)[0], tmp_path / "reset.nir")
    with h5py.File(tmp_path / "reset.nir") as file:
        assert file["node/nodes/n1/v_reset"][()].tolist() == [0, -1]


def test_failed_writes_leave_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    path.write_text("old")

    def fail(filename, graph):
        raise OSError("disk full")

    monkeypatch.setattr(nir, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        nengo_dl.to_nir(network(), path)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1
