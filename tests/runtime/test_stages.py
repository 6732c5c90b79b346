"""Which parts of a network are computed once, for all steps together, or in turn."""

import nengo
import numpy as np

import nengo_dl
from nengo_dl.runtime.stages import Kind, Stages


def stages_of(net, moving=()):
    """Return how a network is computed in training, if some nodes' values move."""
    with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        trainer = sim._get_training().trainer
        program = trainer.program(True)
        signals = {sim.model.sig[node]["out"] for node in moving}
        flags = [bool(signals & set(b.signals)) for b in program.input_blocks]
    return Stages(program, flags)


def kernels(stages, kind):
    groups = [n for phase in stages.phases if phase.kind is kind for n in phase.groups]
    return [type(stages.program.kernels[n]).__name__ for n in groups]


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
    stages = stages_of(net)
    assert kernels(stages, Kind.LOOP) == ["LinearFilterBuilder"]
    assert kernels(stages, Kind.BATCH) == []
    assert "_LIFRatesOfSpikes" in kernels(stages, Kind.ONCE)


def test_all_but_filters_is_computed_for_all_steps_together_if_inputs_move():
    net, node = feed_forward()
    stages = stages_of(net, [node])
    assert kernels(stages, Kind.LOOP) == ["LinearFilterBuilder"]
    assert "_LIFRatesOfSpikes" in kernels(stages, Kind.BATCH)


def test_an_input_that_moves_leaves_what_depends_on_others_alone():
    with nengo.Network(seed=0) as net:
        moving, still = nengo.Node(np.zeros(3)), nengo.Node(np.zeros(2))
        for node in (moving, still):
            ens = nengo.Ensemble(4, node.size_out, neuron_type=nengo.LIFRate())
            nengo.Connection(node, ens, synapse=None)
            nengo.Probe(ens.neurons)
    stages = stages_of(net, [moving])
    assert "DotIncBuilder" in kernels(stages, Kind.ONCE)
    assert "DotIncBuilder" in kernels(stages, Kind.BATCH)
