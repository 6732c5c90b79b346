"""ONNX files, run by onnxruntime."""

import json

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from tests.exporting.examples import EXAMPLES, N_STEPS, simulated

pytest.importorskip("tf2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning")


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options)


def caller(session):
    names = [output.name for output in session.get_outputs()]
    return lambda values: dict(zip(names, session.run(None, values), strict=True))


@pytest.mark.parametrize("name", EXAMPLES)
def test_step_equals_the_simulator(name, tmp_path):
    example = simulated(name)
    export = example.sim.export(tmp_path / "model.onnx", "onnx")
    session = session_of(tmp_path / "model.onnx")
    example.check_steps(export, caller(session))
    about = session.get_modelmeta().custom_metadata_map["nengo_dl"]
    assert json.loads(about)["functions"] == ["step"]


@pytest.mark.parametrize(
    "name, minibatch_size, n_steps",
    [("pes", None, None), ("batch_normalization", 2, None), ("delays", 2, N_STEPS)],
)
def test_run_equals_the_simulator(name, minibatch_size, n_steps, tmp_path):
    example = simulated(name, minibatch_size)
    export = example.sim.export(
        tmp_path / "model.onnx", "onnx", function="run", n_steps=n_steps
    )
    results = caller(session_of(tmp_path / "model.onnx"))(example.inputs)
    example.check({name: results[name] for name in export.outputs})


def test_state_and_constant_inputs_have_defaults(tmp_path):
    example = simulated("integrator")
    example.sim.export(tmp_path / "model.onnx", "onnx")
    session = session_of(tmp_path / "model.onnx")
    assert session.get_inputs() == []
    found = {value.name for value in session.get_overridable_initializers()}
    assert {"x", "state_0"} < found
    first = caller(session)({})
    assert np.array_equal(first["out"], caller(session)({"x": np.zeros((1, 1))})["out"])


@pytest.mark.parametrize("n_steps", [None, 4])
def test_run_without_inputs(n_steps, tmp_path):
    with nengo.Network() as net:
        node = nengo_dl.TensorNode(lambda t: tf.stack([t, 2 * t])[None], size_out=2)
        nengo.Probe(node, label="y")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        export = sim.export(tmp_path / "m.onnx", "onnx", "run", n_steps=n_steps)
        sim.run_steps(4)
        expected = sim.data[net.probes[0]]
    given = {} if n_steps else {"n_steps": np.array(4, np.int32)}
    results = caller(session_of(tmp_path / "m.onnx"))(given)
    assert list(export.state) == ["state_n_steps"]
    assert results["next_state_n_steps"] == 4
    assert np.array_equal(results["y"][0], expected)


def test_operation_that_onnx_lacks_is_named(tmp_path):
    with nengo.Network() as net:
        node = nengo_dl.TensorNode(
            lambda t, x: tf.math.bessel_i0(x), size_in=1, size_out=1
        )
        nengo.Connection(nengo.Node([1.0]), node, synapse=None)
        nengo.Probe(node)
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=False) as sim:
        with pytest.raises(ValidationError, match=r"ONNX has no BesselI0, which code"):
            sim.export(tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf2onnx", None)
    sim = simulated("integrator").sim
    with pytest.raises(ImportError, match="pip install onnx tf2onnx"):
        sim.export(tmp_path / "model.onnx", "onnx")


def test_too_large_for_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("nengo_dl.exporting.onnx_file._MOST_BYTES", 100)
    sim = simulated("integrator").sim
    with pytest.raises(ValidationError, match=r"take [\d,]+ bytes, and an ONNX file"):
        sim.export(tmp_path / "model.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []
