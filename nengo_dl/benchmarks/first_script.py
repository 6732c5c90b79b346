"""A script as notebooks have it: one small network, simulated once.

Run as ``python first_script.py SIMULATOR NETWORK SECONDS``, in a process of its own. It
imports nothing but Nengo and the simulator, and prints what took how long, as JSON.
"""

import json
import sys
import time

BEGAN = time.perf_counter()

import nengo  # noqa: E402  (imports are part of what is measured)
import numpy as np  # noqa: E402


def representation():
    """Return an ensemble that represents a sine."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: np.sin(8 * t))
        ens = nengo.Ensemble(100, 1)
        nengo.Connection(wave, ens)
        nengo.Probe(ens, synapse=0.01)
        nengo.Probe(ens.neurons)
    return net


def addition():
    """Return an ensemble to which two others project."""
    with nengo.Network(seed=0) as net:
        first, second, total = (nengo.Ensemble(100, 1) for _ in range(3))
        for value, ens in ((0.5, first), (0.3, second)):
            nengo.Connection(nengo.Node(value), ens)
            nengo.Connection(ens, total)
        nengo.Probe(total, synapse=0.01)
    return net


def squaring():
    """Return an ensemble from which a function of its value is decoded."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: np.sin(2 * np.pi * t))
        first, second = nengo.Ensemble(100, 1), nengo.Ensemble(100, 1)
        nengo.Connection(wave, first)
        nengo.Connection(first, second, function=np.square)
        for ens in (first, second):
            nengo.Probe(ens, synapse=0.01)
    return net


def multiplication():
    """Return an ensemble of two dimensions from which their product is decoded."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: [np.sin(6 * t), np.cos(3 * t)])
        first, second = nengo.Ensemble(100, 1), nengo.Ensemble(100, 1)
        both = nengo.Ensemble(200, 2, radius=1.5)
        product = nengo.Ensemble(100, 1)
        for dimension, ens in enumerate((first, second)):
            nengo.Connection(wave[dimension], ens)
            nengo.Connection(ens, both[dimension])
        nengo.Connection(both, product, function=np.prod)
        nengo.Probe(product, synapse=0.01)
    return net


def integrator():
    """Return an ensemble that integrates its input."""
    with nengo.Network(seed=0) as net:
        pulse = nengo.Node(lambda t: float(t < 0.3))
        ens = nengo.Ensemble(100, 1)
        nengo.Connection(pulse, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
    return net


def oscillator():
    """Return an ensemble whose feedback turns its value."""
    with nengo.Network(seed=0) as net:
        kick = nengo.Node(lambda t: [float(t < 0.1), 0])
        ens = nengo.Ensemble(200, 2)
        nengo.Connection(kick, ens)
        nengo.Connection(ens, ens, transform=[[1, 1], [-1, 1]], synapse=0.1)
        nengo.Probe(ens, synapse=0.02)
    return net


def lorenz():
    """Return a chaotic attractor."""

    def feedback(x):
        a, b, c = x
        return [
            a + 0.1 * 10 * (b - a),
            b - 0.1 * (a * c + b),
            c + 0.1 * (a * b - 8 / 3 * (c + 28) - c * 0),
        ]

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(600, 3, radius=60)
        nengo.Connection(ens, ens, function=feedback, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
    return net


def learning():
    """Return a communication channel that is learned."""
    with nengo.Network(seed=0) as net:
        noise = nengo.Node(nengo.processes.WhiteSignal(60, high=5, seed=1))
        pre, post, error = (nengo.Ensemble(60, 1) for _ in range(3))
        nengo.Connection(noise, pre)
        conn = nengo.Connection(
            pre, post, function=lambda x: 0, learning_rule_type=nengo.PES()
        )
        nengo.Connection(post, error)
        nengo.Connection(pre, error, transform=-1)
        nengo.Connection(error, conn.learning_rule)
        nengo.Probe(post, synapse=0.01)
        nengo.Probe(error, synapse=0.03)
    return net


def selection():
    """Return a basal ganglia that selects one of three actions."""
    with nengo.Network(seed=0) as net:
        utilities = nengo.Node(lambda t: np.eye(3)[int(3 * t) % 3] * 0.8)
        ganglia = nengo.networks.BasalGanglia(3, n_neurons_per_ensemble=50)
        nengo.Connection(utilities, ganglia.input)
        nengo.Probe(ganglia.output, synapse=0.01)
    return net


def feedback_through_python():
    """Return an arm that a network controls, simulated by a function."""
    angle = np.zeros(1)

    def arm(t, force):
        angle[:] += 0.01 * force
        return angle

    with nengo.Network(seed=0) as net:
        target = nengo.Node(lambda t: np.sign(np.sin(4 * t)))
        plant = nengo.Node(arm, size_in=1)
        control = nengo.Ensemble(100, 1, radius=2)
        nengo.Connection(target, control)
        nengo.Connection(plant, control, transform=-1)
        nengo.Connection(control, plant)
        nengo.Probe(plant)
    return net


NETWORKS = {
    function.__name__.replace("_", " "): function
    for function in (
        representation,
        addition,
        squaring,
        multiplication,
        integrator,
        oscillator,
        lorenz,
        learning,
        selection,
        feedback_through_python,
    )
}


def main(simulator: str, network: str, seconds: str) -> None:
    """Import a simulator, and simulate a network with it."""
    nengo.rc.set("decoder_cache", "enabled", "False")
    module, _, name = simulator.partition(":")
    make = getattr(__import__(module), name)
    imported = time.perf_counter()
    net = NETWORKS[network]()
    began = time.perf_counter()
    with make(net, progress_bar=False) as sim:
        built = time.perf_counter()
        if float(seconds):
            sim.run(float(seconds), progress_bar=False)
        else:
            sim.step()
        ran = time.perf_counter()
    found = {
        "import": imported - BEGAN,
        "build": built - began,
        "run": ran - built,
        "tensorflow": "tensorflow" in sys.modules,
        "neurons": sum(ens.n_neurons for ens in net.all_ensembles),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
