"""Compare nengo_dl with nengo's own simulator: build, first run, and time per step.

Both simulate the same network in one process, in turns, so that what else the machine
does affects both. Usage: ``python benchmarks/compare.py [names ...]``
"""

import argparse
import gc
import time
import warnings

import nengo
import numpy as np

import nengo_dl

nengo.rc["decoder_cache"]["enabled"] = "False"


def integrator(n_neurons=100):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.sin)
        ens = nengo.Ensemble(n_neurons, 1)
        nengo.Connection(stimulus, ens, transform=0.1, synapse=0.1)
        nengo.Connection(ens, ens, synapse=0.1)
        nengo.Probe(ens, synapse=0.01)
    return net


def channel(n_neurons=10000, dimensions=64):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.ones(dimensions) * 0.1)
        net.config[nengo.Ensemble].eval_points = nengo.dists.UniformHypersphere()
        net.config[nengo.Ensemble].n_eval_points = 500
        net.config[nengo.Connection].solver = nengo.solvers.LstsqL2(
            solver=nengo.utils.least_squares_solvers.Cholesky(transpose=True)
        )
        a = nengo.Ensemble(n_neurons, dimensions)
        b = nengo.Ensemble(n_neurons, dimensions)
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b)
        nengo.Probe(b, synapse=0.01)
    return net


def ensemble_array(n_ensembles=1000, n_neurons=50):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.ones(n_ensembles) * 0.1)
        a = nengo.networks.EnsembleArray(n_neurons, n_ensembles)
        b = nengo.networks.EnsembleArray(n_neurons, n_ensembles)
        nengo.Connection(stimulus, a.input)
        nengo.Connection(a.output, b.input)
        nengo.Probe(b.output, synapse=0.01)
    return net


def pes(n_neurons=1000, dimensions=8):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(lambda t: np.sin(t * np.arange(1, dimensions + 1)))
        pre = nengo.Ensemble(n_neurons, dimensions)
        post = nengo.Node(size_in=dimensions)
        error = nengo.Node(size_in=dimensions)
        nengo.Connection(stimulus, pre)
        learned = nengo.Connection(
            pre, post, function=np.zeros_like, learning_rule_type=nengo.PES()
        )
        nengo.Connection(post, error)
        nengo.Connection(stimulus, error, transform=-1)
        nengo.Connection(error, learned.learning_rule)
        nengo.Probe(post, synapse=0.01)
    return net


def spa(dimensions=32):
    with nengo.spa.SPA(seed=0) as model:
        model.state = nengo.spa.State(dimensions)
        model.memories = [nengo.spa.State(dimensions, feedback=1) for _ in range(0)]
        model.memory1 = nengo.spa.State(dimensions, feedback=1)
        model.memory2 = nengo.spa.State(dimensions, feedback=1)
        model.memory3 = nengo.spa.State(dimensions, feedback=1)
        actions = nengo.spa.Actions(
            "dot(state, A) --> state=B, memory1=A",
            "dot(state, B) --> state=C, memory2=B",
            "dot(state, C) --> state=A, memory3=C",
        )
        model.bg = nengo.spa.BasalGanglia(actions)
        model.thalamus = nengo.spa.Thalamus(model.bg)
        nengo.Probe(model.memory1.output, synapse=0.03)
    return model


def circular_convolution(dimensions=64):
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.ones(dimensions) * 0.1)
        conv = nengo.networks.CircularConvolution(200, dimensions)
        nengo.Connection(stimulus, conv.input_a)
        nengo.Connection(stimulus, conv.input_b)
        nengo.Probe(conv.output, synapse=0.01)
    return net


def separate(n_ensembles=1000, n_neurons=20):
    rng = np.random.RandomState(0)
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.sin)
        ensembles = [nengo.Ensemble(n_neurons, 1) for _ in range(n_ensembles)]
        for post in ensembles:
            nengo.Connection(ensembles[rng.randint(n_ensembles)], post)
        nengo.Connection(stimulus, ensembles[0])
        nengo.Probe(ensembles[-1], synapse=0.01)
    return net


def callback(n_neurons=100):
    net = integrator(n_neurons)
    with net:
        node = nengo.Node(lambda t, x: -x, size_in=1)
        nengo.Connection(net.ensembles[0], node)
        nengo.Connection(node, net.ensembles[0], transform=0.1)
    return net


NETWORKS = {
    "integrator": integrator,
    "channel": channel,
    "array": ensemble_array,
    "pes": pes,
    "spa": spa,
    "convolution": circular_convolution,
    "separate": separate,
    "callback": callback,
    "stepping": integrator,
}


def measure(name, n_steps, rounds, arguments):
    warnings.simplefilter("ignore")
    network = NETWORKS[name]()

    def timed(action):
        gc.collect()
        start = time.perf_counter()
        result = action()
        return time.perf_counter() - start, result

    build_core, core = timed(lambda: nengo.Simulator(network, progress_bar=False))
    build, ours = timed(
        lambda: nengo_dl.Simulator(network, progress_bar=False, **arguments)
    )
    first_core, _ = timed(lambda: core.run_steps(n_steps))
    if name == "stepping":
        first, _ = timed(ours.step)
    else:
        first, _ = timed(lambda: ours.run_steps(n_steps))
    times = {"core": [], "ours": []}
    for _ in range(rounds):
        for key, simulator in (("core", core), ("ours", ours)):

            def run(simulator=simulator):
                if name == "stepping":
                    for _ in range(n_steps):
                        simulator.step()
                else:
                    simulator.run_steps(n_steps)

            seconds, _ = timed(run)
            times[key].append(seconds / n_steps * 1e6)
    core_step, step = (float(np.median(times[key])) for key in ("core", "ours"))
    print(
        f"{name:12s} build {build:6.2f} s (core {build_core:6.2f}), first run "
        f"{first:6.2f} s (core {first_core:5.2f}), step {step:8.1f} us "
        f"(core {core_step:8.1f}): {core_step / step:5.1f}x"
    )
    print(f"{'':12s} operators {ours._program.counts}", flush=True)
    core.close()
    ours.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NETWORKS)}")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", default="float32")
    options = parser.parse_args()
    for name in options.names or NETWORKS:
        slow = name in ("channel", "array", "separate", "convolution", "spa")
        n_steps = options.steps or (200 if slow else 2000)
        measure(name, n_steps, options.rounds, {"dtype": options.dtype})


if __name__ == "__main__":
    main()
