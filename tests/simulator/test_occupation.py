"""One call at a time: from inside of a run, or other threads, there is an error."""

import threading

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError

import nengo_dl

ACTIONS = {
    "run": lambda sim, net: sim.run_steps(2),
    "step": lambda sim, net: sim.step(),
    "reset": lambda sim, net: sim.reset(),
    "soft_reset": lambda sim, net: sim.soft_reset(),
    "close": lambda sim, net: sim.close(),
    "load": lambda sim, net: sim.load_params("no_such_file"),
    "save": lambda sim, net: sim.save_params("no_such_file"),
    "freeze": lambda sim, net: sim.freeze_params(net),
    "loss": lambda sim, net: sim.loss(1, {net.probe: np.zeros((1, 1, 1))}),
    "train": lambda sim, net: sim.train(1, {net.probe: np.zeros((1, 1, 1))}, "sgd"),
}


def network(function, size_in):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(function, size_in=size_in, size_out=1)
        if size_in:
            nengo.Connection(nengo.Node(1.0), node, synapse=None)
        ens = nengo.Ensemble(5, 1)
        nengo.Connection(node, ens)
        net.probe = nengo.Probe(ens)
    return net


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("size_in", [0, 1])
@pytest.mark.parametrize("jit_compile", [None, True])
def test_a_node_cannot_control_its_own_simulator(action, size_in, jit_compile):
    held = []

    def function(t, *x):
        if held and round(t / 0.001) == 3:
            (sim,) = held
            held.clear()
            ACTIONS[action](sim, net)
        return t

    net = network(function, size_in)
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=jit_compile) as sim:
        held.append(sim)
        with pytest.raises(SimulationError, match=r"busy with another call \(run\)"):
            sim.run_steps(6)
        assert sim.n_steps <= 2 and len(sim.data[net.probe]) == sim.n_steps
        sim.run_steps(6 - sim.n_steps)
        found = sim.data[net.probe].copy()
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=jit_compile) as sim:
        sim.run_steps(6)
        np.testing.assert_allclose(found, sim.data[net.probe], atol=1e-5)


@pytest.mark.parametrize("action", ACTIONS)
def test_another_thread_is_told_that_the_simulator_is_busy(action):
    running, go_on, caught = threading.Event(), threading.Event(), []

    def function(t, x):
        running.set()
        assert go_on.wait(60)
        return x

    net = network(function, 1)
    with nengo_dl.Simulator(net, progress_bar=False, jit_compile=None) as sim:
        running.clear()

        def other():
            running.wait(60)
            try:
                ACTIONS[action](sim, net)
            except SimulationError as error:
                caught.append(str(error))
            finally:
                go_on.set()

        thread = threading.Thread(target=other)
        thread.start()
        sim.run_steps(3)
        thread.join()
        assert len(caught) == 1 and "threads cannot share a simulator" in caught[0]
        assert sim.n_steps == 3 == len(sim.data[net.probe])


def test_threads_may_take_turns():
    net = network(lambda t: t, 0)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        for _ in range(3):
            thread = threading.Thread(target=sim.run_steps, args=(4,))
            thread.start()
            thread.join()
        assert sim.n_steps == 12 == len(sim.data[net.probe])


def test_callbacks_of_training_may_run_and_save_but_not_close(tmp_path):
    import keras

    net = network(lambda t: t, 0)
    done = []

    class Callback(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            sim.run_steps(2)
            sim.save_params(tmp_path / "params")
            for action in ("close", "reset", "train"):
                with pytest.raises(SimulationError, match=f"Cannot {action}: .*train"):
                    ACTIONS[action](sim, net)
            done.append(epoch)

    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        data = {net.probe: np.zeros((2, 3, 1))}
        sim.train(3, data, "sgd", callbacks=[Callback()])
        assert done == [0] and sim.n_steps == 2


def test_an_error_ends_the_mark():
    net = network(lambda t: t, 0)
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        with pytest.raises(OSError, match="nowhere"):
            sim.load_params("/nowhere/file.npz")
        sim.run_steps(2)
        assert sim.n_steps == 2
