"""Which parts of a network are computed once, for all steps together, or in turn."""

import gc

import keras
import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.builders.products.dense import DotIncBuilder
from nengo_dl.program import rollout as stage_runs
from nengo_dl.program.schedule import Kind, Schedule


def stages_of(net, moving=()):
    """Return how a network is computed in training, if some nodes' values move."""
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        functions = sim._get_training().trainer.functions
        program = functions.programs.step(True)
        signals = {sim.model.sig[node]["out"] for node in moving}
        flags = [bool(signals & set(b.signals)) for b in program.input_blocks]
    return Schedule(program, flags)


def kernels(schedule, kind):
    groups = [
        n for phase in schedule.phases if phase.kind is kind for n in phase.groups
    ]
    return [type(schedule.program.kernels[n]).__name__ for n in groups]


def feed_forward():
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(3))
        ens = nengo.Ensemble(4, 3, neuron_type=nengo.LIF())
        out = nengo.Node(size_in=2)
        nengo.Connection(node, ens, synapse=None)
        nengo.Connection(ens.neurons, out, transform=np.ones((2, 4)), synapse=None)
        nengo.Probe(out, synapse=0.01)
    return net, node


def test_all_but_filters_is_computed_once_if_inputs_stay_the_same():
    net, _ = feed_forward()
    schedule = stages_of(net)
    assert kernels(schedule, Kind.LOOP) == ["LinearFilterBuilder"]
    assert kernels(schedule, Kind.BATCH) == []
    assert "_LIFRatesOfSpikes" in kernels(schedule, Kind.ONCE)


def test_all_but_filters_is_computed_for_all_steps_together_if_inputs_move():
    net, node = feed_forward()
    schedule = stages_of(net, [node])
    assert kernels(schedule, Kind.LOOP) == ["LinearFilterBuilder"]
    assert "_LIFRatesOfSpikes" in kernels(schedule, Kind.BATCH)


def test_an_input_that_moves_leaves_what_depends_on_others_alone():
    with nengo.Network(seed=0) as net:
        moving, still = nengo.Node(np.zeros(3)), nengo.Node(np.zeros(2))
        for node in (moving, still):
            ens = nengo.Ensemble(4, node.size_out, neuron_type=nengo.LIFRate())
            nengo.Connection(node, ens, synapse=None)
            nengo.Probe(ens.neurons)
    schedule = stages_of(net, [moving])
    assert "DotIncBuilder" in kernels(schedule, Kind.ONCE)
    assert "DotIncBuilder" in kernels(schedule, Kind.BATCH)


def test_products_with_inputs_that_nobody_gives_are_left_out(monkeypatch):
    left_out, computed = stages_of(convolutional()), stages_of(feed_forward()[0])
    calls = []
    step = DotIncBuilder.step
    monkeypatch.setattr(
        DotIncBuilder, "step", lambda *args: calls.append(args) or step(*args)
    )
    for schedule, n_products in ((left_out, 0), (computed, 2)):
        program = schedule.program
        given = [*program.constant_blocks, *program.input_blocks, *program.state_blocks]
        start = {
            block.number: tf.ones((1, block.size), program.dtype_of(block))
            for block in given
        }
        calls.clear()
        found = program.compute(range(len(program.kernels)), start, {})
        assert len(calls) == n_products
        assert found


def convolutional(**settings):
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(36))
        conv = nengo.Convolution(2, (6, 6, 1))
        ens = nengo.Ensemble(32, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(node, ens.neurons, transform=conv, synapse=None)
        nengo.Probe(ens.neurons, **settings)
    return net


def test_convolutions_without_loops_are_not_compiled_by_xla_on_cpus():
    assert stages_of(convolutional()).avoids_xla
    assert not stages_of(convolutional(synapse=0.01)).avoids_xla
    assert not stages_of(feed_forward()[0]).avoids_xla


@pytest.mark.parametrize("jit_compile", [True, False])
def test_the_users_choice_of_compilation_counts(jit_compile):
    with nengo_dl.Simulator(
        convolutional(), jit_compile=jit_compile, device="/cpu:0", progress_bar=False
    ) as sim:
        functions = sim._get_training().trainer.functions
        program = functions.programs.step(True)
        schedule = Schedule(program, [False] * len(program.input_blocks))
        assert functions.programs.compiles(schedule) is jit_compile


def test_trained_convolutions_agree_with_and_without_xla():
    found = []
    for jit_compile in (None, True):
        net = convolutional()
        x = np.random.RandomState(0).uniform(size=(4, 1, 36))
        y = np.ones((4, 1, 32))
        with nengo_dl.Simulator(
            net, minibatch_size=2, jit_compile=jit_compile, dtype="float64"
        ) as sim:
            losses = sim.train(x, y, keras.optimizers.SGD(0.01), n_epochs=3).loss
            found.append([losses, *(v.numpy() for v in sim.trainable_variables)])
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=1e-12)


def recurrent(neuron_type):
    """Return a network whose loop holds a product that is kept, and one that is not."""
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(2))
        ens = nengo.Ensemble(12, 2, neuron_type=neuron_type)
        nengo.Connection(node, ens, synapse=None)
        nengo.Connection(ens.neurons, ens.neurons, transform=0.1 * np.ones((12, 12)))
        nengo.Connection(ens, ens, synapse=0.01)
        nengo.Probe(ens, synapse=0.01)
    return net


def test_gradients_through_kept_products_are_those_of_differences():
    net = recurrent(nengo.Sigmoid())
    x = np.random.RandomState(0).uniform(-1, 1, size=(3, 6, 2))
    with nengo_dl.Simulator(
        net, minibatch_size=3, dtype="float64", progress_bar=False
    ) as sim:
        n_kept = []
        original = stage_runs.scan

        def scan(*arguments):
            n_kept.append(len(arguments[-1]))
            return original(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage_runs, "scan", scan)
            report = sim.check_gradients(inputs={net.all_nodes[0]: x}, atol=1e-8)
    assert set(n_kept) == {2}
    assert report.excess < 1


@pytest.mark.parametrize("how", [None, nengo_dl.Surrogate()])
def test_kept_products_do_not_change_what_is_learned(how, monkeypatch):
    found = []
    for keeps in (True, False):
        net = recurrent(nengo.LIF())
        with net:
            nengo_dl.configure_settings(surrogate=how)
        if not keeps:
            monkeypatch.setattr(stage_runs._Run, "_product", lambda *_: None)
        # equal networks would share what was compiled
        nengo_dl.programs.clear()
        gc.collect()
        x = np.random.RandomState(0).uniform(-1, 1, size=(4, 20, 2))
        with nengo_dl.Simulator(
            net, minibatch_size=2, dtype="float64", progress_bar=False
        ) as sim:
            losses = sim.train(x, x, keras.optimizers.SGD(0.01), n_epochs=2).loss
            found.append([losses, *(v.numpy() for v in sim.trainable_variables)])
        del sim, net
        assert nengo_dl.programs.hits == 0
    for a, b in zip(*found, strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-12)
