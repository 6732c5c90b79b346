"""Builders that users register, and what happens without one."""

import warnings

import nengo
import pytest
from nengo.builder.operator import Operator
from nengo.exceptions import BuildError

import nengo_dl
from nengo_dl.builders import OpBuilder, Writes, register


def test_missing_builder_is_reported_at_the_line_that_made_the_simulator():
    class Wavy(nengo.RectifiedLinear):
        def step(self, dt, J, output):
            output[...] = J

    with nengo.Network() as net:
        nengo.Ensemble(3, 1, neuron_type=Wavy())
        nengo.Ensemble(4, 1, neuron_type=Wavy())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nengo_dl.Simulator(net, progress_bar=False).close()
    (warning,) = (w for w in caught if "no TensorFlow version" in str(w.message))
    assert warning.filename == __file__
    assert "nengo_dl.builders.register (SimNeurons" in str(warning.message)


def test_registering_a_builder_twice_is_refused():
    class Nothing(Operator):
        pass

    @register(Nothing)
    class NothingBuilder(OpBuilder):
        def step(self, reads, previous):
            return Writes()

    with pytest.raises(BuildError, match="Nothing already has the builder Nothing"):
        register(Nothing)(NothingBuilder)
