"""Names of the older library, and packages that probe for it."""

import importlib
import sys
import types

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl


def make_package():
    """A package that extends the older library, written in the way of such packages."""
    package = types.ModuleType("other_package")

    class ChipLIF(nengo.LIF):
        """A neuron type of other hardware."""

    package.ChipLIF = ChipLIF
    try:
        import nengo_dl
        import nengo_dl.neuron_builders
        from nengo_dl.builder import Builder, OpBuilder
        from nengo_dl.neuron_builders import LIFBuilder, SpikingRectifiedLinearBuilder

        package.has_dl = True
    except ImportError:
        package.has_dl = False
        return package

    class ChipLIFBuilder(LIFBuilder):
        spiking = True

        def step(self, J, dt, **state):
            raise NotImplementedError

    class ChipReLUBuilder(SpikingRectifiedLinearBuilder):
        pass

    class ChipOperatorBuilder(OpBuilder):
        pass

    def install():
        implementations = nengo_dl.neuron_builders.SimNeuronsBuilder.TF_NEURON_IMPL
        implementations[ChipLIF] = ChipLIFBuilder

    package.install = install
    package.Builder, package.OperatorBuilder = Builder, ChipOperatorBuilder
    return package


def test_packages_that_extend_the_older_library_can_be_imported_and_used():
    package = make_package()
    assert package.has_dl
    with pytest.warns(UserWarning, match=r"ChipLIF has the form of an older library"):
        package.install()
    package.install()  # says it once
    implementations = nengo_dl.neuron_builders.SimNeuronsBuilder.TF_NEURON_IMPL
    assert package.ChipLIF in implementations
    del implementations[package.ChipLIF]

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1, neuron_type=package.ChipLIF())
        probe = nengo.Probe(ens.neurons)
    with nengo.Simulator(net, progress_bar=False, optimize=False) as sim:
        sim.run_steps(100)
        expected = sim.data[probe]
    with nengo_dl.Simulator(net, dtype="float64", progress_bar=False) as sim:
        sim.run_steps(100)
    np.testing.assert_array_equal(sim.data[probe], expected)


def test_registering_operators_in_the_old_form_is_a_warning():
    package = make_package()

    class ChipOperator:
        pass

    with pytest.warns(UserWarning, match=r"ChipOperator.*not used.*builders.register"):
        found = package.Builder.register(ChipOperator)(package.OperatorBuilder)
    assert found is package.OperatorBuilder
    assert package.Builder.builders.pop(ChipOperator) is found


def test_names_that_are_gone_are_absent():
    assert not hasattr(nengo_dl, "tensor_graph")
    with pytest.raises(ImportError):
        importlib.import_module("nengo_dl.op_builders")
    with pytest.raises(AttributeError, match=r"op_builders.*; see nengo_dl\.builders"):
        nengo_dl.op_builders  # noqa: B018
    assert "nengo_dl.op_builders" not in sys.modules


@pytest.mark.parametrize(
    "name, message",
    [
        ("sess", "no sessions in TensorFlow 2; values are in sim.data"),
        ("tensor_graph", r"see sim\.summary"),
        ("nothing", r"'Simulator' object has no attribute 'nothing'$"),
    ],
)
def test_attributes_of_the_old_simulator_are_a_hint(name, message):
    with nengo.Network() as net:
        nengo.Probe(nengo.Node([0]))
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        assert not hasattr(sim, name)
        with pytest.raises(AttributeError, match=message):
            getattr(sim, name)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: tf.layers.dense(x, 3), r"'layers'.*pass a Keras layer.*Dense\(10\)"),
        (lambda x: tf.log(x), "TensorFlow 1, and is tf.compat.v1.log now"),
        (lambda x: tf.nothing(x), "no attribute 'nothing'$"),
    ],
)
def test_names_of_tensorflow_1_in_functions_are_a_hint(function, message):
    with nengo.Network(), pytest.raises(ValidationError, match=message):
        nengo_dl.TensorNode(function, shape_in=2, pass_time=False)
