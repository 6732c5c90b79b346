"""Functions in terms of others, precise where they are small."""

import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

from nengo_dl.exporting.frozen import freeze_graph

MAGNITUDES = np.r_[0, 10.0 ** np.arange(-30, 30, 0.5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["log1p", "expm1", "softplus"])
def test_replacements_are_precise(name, dtype):
    function = getattr(tf.math, name)
    x = MAGNITUDES if name == "log1p" else np.r_[-MAGNITUDES, MAGNITUDES]
    x = np.r_[x, -0.5, -1e-3, -1e-9, np.inf].astype(dtype)
    spec = tf.TensorSpec(x.shape, dtype, name="x")
    traced = tf.function(lambda **values: {"y": function(values["x"])})
    frozen = freeze_graph(traced.get_concrete_function(x=spec))
    operations = {node.op for node in frozen.definition.node}
    assert not operations & {"Log1p", "Expm1", "Softplus"}
    y = tf.function(lambda x: frozen({"x": x})["y"])(tf.constant(x)).numpy()
    reference = {
        "log1p": np.log1p,
        "expm1": np.expm1,
        "softplus": lambda x: np.logaddexp(0, x),
    }[name]
    with np.errstate(over="ignore"):
        expected = reference(x.astype("float64")).astype(dtype)
    tiny = np.finfo(dtype).tiny
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, atol=tiny)


def test_variables_and_captured_tensors_become_literals():
    variable, tensor = tf.Variable([1.0, 2.0]), tf.constant(np.arange(500, dtype="f"))
    traced = tf.function(
        lambda **values: {"y": values["x"] * variable[1] + tensor[-1]}
    ).get_concrete_function(x=tf.TensorSpec((), "float32", name="x"))
    frozen = freeze_graph(traced)
    assert frozen.inputs.keys() == {"x"}
    assert not any(node.op == "ReadVariableOp" for node in frozen.definition.node)
    y = tf.function(lambda x: frozen({"x": x})["y"])(tf.constant(3.0))
    assert y == 3 * 2 + 499


def test_variable_in_a_loop_is_refused():
    variable = tf.Variable(2.0, name="factor")
    traced = tf.function(
        lambda **values: {
            "y": tf.while_loop(
                lambda y: y < 10, lambda y: [y * variable], [values["x"]]
            )[0]
        }
    ).get_concrete_function(x=tf.TensorSpec((), "float32", name="x"))
    with pytest.raises(
        ValidationError, match=r"uses the variable 'factor:0' in a loop"
    ):
        freeze_graph(traced)
