"""SavedModels, read by TensorFlow alone."""

import json
import subprocess
import sys

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from tests.exporting.examples import EXAMPLES, N_STEPS, simulated


def as_tensors(values):
    return {name: tf.constant(value) for name, value in values.items()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_step_and_run_equal_the_simulator(name, tmp_path):
    example = simulated(name)
    export = example.sim.export(tmp_path / "model")
    signatures = tf.saved_model.load(tmp_path / "model").signatures
    assert set(signatures) == {"step", "run", "initial_state"}
    example.check_steps(export, lambda v: signatures["step"](**as_tensors(v)))
    state = signatures["initial_state"]()
    results = signatures["run"](**as_tensors(example.inputs), **state)
    example.check({name: results[name] for name in export.outputs})


def test_compiled_run_of_a_minibatch_and_of_fixed_length(tmp_path):
    example = simulated("integrator", minibatch_size=2)
    export = example.sim.export(
        tmp_path / "model", function="run", n_steps=N_STEPS, jit_compile=True
    )
    loaded = tf.saved_model.load(tmp_path / "model")
    example.check(loaded.simulate(as_tensors(example.inputs)))
    assert set(loaded.signatures) == {"run", "initial_state"}
    given = loaded.signatures["run"].structured_input_signature[1]["x"]
    assert given.shape == (2, N_STEPS, 1)
    assert export.n_steps == N_STEPS


def test_is_read_without_nengo(tmp_path):
    example = simulated("integrator")
    export = example.sim.export(tmp_path / "model")
    np.save(tmp_path / "x.npy", example.inputs["x"])
    script = (
        "import sys, numpy as np, tensorflow as tf\n"
        "model = tf.saved_model.load('model')\n"
        "np.save('out.npy', model.simulate({'x': np.load('x.npy')})['out'])\n"
        "assert not {'nengo', 'nengo_dl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    example.check({"out": np.load(tmp_path / "out.npy")})
    about = json.loads((tmp_path / "model/assets.extra/nengo_dl.json").read_text())
    assert about == json.loads(export.as_json())
    assert about["inputs"][0] == {
        "name": "x",
        "shape": [1, 1],
        "dtype": "float64",
        "meaning": "Node 'x'",
    }


def test_layer_of_keras(tmp_path):
    example = simulated("integrator")
    example.sim.export(tmp_path / "model")
    layer = keras.layers.TFSMLayer(
        str(tmp_path / "model"), call_endpoint="simulate", dtype="float64"
    )
    example.check(layer(as_tensors(example.inputs)))


def test_variable_of_the_users_code(tmp_path):
    factor = tf.Variable(3.0)
    with nengo.Network() as net:
        x = nengo.Node([1.0], label="x")
        node = nengo_dl.TensorNode(lambda t, x: x * factor, size_in=1, size_out=1)
        nengo.Connection(x, node, synapse=None)
        nengo.Probe(node, label="y")
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.export(tmp_path / "model", function="step")
    signatures = tf.saved_model.load(tmp_path / "model").signatures
    results = signatures["step"](
        x=tf.constant([[2.0]]), **signatures["initial_state"]()
    )
    assert results["y"].numpy().tolist() == [[6.0]]
