"""Networks that differ in their numbers only, and counts of what they cost."""

import contextlib

import nengo
import numpy as np

import nengo_dl
from nengo_dl.program import pool as pool_module
from nengo_dl.program.pool import ProgramPool


def drive(t):
    """Return the input of the networks."""
    return np.sin(20 * t)


def network(seed=0, size=20, tau=0.02, filtered=True, label=None):
    """Return a network with a recurrent ensemble, and filters of one time constant."""
    with nengo.Network(seed=seed, label=label) as net:
        node = nengo.Node(drive)
        ens = nengo.Ensemble(size, 1, label=label)
        nengo.Connection(node, ens, synapse=tau)
        nengo.Connection(ens, ens, synapse=tau, function=np.square)
        net.probe = nengo.Probe(ens, synapse=tau if filtered else None)
    return net


def simulator(net, **kwargs):
    """Return a simulator that uses compiled programs."""
    kwargs.setdefault("jit_compile", True)
    return nengo_dl.Simulator(net, progress_bar=False, **kwargs)


def record(net, n_steps=30, **kwargs):
    """Simulate; return the probed data."""
    with simulator(net, **kwargs) as sim:
        sim.run_steps(n_steps)
        return np.array(sim.data[net.probe])


@contextlib.contextmanager
def fresh_pool(max_size=64):
    """Give simulators a pool of their own for a while."""
    pool = ProgramPool(max_size)
    before = pool_module.programs
    users = [m for m in _users() if m.programs is before]
    for module in users:
        module.programs = pool
    try:
        yield pool
    finally:
        for module in users:
            module.programs = before


def _users():
    from nengo_dl.program import chunk_loop
    from nengo_dl.training import functions

    return [pool_module, chunk_loop, functions]
