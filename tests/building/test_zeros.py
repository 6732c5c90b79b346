"""Signals share zeros, and nothing else."""

import pickle

import nengo
import numpy as np
import pytest
from nengo.builder import Model

import nengo_dl
from nengo_dl.building.builder import FastBuilder
from nengo_dl.building.zeros import Zeros


def test_zeros_are_shared_by_shape_and_type_and_cannot_be_written():
    zeros = Zeros()
    one = zeros.of((2, 3), np.dtype(np.float32))
    assert one is zeros.of((2, 3), np.dtype(np.float32))
    assert one.dtype == np.float32 and one.shape == (2, 3) and not one.any()
    assert zeros.of((3, 2), one.dtype) is not one
    assert zeros.of((2, 3), np.dtype(np.float64)).dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        one[0] = 1


def network():
    with nengo.Network(seed=0) as net:
        net.a = nengo.Ensemble(5, 2)
        net.b = nengo.Ensemble(5, 2)
        nengo.Connection(net.a[0], net.b[1])
        nengo.Connection(net.b, net.a, synapse=nengo.Alpha(0.01))
        net.probe = nengo.Probe(net.b, synapse=0.01)
    return net


def test_nengo_simulates_a_model_whose_signals_share_zeros():
    net = network()
    model = Model(builder=FastBuilder())
    model.build(net)
    a, b = model.sig[net.a]["in"], model.sig[net.b]["in"]
    assert np.may_share_memory(a.initial_value, b.initial_value)
    assert not a.may_share_memory(b)
    data = []
    for built in (model, pickle.loads(pickle.dumps(model))):
        with nengo.Simulator(None, model=built, progress_bar=False) as sim:
            sim.run(0.1)
        data.append(sim.data[built.probes[0]])
    with nengo.Simulator(net, progress_bar=False) as core:
        core.run(0.1)
    for found in data:
        np.testing.assert_allclose(found, core.data[net.probe], atol=1e-12)


def test_a_simulation_leaves_the_zeros_as_they_are():
    net = network()
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run(0.02)
        assert np.abs(sim.data[net.probe]).max() > 0
        for op in sim.model.operators:
            for signal in op.incs:
                assert not signal.initial_value.any()
