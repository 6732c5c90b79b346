"""GPUs, with stand-ins for those."""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.support.gpus import let_memory_grow


@pytest.mark.parametrize("error", [None, RuntimeError, ValueError])
def test_memory_grows_unless_that_is_too_late(monkeypatch, error):
    grown = []

    def set_memory_growth(gpu, grows):
        if error is not None:
            raise error
        grown.append((gpu, grows))

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", set_memory_growth)
    let_memory_grow()
    assert grown == ([] if error else [("GPU", True)])


def test_several_devices_are_refused_with_the_command_that_uses_them():
    with nengo.Network() as net:
        nengo.Node([0])
    with pytest.raises(ValidationError, match=r"nengo_dl\.launch --workers 2"):
        nengo_dl.Simulator(net, device=["/gpu:0", "/gpu:1"])


def small_network():
    with nengo.Network(seed=0) as net:
        net.x = nengo.Node([0.5])
        ens = nengo.Ensemble(50, 1)
        nengo.Connection(net.x, ens)
        net.p = nengo.Probe(ens, synapse=0.01)
    return net


@pytest.mark.gpu
@pytest.mark.parametrize("jit_compile", [None, True, False])
def test_gpu_gives_the_data_of_nengo(jit_compile):
    net = small_network()
    with nengo.Simulator(net, optimize=False, progress_bar=False) as reference:
        reference.run_steps(50)
    with nengo_dl.Simulator(
        net, device="/gpu:0", jit_compile=jit_compile, progress_bar=False
    ) as sim:
        sim.run_steps(50)
        np.testing.assert_allclose(sim.data[net.p], reference.data[net.p], atol=2e-2)


@pytest.mark.gpu
def test_gpu_trains_as_the_cpu_does():
    net, found = small_network(), []
    x = np.random.RandomState(0).uniform(-1, 1, (16, 5, 1))
    for device in ("/cpu:0", "/gpu:0"):
        with nengo_dl.Simulator(
            net, minibatch_size=4, device=device, seed=0, progress_bar=False
        ) as sim:
            history = sim.train({net.x: x}, {net.p: x}, "sgd", n_epochs=2)
            found.append(history.batch_losses)
    np.testing.assert_allclose(*found, rtol=1e-4)
