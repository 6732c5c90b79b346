"""Files of LiteRT, run by its interpreter."""

import nengo
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from tests.exporting.examples import simulated

pytestmark = pytest.mark.filterwarnings("default::UserWarning")


@pytest.mark.parametrize("name", ["pes", "convolutions", "batch_normalization"])
def test_equals_the_simulator(name, tmp_path):
    example = simulated(name, dtype="float32")
    export = example.sim.export(tmp_path / "model.tflite", "litert")
    interpreter = tf.lite.Interpreter(str(tmp_path / "model.tflite"))
    runner = interpreter.get_signature_runner
    step, run = runner("step"), runner("run")
    example.check_steps(export, lambda values: step(**values))
    results = run(**example.inputs, **runner("initial_state")())
    example.check({name: results[name] for name in export.outputs})


def test_double_precision_is_refused(tmp_path):
    sim = simulated("integrator").sim
    with pytest.raises(ValidationError, match=r"LiteRT computes in single precision"):
        sim.export(tmp_path / "model.tflite", "litert")


def test_operation_that_litert_lacks_is_named(tmp_path):
    with nengo.Network() as net:
        node = nengo_dl.TensorNode(
            lambda t, x: tf.math.bessel_i0(x), size_in=1, size_out=1
        )
        nengo.Connection(nengo.Node([1.0]), node, synapse=None)
        nengo.Probe(node)
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=False) as sim:
        with pytest.raises(
            ValidationError, match=r"LiteRT cannot .*: it has no BesselI0"
        ):
            sim.export(tmp_path / "model.tflite", "litert")
    assert list(tmp_path.iterdir()) == []
