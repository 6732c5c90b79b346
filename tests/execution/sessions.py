"""Sessions of small networks, without the simulator around them."""

import nengo
import numpy as np
from nengo.builder import Model

from nengo_dl.builders.lookup import make_builder_lookup
from nengo_dl.compiler.compile import compile_model
from nengo_dl.execution.opening import open_session
from nengo_dl.program.placement import Placement
from nengo_dl.support.tuning import MOST_STEPS


def make_session(
    net,
    minibatch_size=1,
    jit_compile=True,
    unroll=1,
    dtype=np.float64,
    seed=0,
    executor=None,
    most_steps=MOST_STEPS,
):
    """Return a session whose outputs are the network's probes.

    ``executor``: "compiled", "numpy", or None where the placement decides, by
    ``jit_compile`` (None: what is faster). ``most_steps``: of one call.
    """
    model = Model(dt=0.001)
    model.build(net)
    placement = Placement.choose(None, jit_compile, minibatch_size)
    lookup = make_builder_lookup(dtype, minibatch_size, placement.uses_xla)
    plan = compile_model(model, lookup, minibatch_size=minibatch_size)
    session = open_session(
        plan,
        placement,
        np.dtype(dtype),
        unroll,
        executor=executor,
        most_steps=most_steps,
    )
    session.reset(seed)
    return session


def run(session, n_steps, feeds=None):
    """Run; return the outputs, each of shape ``(n_kept, minibatch, size)``."""
    chunks = list(session.run(n_steps, feeds or {}))
    return [np.concatenate(parts) for parts in zip(*(c.outputs for c in chunks))]


def core_data(net, n_steps, seed=0):
    """Return the probe data of nengo's reference simulator."""
    with nengo.Simulator(net, seed=seed, optimize=False, progress_bar=False) as sim:
        sim.run_steps(n_steps)
        return [np.array(sim.data[probe]) for probe in net.all_probes]


def counting_network(log, fail_at=(), **node_kwargs):
    """Return a network with a function that logs the steps it is called for.

    It fails, once for each, at some of the steps.
    """
    # nengo calls functions to find out the size of their output
    node_kwargs.setdefault("size_out", 1)
    to_fail = list(fail_at)

    def function(t, *args):
        step = round(t / 0.001)
        log.append(step)
        if step in to_fail:
            to_fail.remove(step)
            raise RuntimeError(f"step {step} is not to my liking")
        return 0.5 * step

    with nengo.Network(seed=1) as net:
        node = nengo.Node(function, **node_kwargs)
        state = nengo.Node(size_in=1)
        nengo.Connection(node, state, synapse=0.005)
        nengo.Probe(node)
        nengo.Probe(state)
    return net
