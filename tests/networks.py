r"""Nengo networks to compare simulators with: fixed ones, and randomly generated ones.

`FIXED` maps a name to a function without arguments that builds a representative
network; together they contain every operator type of Nengo. `generated_networks` is a
hypothesis strategy, `random_network` draws from the same distribution with a seed.

Everything is a `Case`: a network, its probes, and a description short enough to stand
in a failure message. Building the same case twice gives equal networks.

More examples than the default few of the hypothesis tests::

    python -m pytest -p tests.networks --hypothesis-profile=thorough \
        tests/test_parity.py
"""

import itertools
from dataclasses import dataclass, field

import hypothesis
import nengo
import numpy as np
from hypothesis import strategies as st
from nengo.dists import Choice, Gaussian, Uniform
from nengo.solvers import LstsqL2
from nengo.synapses import Alpha, LinearFilter, Lowpass, Triangle
from nengo.transforms import Convolution, ConvolutionTranspose, Sparse

hypothesis.settings.register_profile("thorough", max_examples=1000, deadline=None)

SPIKING_TYPES = (
    nengo.LIF,
    nengo.AdaptiveLIF,
    nengo.Izhikevich,
    nengo.SpikingRectifiedLinear,
    nengo.RegularSpiking,
    nengo.StochasticSpiking,
    nengo.PoissonSpiking,
)


@dataclass(eq=False)
class Case:
    """A network to simulate, with the probes to compare."""

    net: nengo.Network
    probes: list = field(default_factory=list)
    description: str = ""

    def __repr__(self):
        return f"<Case: {self.description}>"


# --------------------------------------------------------------------------------------
# Functions and processes, at module level so that networks that use them can be pickled
# --------------------------------------------------------------------------------------


def wave(t):
    """Two incommensurable oscillations."""
    return [0.8 * np.sin(31 * t + 0.3), 0.6 * np.cos(47 * t)]


def slow_ramp(t):
    """A value that starts close to zero."""
    return 1.7 * t - 0.03


def square(x):
    """An elementwise nonlinearity."""
    return np.asarray(x) ** 2


def saturating_square(x):
    """An elementwise nonlinearity that keeps feedback loops bounded."""
    return np.tanh(x) ** 2


def sine_and_sum(x):
    """A bounded function whose output has another size than its input."""
    return [np.sin(2 * np.tanh(x[0])), 0.5 * np.tanh(np.sum(x)) - 0.1]


@dataclass
class ShiftedSines:
    """Several fast sine waves, as a function that can be pickled."""

    phases: np.ndarray

    def __call__(self, t):
        return 0.9 * np.sin(37 * t + self.phases)


def scaled_with_time(t, x):
    """A Node function of time and input."""
    return 0.7 * x + 0.2 * np.cos(11 * t)


def swallow(t, x):
    """A Node function without an output."""


class Accumulator(nengo.Process):
    """A process with input, whose state Nengo allocates: a leaky sum of the input."""

    def __init__(self, leak=0.9, **kwargs):
        super().__init__(default_size_in=2, default_size_out=2, **kwargs)
        self.leak = leak

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"total": np.zeros(shape_out)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        total = state["total"]
        leak = self.leak

        def step(t, x):
            total[...] = leak * total + 0.2 * x + 0.01 * t
            return total

        return step


class RandomWalk(nengo.Process):
    """An input process with state in both an array and a random stream."""

    def __init__(self, size=1, **kwargs):
        super().__init__(default_size_in=0, default_size_out=size, **kwargs)

    def make_state(self, shape_in, shape_out, dt, dtype=None):
        return {"position": np.full(shape_out, 0.1)}

    def make_step(self, shape_in, shape_out, dt, rng, state):
        position = state["position"]

        def step(t):
            position[...] += rng.uniform(-0.05, 0.05, size=shape_out)
            return position

        return step


# --------------------------------------------------------------------------------------
# Fixed networks
# --------------------------------------------------------------------------------------


def _case(name, seed):
    return Case(nengo.Network(seed=seed, label=name), description=name)


def _probe_everything(case, *objs, **kwargs):
    """Probe every attribute that each object offers."""
    for obj in objs:
        case.probes += [
            nengo.Probe(obj, a, **kwargs) for a in probeable_attributes(obj)
        ]


def probeable_attributes(obj):
    """Return the attributes of an object that can be probed without an error.

    Nengo lists the weights of connections that have none, and sparse weights, which
    core records as an array of objects.
    """
    attributes = list(obj.probeable)
    if isinstance(obj, nengo.Connection):
        decoded = isinstance(obj.pre_obj, nengo.Ensemble) and not isinstance(
            obj.pre_obj.neuron_type, nengo.Direct
        )
        no_weights = isinstance(obj.transform, nengo.transforms.NoTransform)
        if isinstance(obj.transform, Sparse) or (no_weights and not decoded):
            attributes.remove("weights")
    return attributes


def rate_neurons():
    """Every neuron type without spikes, with other than the default parameters."""
    case = _case("rate_neurons", 1)
    with case.net:
        stim = nengo.Node(wave)
        for neuron_type in (
            nengo.RectifiedLinear(amplitude=0.7),
            nengo.Sigmoid(tau_ref=0.002),
            nengo.Tanh(tau_ref=0.003),
            nengo.LIFRate(tau_rc=0.03, tau_ref=0.001, amplitude=0.5),
            nengo.AdaptiveLIFRate(tau_n=0.05, inc_n=0.02),
        ):
            ens = nengo.Ensemble(
                11, 2, neuron_type=neuron_type, max_rates=Uniform(260, 320)
            )
            nengo.Connection(stim, ens, synapse=None)
            _probe_everything(case, ens, ens.neurons)
    return case


def spiking_neurons():
    """Every neuron type with deterministic spikes."""
    case = _case("spiking_neurons", 2)
    with case.net:
        stim = nengo.Node(wave)
        for neuron_type in (
            nengo.LIF(tau_rc=0.015, tau_ref=0.0025, min_voltage=-0.5, amplitude=0.8),
            nengo.LIF(initial_state={"voltage": Choice([0.25])}),
            nengo.AdaptiveLIF(tau_n=0.08, inc_n=0.03),
            nengo.Izhikevich(reset_recovery=4),
            nengo.SpikingRectifiedLinear(amplitude=1.5),
            nengo.RegularSpiking(nengo.LIFRate(tau_ref=0.001)),
            nengo.RegularSpiking(nengo.Tanh(tau_ref=0.003), amplitude=0.3),
        ):
            ens = nengo.Ensemble(
                12, 2, neuron_type=neuron_type, max_rates=Uniform(260, 320)
            )
            nengo.Connection(stim, ens, synapse=None)
            _probe_everything(case, ens, ens.neurons)
    return case


def random_spikes():
    """Neuron types that draw random numbers, over several base types."""
    case = _case("random_spikes", 3)
    with case.net:
        stim = nengo.Node(wave)
        for spiking in (nengo.StochasticSpiking, nengo.PoissonSpiking):
            for base in (nengo.Sigmoid(), nengo.Tanh(0.003), nengo.AdaptiveLIFRate()):
                ens = nengo.Ensemble(
                    9,
                    2,
                    neuron_type=spiking(base, amplitude=0.6),
                    max_rates=Uniform(260, 320),
                )
                nengo.Connection(stim, ens, synapse=None)
                _probe_everything(case, ens.neurons)
                case.probes.append(nengo.Probe(ens, synapse=0.01))
    return case


def python_functions():
    """Nodes of every kind and Direct ensembles: Python runs in the loop."""
    case = _case("python_functions", 4)
    with case.net:
        stim = nengo.Node(wave)
        constant = nengo.Node([0.3, -0.4])
        ramp = nengo.Node(slow_ramp)
        passthrough = nengo.Node(size_in=2)
        function = nengo.Node(scaled_with_time, size_in=2)
        sink = nengo.Node(swallow, size_in=2)
        direct = nengo.Ensemble(1, 2, neuron_type=nengo.Direct(), radius=2)
        ens = nengo.Ensemble(20, 2)
        nengo.Connection(stim, passthrough, synapse=None)
        nengo.Connection(constant, passthrough, synapse=0.01)
        nengo.Connection(passthrough, function, synapse=None)
        nengo.Connection(ramp, function[1], function=square, synapse=None)
        nengo.Connection(function, direct, synapse=None)
        nengo.Connection(direct, ens, function=sine_and_sum, synapse=0.005)
        nengo.Connection(ens, sink)
        back = nengo.Connection(ens, passthrough, function=square, synapse=0.01)
        case.probes = [nengo.Probe(n) for n in (constant, ramp, passthrough, function)]
        _probe_everything(case, direct, ens, back)
    return case


def slices():
    """Slices with steps, index lists and repeated indices at both ends."""
    case = _case("slices", 5)
    with case.net:
        stim = nengo.Node(wave)
        source = nengo.Node(size_in=4)
        nengo.Connection(stim, source[[0, 2]], synapse=None)
        nengo.Connection(stim, source[[3, 1]], transform=0.7, synapse=0.003)
        ens = nengo.Ensemble(25, 4)
        nengo.Connection(source, ens)
        target = nengo.Node(size_in=4)
        nengo.Connection(source[::2], target[1:3], synapse=None)
        nengo.Connection(source[::-1], target, synapse=None)
        nengo.Connection(source[1:], target[:-1], transform=[1, -2, 0.5], synapse=None)
        nengo.Connection(source[[2, 2, 0]], target[[3, 0, 1]], synapse=None)
        nengo.Connection(source[:3], target[[1, 1, 2]], synapse=None)
        nengo.Connection(ens[::-2], target[::3], synapse=0.004)
        nengo.Connection(ens[[3, 0]], target[2:], function=square, synapse=None)
        nengo.Connection(ens.neurons[::5], target[[0, 0, 3, 2, 1]], transform=1e-3)
        nengo.Connection(target[-1], ens[1], transform=0.2)
        nengo.Connection(
            source[1:3],
            ens.neurons[4:10],
            transform=np.linspace(-1, 1, 12).reshape(6, 2),
        )
        case.probes = [
            nengo.Probe(target),
            nengo.Probe(target[::-1], synapse=0.01),
            nengo.Probe(source[[1, 1, 3]]),
            nengo.Probe(ens[1:3], synapse=0.005),
            nengo.Probe(ens.neurons[::4]),
            nengo.Probe(ens.neurons[[7, 3]], "voltage"),
        ]
    return case


def transforms():
    """Every transform, at every kind of object."""
    case = _case("transforms", 6)
    rng = np.random.RandomState(6)
    with case.net:
        image = nengo.Node(lambda t: 0.5 * np.sin(20 * t + np.arange(32)), size_out=32)
        layers = [
            (nengo.transforms.Dense((6, 32), init=Uniform(-0.2, 0.2)), 6),
            (0.3, 32),
            (rng.uniform(-1, 1, size=32), 32),
            (
                Sparse(
                    (7, 32),
                    indices=np.stack([rng.randint(7, size=40), np.arange(40) % 32], 1),
                    init=rng.uniform(-1, 1, size=40),
                ),
                7,
            ),
        ]
        convolutions = [
            Convolution(3, (16, 2), kernel_size=(3,), strides=(2,)),
            Convolution(2, (2, 16), kernel_size=(4,), strides=(1,), padding="same",
                        channels_last=False),
            Convolution(2, (4, 4, 2), kernel_size=(3, 2), strides=(1, 2)),
            Convolution(4, (2, 4, 4), groups=2, padding="same", channels_last=False),
            ConvolutionTranspose(2, (8, 4), kernel_size=(3,), strides=(2,)),
            ConvolutionTranspose(2, (4, 4, 2), strides=(2, 2), padding="same"),
        ]  # fmt: skip
        layers += [(c, c.output_shape.size) for c in convolutions]
        for transform, size in layers:
            node = nengo.Node(size_in=size)
            conn = nengo.Connection(image, node, transform=transform, synapse=None)
            case.probes.append(nengo.Probe(node))
            _probe_everything(case, conn)
        ens = nengo.Ensemble(18, 3, neuron_type=nengo.LIFRate())
        conv = Convolution(2, (4, 4, 2), init=Uniform(-0.3, 0.3))
        hidden = nengo.Ensemble(conv.output_shape.size, 1, neuron_type=nengo.LIF())
        nengo.Connection(image, hidden.neurons, transform=conv)
        to_ens = nengo.Connection(image[:3], ens, transform=rng.uniform(-1, 1, (3, 3)))
        neurons = nengo.Connection(
            ens.neurons,
            hidden.neurons,
            transform=nengo.transforms.Dense(
                (hidden.n_neurons, 18), init=Gaussian(0, 1e-3)
            ),
        )
        spread = nengo.Connection(
            hidden.neurons,
            ens.neurons,
            transform=Sparse(
                (18, 8), indices=[(i, i % 8) for i in range(18)], init=2e-3
            ),
        )
        weights = nengo.Connection(ens, ens, solver=LstsqL2(weights=True))
        _probe_everything(case, to_ens, neurons, spread, weights, ens)
        case.probes.append(nengo.Probe(hidden.neurons))
    return case


def synapses():
    """Every kind of synapse on nodes, decoded values and neurons, and on probes."""
    case = _case("synapses", 7)
    kinds = [
        None,
        0,
        Lowpass(0.013),
        Lowpass(0.0003),
        Alpha(0.007),
        LinearFilter([1, 0.4], [0.0004, 0.04, 1]),
        LinearFilter([1], [0.0001, 0.01], method="euler"),
        LinearFilter([0.2, 0.1], [1, -0.5, 0.1], analog=False),
        LinearFilter([0.3], [1], analog=False),
        LinearFilter([1], [8e-9, 1.2e-5, 0.006, 1]),
        Triangle(0.008),
    ]
    with case.net:
        stim = nengo.Node(wave)
        ens = nengo.Ensemble(15, 2)
        nengo.Connection(stim, ens)
        for i, synapse in enumerate(kinds):
            node = nengo.Node(size_in=2)
            nengo.Connection(stim, node, synapse=synapse)
            nengo.Connection(ens, node, synapse=synapse, transform=0.5)
            case.probes += [nengo.Probe(node), nengo.Probe(ens, synapse=synapse)]
            if i % 3 == 0:
                case.probes.append(nengo.Probe(ens.neurons, synapse=synapse))
    return case


def input_processes():
    """Every input process with and without its own seed, and processes with input."""
    case = _case("input_processes", 8)
    with case.net:
        for seed in (None, 11):
            for process in (
                nengo.processes.WhiteSignal(0.2, high=40, seed=seed),
                nengo.processes.WhiteSignal(0.15, high=60, y0=0.1, seed=seed),
                nengo.processes.WhiteNoise(seed=seed),
                nengo.processes.WhiteNoise(Uniform(-1, 1), scale=False, seed=seed),
                nengo.processes.FilteredNoise(Alpha(0.01), seed=seed),
                nengo.processes.BrownNoise(seed=seed),
                RandomWalk(size=2, seed=seed),
            ):
                case.probes.append(nengo.Probe(nengo.Node(process, size_out=2)))
        images = np.linspace(-1, 1, 12).reshape(3, 2, 2)
        present = nengo.Node(nengo.processes.PresentInput(images, 0.007))
        steps = nengo.Node(
            nengo.processes.Piecewise(
                {0.005: [0.5, 0.1], 0.013: [-0.25, 1.0], 0.03: [0.0, -1.0]}
            )
        )
        curve = nengo.Node(
            nengo.processes.Piecewise({0: 0.5, 0.02: -0.25, 0.05: 1}, "linear")
        )
        accumulator = nengo.Node(Accumulator(seed=3))
        node_filter = nengo.Node(Lowpass(0.01), size_in=2, size_out=2)
        nengo.Connection(steps, accumulator, synapse=None)
        nengo.Connection(present[:2], node_filter, synapse=None)
        for node in (present, steps, curve, accumulator, node_filter):
            case.probes.append(nengo.Probe(node))
    return case


def noise():
    """Ensemble noise, with and without its own seed."""
    case = _case("noise", 9)
    with case.net:
        stim = nengo.Node([0.4])
        for seed, process in itertools.product(
            (None, 5), (nengo.processes.WhiteNoise, nengo.processes.FilteredNoise)
        ):
            ens = nengo.Ensemble(10, 1, noise=process(dist=Gaussian(0, 0.1), seed=seed))
            nengo.Connection(stim, ens)
            case.probes += [
                nengo.Probe(ens.neurons, "input"),
                nengo.Probe(ens.neurons),
                nengo.Probe(ens, synapse=0.01),
            ]
    return case


def error_driven_learning():
    """PES, RLS and Voja."""
    case = _case("error_driven_learning", 10)
    with case.net:
        stim = nengo.Node(wave)
        pre = nengo.Ensemble(20, 2)
        nengo.Connection(stim, pre)
        error = nengo.Node(size_in=2)
        nengo.Connection(stim, error, transform=-1)
        post = nengo.Ensemble(15, 2, neuron_type=nengo.LIFRate())
        for rule in (
            nengo.PES(5e-4),
            nengo.PES(3e-4, pre_synapse=None),
            nengo.RLS(2e-3),
        ):
            conn = nengo.Connection(pre, post, function=square, learning_rule_type=rule)
            nengo.Connection(error, conn.learning_rule)
            _probe_everything(case, conn, conn.learning_rule)
        nengo.Connection(post, error)
        neurons = nengo.Connection(
            pre.neurons,
            post.neurons,
            transform=np.full((15, 20), 1e-4),
            learning_rule_type=nengo.PES(1e-6),
        )
        weights = nengo.Connection(
            pre,
            post,
            solver=LstsqL2(weights=True),
            learning_rule_type=nengo.PES(1e-5),
        )
        for conn in (neurons, weights):
            nengo.Connection(error, conn.learning_rule)
            _probe_everything(case, conn, conn.learning_rule)
        for rule in (nengo.Voja(1e-2), nengo.Voja(3e-2, post_synapse=None)):
            memory = nengo.Ensemble(
                14, 2, intercepts=Choice([0.1]), neuron_type=nengo.LIFRate()
            )
            conn = nengo.Connection(stim, memory, learning_rule_type=rule)
            nengo.Connection(stim[0], conn.learning_rule, transform=0.5)
            _probe_everything(case, memory, conn.learning_rule)
    return case


def hebbian_learning():
    """BCM and Oja, several rules on one connection."""
    case = _case("hebbian_learning", 11)
    with case.net:
        stim = nengo.Node(wave)
        pre = nengo.Ensemble(12, 2)
        post = nengo.Ensemble(10, 2, neuron_type=nengo.LIFRate())
        nengo.Connection(stim, pre)
        nengo.Connection(stim, post)
        rules = [
            nengo.BCM(1e-8, theta_synapse=0.05),
            nengo.Oja(1e-6, beta=0.5, post_synapse=0.01),
            [nengo.BCM(1e-9), nengo.Oja(1e-7)],
            {
                "error": nengo.PES(1e-5),
                "decay": nengo.Oja(1e-6, pre_synapse=Alpha(0.01)),
            },
        ]
        for rule in rules:
            conn = nengo.Connection(
                pre, post, solver=LstsqL2(weights=True), learning_rule_type=rule
            )
            _probe_everything(case, conn)
            for built in _rules_of(conn):
                if isinstance(built.learning_rule_type, nengo.PES):
                    nengo.Connection(stim, built)
                _probe_everything(case, built)
        neurons = nengo.Connection(
            pre.neurons,
            post.neurons,
            transform=np.linspace(-1e-3, 1e-3, 120).reshape(10, 12),
            learning_rule_type=nengo.Oja(1e-5),
        )
        _probe_everything(case, neurons, neurons.learning_rule)
    return case


def _rules_of(conn):
    rule = conn.learning_rule
    if isinstance(rule, dict):
        return list(rule.values())
    return rule if isinstance(rule, list) else [rule]


def composed_networks():
    """Networks out of `nengo.networks`, and an EnsembleArray with all its ports."""
    case = _case("composed_networks", 12)
    with case.net:
        stim = nengo.Node(wave)
        product = nengo.networks.Product(12, 2)
        convolution = nengo.networks.CircularConvolution(8, 2)
        selection = nengo.networks.BasalGanglia(2, n_neurons_per_ensemble=15)
        thalamus = nengo.networks.Thalamus(2, n_neurons_per_ensemble=10)
        memory = nengo.networks.InputGatedMemory(12, 2)
        array = nengo.networks.EnsembleArray(10, 2, neuron_type=nengo.AdaptiveLIF())
        array.add_output("square", square)
        neuron_input = array.add_neuron_input()
        neuron_output = array.add_neuron_output()
        for target in (
            product.input_a,
            product.input_b,
            convolution.input_a,
            convolution.input_b,
            selection.input,
            memory.input,
            array.input,
        ):
            nengo.Connection(stim, target)
        nengo.Connection(selection.output, thalamus.input)
        nengo.Connection(stim[0], memory.gate)
        nengo.Connection(
            neuron_output, neuron_input, transform=1e-4 * np.ones((20, 20))
        )
        for output in (
            product.output,
            convolution.output,
            selection.output,
            thalamus.output,
            memory.output,
            array.output,
            array.square,
            neuron_output,
        ):
            case.probes.append(nengo.Probe(output, synapse=0.005))
    return case


def recurrent():
    """Feedback through synapses: an integrator, an oscillator, a delayed pair."""
    case = _case("recurrent", 13)
    with case.net:
        stim = nengo.Node(wave)
        integrator = nengo.Ensemble(20, 1)
        nengo.Connection(integrator, integrator, synapse=0.05)
        nengo.Connection(stim[0], integrator, transform=0.05, synapse=0.05)
        oscillator = nengo.Ensemble(25, 2)
        nengo.Connection(
            oscillator, oscillator, transform=[[1, 0.3], [-0.3, 1]], synapse=0.05
        )
        nengo.Connection(stim, oscillator)
        a, b = (nengo.Ensemble(15, 1, seed=i) for i in (4, 5))
        nengo.Connection(a, b, synapse=0)
        nengo.Connection(b, a, function=square, synapse=Alpha(0.004))
        nengo.Connection(stim[1], a, synapse=None)
        delay = nengo.Node(size_in=1)
        nengo.Connection(delay, delay, transform=0.95, synapse=0)
        nengo.Connection(stim[0], delay, synapse=None)
        nengo.Connection(
            a.neurons, a.neurons, transform=-1e-3 * np.eye(15), synapse=0.002
        )
        for obj in (integrator, oscillator, a, b, delay):
            case.probes.append(nengo.Probe(obj, synapse=0.01))
        case.probes += [nengo.Probe(a.neurons), nengo.Probe(b.neurons)]
    return case


def sampling():
    """Probes with sampling periods that do and do not divide the run."""
    case = _case("sampling", 14)
    with case.net:
        stim = nengo.Node(slow_ramp)
        ens = nengo.Ensemble(10, 1)
        nengo.Connection(stim, ens)
        for period in (None, 0.001, 0.002, 0.0025, 0.0071):
            case.probes += [
                nengo.Probe(stim, sample_every=period),
                nengo.Probe(ens, sample_every=period, synapse=0.01),
                nengo.Probe(ens.neurons, sample_every=period),
            ]
    return case


#: Builders of the fixed networks by name.
FIXED = {
    builder.__name__: builder
    for builder in (
        rate_neurons,
        spiking_neurons,
        random_spikes,
        python_functions,
        slices,
        transforms,
        synapses,
        input_processes,
        noise,
        error_driven_learning,
        hebbian_learning,
        composed_networks,
        recurrent,
        sampling,
    )
}


def everything():
    """One small network with a bit of everything that must survive between steps.

    Spiking neurons, learned decoders and encoders, synapses, random streams, a
    sampled probe; no Python function in the loop.
    """
    case = _case("everything", 15)
    with case.net:
        stim = nengo.Node(wave)
        signal = nengo.Node(nengo.processes.WhiteSignal(0.1, high=50))
        pre = nengo.Ensemble(
            12, 2, noise=nengo.processes.FilteredNoise(dist=Gaussian(0, 0.05))
        )
        post = nengo.Ensemble(10, 2, neuron_type=nengo.AdaptiveLIF())
        nengo.Connection(stim, pre, synapse=Alpha(0.005))
        nengo.Connection(signal, pre[1], synapse=None)
        conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES(1e-3))
        nengo.Connection(post, conn.learning_rule, function=square)
        nengo.Connection(post, pre, synapse=0.01, transform=0.3)
        case.probes = [
            nengo.Probe(stim),
            nengo.Probe(signal),
            nengo.Probe(pre.neurons),
            nengo.Probe(post.neurons, "voltage"),
            nengo.Probe(post, synapse=Lowpass(0.01)),
            nengo.Probe(post, sample_every=0.003),
            nengo.Probe(conn, "weights", sample_every=0.01),
        ]
    return case


def python_in_the_loop():
    """The same for networks in which Python functions run in every step."""
    case = _case("python_in_the_loop", 16)
    with case.net:
        stim = nengo.Node(wave)
        ens = nengo.Ensemble(12, 2)
        node = nengo.Node(scaled_with_time, size_in=2)
        accumulator = nengo.Node(Accumulator(seed=1))
        nengo.Connection(stim, ens)
        nengo.Connection(ens, node)
        nengo.Connection(node, accumulator, synapse=None)
        nengo.Connection(accumulator, ens, synapse=0.005, transform=0.2)
        case.probes = [
            nengo.Probe(node),
            nengo.Probe(accumulator, sample_every=0.004),
            nengo.Probe(ens.neurons),
        ]
    return case


# --------------------------------------------------------------------------------------
# Generated networks
# --------------------------------------------------------------------------------------


class SeededChoices:
    """Choices drawn from a random number generator."""

    def __init__(self, seed):
        self.rng = np.random.RandomState(seed)

    def integer(self, low, high):
        """Return an integer between two limits, both included."""
        return int(self.rng.randint(low, high + 1))


class DrawnChoices:
    """Choices drawn by hypothesis, which can therefore be shrunk."""

    def __init__(self, draw):
        self.draw = draw

    def integer(self, low, high):
        """Return an integer between two limits, both included; shrinks to the lower."""
        return self.draw(st.integers(low, high))


class _Generator:
    """Grows one network, choice by choice.

    Each choice is an integer whose zero is the simplest possibility, so that hypothesis
    shrinks to simple networks. Objects are numbered in the order of their creation;
    only connections to later objects may lack a synapse, so there are no algebraic
    loops.

    Parameters
    ----------
    choices : SeededChoices or DrawnChoices
        Where decisions come from.
    smooth : bool
        Whether to leave out all that makes rounding errors grow: spikes, feedback,
        learning, random numbers.
    """

    def __init__(self, choices, smooth=False):
        self.choices = choices
        self.smooth = smooth
        seed = choices.integer(0, 9999)
        self.rng = np.random.RandomState(seed)
        self.net = nengo.Network(seed=seed)
        self.words = [f"seed={seed}"]
        self.sources = []  # (order, object)
        self.sinks = []
        self.conns = []
        self.ensembles = []

    def pick(self, options):
        """Return one of the options; shrinks to the first."""
        return options[self.choices.integer(0, len(options) - 1)]

    def chance(self, one_in):
        """Return True once in a while; shrinks to False."""
        return self.choices.integer(0, one_in - 1) == one_in - 1

    def build(self):
        """Grow the network and return it as a `Case`."""
        with self.net:
            self.add_input()
            for _ in range(self.choices.integer(1, 4)):
                grow = [self.add_ensemble, self.add_node, self.add_convolution]
                grow += [self.add_ensemble, self.add_network, self.add_input]
                self.pick(grow)()
            for _ in range(self.choices.integer(1, 6)):
                self.connect_any()
            if not self.smooth:
                for _ in range(self.choices.integer(0, 2)):
                    self.add_learning()
            probes = self.add_probes()
        return Case(self.net, probes, ", ".join(self.words))

    def order(self):
        """Return the number of the next object."""
        return len(self.sources) + len(self.sinks)

    # -- objects

    def process_seed(self):
        return self.pick([None, 7])

    def add_input(self):
        size = self.choices.integer(1, 4)
        phases = self.rng.uniform(0, 6, size)
        kinds = {
            "constant": lambda: self.rng.uniform(-1, 1, size),
            "sine": lambda: ShiftedSines(phases),
            "present": lambda: nengo.processes.PresentInput(
                self.rng.uniform(-1, 1, (3, size)), 0.0043
            ),
            "piecewise": lambda: nengo.processes.Piecewise(
                {0.004: self.rng.uniform(-1, 1, size), 0.011: np.full(size, 0.3)}
            ),
        }
        if not self.smooth:
            kinds |= {
                "white signal": lambda: nengo.processes.WhiteSignal(
                    0.05, high=100, seed=self.process_seed()
                ),
                "white noise": lambda: nengo.processes.WhiteNoise(
                    Uniform(-1, 1), scale=self.chance(2), seed=self.process_seed()
                ),
                "brown noise": lambda: nengo.processes.BrownNoise(
                    seed=self.process_seed()
                ),
                "random walk": lambda: RandomWalk(size, seed=self.process_seed()),
            }
        kind = self.pick(list(kinds))
        order = self.order()
        node = nengo.Node(kinds[kind](), size_out=size)
        self.words.append(f"{kind}[{size}]")
        self.sources.append((order, node))

    def neuron_type(self):
        rates = [
            nengo.RectifiedLinear(amplitude=self.rng.uniform(0.5, 1.5)),
            nengo.LIFRate(tau_rc=self.rng.uniform(0.01, 0.03)),
            nengo.Sigmoid(),
            nengo.Tanh(),
            nengo.AdaptiveLIFRate(tau_n=0.1, inc_n=0.02),
        ]
        base = self.pick(rates)
        if self.smooth:
            return base
        return self.pick(
            [
                base,
                nengo.LIF(tau_rc=self.rng.uniform(0.01, 0.03), amplitude=0.7),
                nengo.LIF(tau_ref=0.0011, min_voltage=-1),
                nengo.AdaptiveLIF(tau_n=0.1, inc_n=0.02),
                nengo.SpikingRectifiedLinear(),
                nengo.Izhikevich(),
                nengo.RegularSpiking(base),
                nengo.StochasticSpiking(base),
                nengo.PoissonSpiking(base),
                nengo.Direct(),
            ]
        )

    def add_ensemble(self):
        dimensions = self.choices.integer(1, 4)
        n_neurons = self.choices.integer(1, 30)
        neuron_type = self.neuron_type()
        kwargs = {}
        if not self.smooth and self.chance(4):
            process = self.pick(
                [nengo.processes.WhiteNoise, nengo.processes.FilteredNoise]
            )
            kwargs["noise"] = process(dist=Gaussian(0, 0.05), seed=self.process_seed())
        order = self.order()
        ens = nengo.Ensemble(
            n_neurons,
            dimensions,
            neuron_type=neuron_type,
            radius=self.pick([1.0, 1.7]),
            seed=self.pick([None, 3]),
            # low enough for any single neuron to be active at some evaluation point
            intercepts=Uniform(-0.9, 0.2),
            max_rates=Uniform(260, 320),
            **kwargs,
        )
        noisy = " with noise" if kwargs else ""
        self.words.append(f"{neuron_type!r}[{n_neurons}x{dimensions}]{noisy}")
        self.sources.append((order, ens))
        self.sinks.append((order, ens))
        self.ensembles.append(ens)
        if not isinstance(neuron_type, nengo.Direct):
            self.sources.append((order, ens.neurons))
            self.sinks.append((order, ens.neurons))

    def add_node(self):
        size = self.choices.integer(1, 4)
        order = self.order()
        kind = self.pick(["passthrough", "function", "sink", "process", "filter"])
        node = {
            "passthrough": lambda: nengo.Node(size_in=size),
            "function": lambda: nengo.Node(scaled_with_time, size_in=size),
            "sink": lambda: nengo.Node(swallow, size_in=size),
            "process": lambda: nengo.Node(Accumulator(), size_in=size, size_out=size),
            "filter": lambda: nengo.Node(Alpha(0.003), size_in=size, size_out=size),
        }[kind]()
        self.words.append(f"{kind}[{size}]")
        self.sinks.append((order, node))
        if kind != "sink":
            self.sources.append((order, node))

    def add_convolution(self):
        rank = self.choices.integer(1, 2)
        channels_last = not self.chance(2)
        channels = self.choices.integer(1, 2)
        image = tuple(self.choices.integer(3, 5) for _ in range(rank))
        transposed = self.chance(2)
        kwargs = {} if transposed else {"groups": self.pick([1, channels])}
        transform = (ConvolutionTranspose if transposed else Convolution)(
            channels * self.choices.integer(1, 2),
            (*image, channels) if channels_last else (channels, *image),
            kernel_size=tuple(self.choices.integer(1, 3) for _ in range(rank)),
            strides=tuple(self.choices.integer(1, 2) for _ in range(rank)),
            padding=self.pick(["valid", "same"]),
            channels_last=channels_last,
            init=Uniform(-0.5, 0.5),
            **kwargs,
        )
        order = self.order()
        pixels = nengo.Node(size_in=transform.input_shape.size)
        features = nengo.Node(size_in=transform.output_shape.size)
        conn = nengo.Connection(
            pixels, features, transform=transform, synapse=self.synapse(forward=True)
        )
        self.words.append(repr(transform))
        self.sinks.append((order, pixels))
        self.sources.append((order + 1, features))
        self.conns.append(conn)

    def add_network(self):
        order = self.order()
        type_ = (
            nengo.LIFRate()
            if self.smooth
            else self.pick([nengo.LIF(), nengo.LIFRate()])
        )
        config = nengo.Config(nengo.Ensemble)
        config[nengo.Ensemble].neuron_type = type_
        with config:
            kind, inputs, output = self.pick(
                [
                    self.ensemble_array,
                    self.product,
                    self.basal_ganglia,
                    self.memory,
                    self.convolution_network,
                ][: 3 if self.smooth else None]
            )()
        self.words.append(f"{kind} of {type_!r}")
        self.sinks += [(order, node) for node in inputs]
        self.sources.append((order + 1, output))

    def ensemble_array(self):
        size = self.choices.integer(1, 3)
        array = nengo.networks.EnsembleArray(
            self.choices.integer(2, 15),
            size,
            ens_dimensions=self.choices.integer(1, 2),
            intercepts=Uniform(-0.9, 0.2),
        )
        self.ensembles += array.ensembles
        self.sources.append((self.order(), array.add_output("squares", square)))
        return "EnsembleArray", [array.input, array.add_neuron_input()], array.output

    def product(self):
        product = nengo.networks.Product(10, self.choices.integer(1, 3))
        return "Product", [product.input_a, product.input_b], product.output

    def basal_ganglia(self):
        net = nengo.networks.BasalGanglia(
            self.choices.integer(1, 3), n_neurons_per_ensemble=12
        )
        return "BasalGanglia", [net.input], net.output

    def memory(self):
        net = nengo.networks.InputGatedMemory(12, self.choices.integer(1, 2))
        return "InputGatedMemory", [net.input, net.gate, net.reset], net.output

    def convolution_network(self):
        net = nengo.networks.CircularConvolution(6, self.choices.integer(1, 3))
        return "CircularConvolution", [net.input_a, net.input_b], net.output

    # -- connections

    def synapse(self, forward):
        kinds = [
            Lowpass(0.005),
            0,
            Lowpass(self.rng.uniform(0.001, 0.02)),
            Alpha(0.004),
            LinearFilter([1], [4e-5, 0.013, 1]),
            LinearFilter([0.4, 0.2], [1, -0.3, 0.05], analog=False),
            LinearFilter([0.7], [1], analog=False),
            Triangle(0.005),
        ]
        return self.pick([None, *kinds] if forward else kinds)

    def sliced(self, obj, size, repeats):
        """Return a view of an object, its indices, and how it reads in Python."""
        options = [slice(None)]
        if size > 1:
            some = self.rng.permutation(size)[: self.rng.randint(1, size + 1)].tolist()
            options += [
                slice(1, None),
                slice(None, -1),
                slice(None, None, 2),
                slice(None, None, -1),
                slice(None, None, -2),
                some,
            ]
            if repeats:
                options.append([size - 1, 0, size - 1])
        key = self.pick(options)
        indices = np.arange(size)[key]
        if key == slice(None):
            return obj, indices, ""
        word = (
            f"{key.start}:{key.stop}:{key.step}".replace("None", "")
            if isinstance(key, slice)
            else ",".join(map(str, key))
        )
        return obj[key], indices, f"[{word}]"

    def transform(self, size_in, size_out, scale, sparse):
        """Return a transform between two sizes and a word for it."""
        options = ["dense", "distribution", *(["sparse"] if sparse else [])]
        if size_in == size_out:
            options = ["none", "scalar", "vector", *options]
        kind = self.pick(options)
        n_entries = max(1, size_in * size_out // 2)
        entries = self.rng.permutation(size_in * size_out)[:n_entries]
        return {
            "none": lambda: nengo.transforms.NoTransform(size_in),
            "scalar": lambda: 0.7 * scale,
            "vector": lambda: scale * self.rng.uniform(-1, 1, size_in),
            "dense": lambda: scale * self.rng.uniform(-1, 1, (size_out, size_in)),
            "distribution": lambda: nengo.transforms.Dense(
                (size_out, size_in), init=Uniform(-scale, scale)
            ),
            "sparse": lambda: Sparse(
                (size_out, size_in),
                indices=np.stack([entries // size_in, entries % size_in], axis=1),
                init=scale * self.rng.uniform(-1, 1, n_entries),
            ),
        }[kind](), kind

    def connect_any(self):
        """Connect two objects, in either direction unless the network is smooth."""
        post_order, post = self.pick(self.sinks) if self.sinks else (0, None)
        sources = [s for s in self.sources if not self.smooth or s[0] < post_order]
        if post is None or not sources:
            return
        pre_order, pre = self.pick(sources)
        neural = isinstance(pre, nengo.ensemble.Neurons)
        decoded = isinstance(pre, nengo.Ensemble)
        from_ensemble = decoded and not isinstance(pre.neuron_type, nengo.Direct)
        passthrough = isinstance(pre, nengo.Node) and pre.output is None
        # Nengo takes repeated indices unless the transform is a matrix
        repeats = pre.size_out == post.size_in and self.chance(3)
        pre_view, from_, pre_slice = self.sliced(pre, pre.size_out, repeats)
        post_view, to, post_slice = self.sliced(post, post.size_in, repeats)
        if repeats and len(from_) != len(to):
            pre_view, from_, pre_slice = pre, np.arange(pre.size_out), ""
            post_view, to, post_slice = post, np.arange(post.size_in), ""

        kwargs = {}
        size_mid = len(from_)
        words = []
        if not neural and not passthrough:
            functions = [None, saturating_square, sine_and_sum]
            function = self.pick(functions[: 2 if repeats else 3])
            if function is not None:
                kwargs["function"] = function
                size_mid = 2 if function is sine_and_sum else size_mid
                words.append(function.__name__)
        if repeats:
            kwargs["transform"], word = self.pick([None, 0.6]), "repeats"
        else:
            kwargs["transform"], word = self.transform(
                size_mid,
                len(to),
                scale=1e-3 if neural else 1.0,
                sparse=not from_ensemble,
            )
        words.append(word)
        if (
            from_ensemble
            and isinstance(post, nengo.Ensemble)
            and not isinstance(post.neuron_type, nengo.Direct)
            and not repeats
            and self.chance(3)
        ):
            kwargs["solver"] = LstsqL2(weights=True)
            words.append("weights")
        kwargs["synapse"] = self.synapse(forward=pre_order < post_order)
        words.append(repr(kwargs["synapse"]))
        self.conns.append(nengo.Connection(pre_view, post_view, **kwargs))
        self.words.append(
            f"{type(pre).__name__}{pre_order}{pre_slice} -> "
            f"{type(post).__name__}{post_order}{post_slice} ({', '.join(words)})"
        )

    def add_learning(self):
        """Add two ensembles that learn a connection, driven by a random source."""
        types = [nengo.LIFRate(), nengo.LIF(), nengo.Sigmoid()]  # bounded rates
        _, drive = self.pick(self.sources)
        size = self.choices.integer(1, 3)
        pre, post = (
            nengo.Ensemble(
                self.choices.integer(3, 15), size, neuron_type=self.pick(types),
                intercepts=Uniform(-0.9, 0.2),
            )
            for _ in range(2)
        )  # fmt: skip
        scale = 1e-3 if isinstance(drive, nengo.ensemble.Neurons) else 1.0
        for ens in (pre, post):
            nengo.Connection(
                drive, ens,
                transform=scale * self.rng.uniform(-1, 1, (size, drive.size_out)),
            )  # fmt: skip
        synapse = self.pick([Lowpass(0.005), None, Alpha(0.01)])
        rules = {
            "PES": nengo.PES(1e-4, pre_synapse=synapse),
            "RLS": nengo.RLS(1e-3, pre_synapse=synapse),
            "Voja": nengo.Voja(1e-2, post_synapse=synapse),
            "PES by neuron": nengo.PES(1e-6, pre_synapse=synapse),
            "BCM": nengo.BCM(1e-9, pre_synapse=synapse, theta_synapse=0.05),
            "Oja": nengo.Oja(1e-7, pre_synapse=synapse, beta=0.5),
            "PES and Voja": [nengo.PES(1e-4), nengo.Voja(1e-3)],
            "BCM and Oja": [nengo.BCM(1e-9), nengo.Oja(1e-7)],
            "PES and Oja": {"a": nengo.PES(1e-6), "b": nengo.Oja(1e-7)},
        }
        word = self.pick(list(rules))
        kwargs = {"learning_rule_type": rules[word]}
        ends = (pre, post)
        weighted = word not in ("PES", "RLS", "Voja", "PES and Voja")
        if weighted and self.chance(2):
            ends = (pre.neurons, post.neurons)
            kwargs["transform"] = self.rng.uniform(
                -1e-3, 1e-3, (post.n_neurons, pre.n_neurons)
            )
        elif weighted:
            kwargs["solver"] = LstsqL2(weights=True)
        elif self.chance(2):
            kwargs["function"] = square
        conn = nengo.Connection(*ends, **kwargs)
        for rule in _rules_of(conn):
            if rule.size_in:
                nengo.Connection(
                    post, rule, synapse=0.005,
                    transform=self.rng.uniform(-0.5, 0.5, (rule.size_in, size)),
                )  # fmt: skip
        self.words.append(
            f"{word} on {pre.neuron_type!r}[{pre.n_neurons}x{size}] -> "
            f"{post.neuron_type!r}[{post.n_neurons}]"
        )
        self.conns.append(conn)
        self.ensembles += [pre, post]
        order = self.order()
        self.sources.append((order, post))

    # -- probes

    def add_probes(self):
        """Probe all sources, and a choice of the other attributes."""
        candidates = []
        for ens in self.ensembles:
            candidates.append(ens)
            if not isinstance(ens.neuron_type, nengo.Direct):
                candidates.append(ens.neurons)
        for conn in self.conns:
            candidates.append(conn)
            if conn.learning_rule is not None:
                candidates += _rules_of(conn)
        # by attribute first: there are many connections, but few learning rules
        owners = {}
        for obj in candidates:
            for attribute in probeable_attributes(obj):
                owners.setdefault((type(obj), attribute), []).append(obj)
        probes = [nengo.Probe(obj) for _, obj in self.sources]
        chosen = self.choices.integer(0, 8) if owners else 0
        for _ in range(chosen):
            _, attribute = key = self.pick(list(owners))
            obj = self.pick(owners[key])
            view, word = obj, ""
            if isinstance(obj, nengo.Ensemble | nengo.ensemble.Neurons):
                size = obj.size_out
                if attribute == "scaled_encoders":
                    size = 1
                view, _, word = self.sliced(obj, size, repeats=False)
            probe = nengo.Probe(
                view,
                attribute,
                synapse=self.pick([None, 0, Lowpass(0.01), Alpha(0.003)]),
                sample_every=self.pick([None, 0.002, 0.0035]),
            )
            probes.append(probe)
            self.words.append(
                f"probe {type(obj).__name__}{word}.{attribute}"
                f"({probe.synapse!r}, {probe.sample_every})"
            )
        return probes


def random_network(seed, smooth=False):
    """Return the network that belongs to a seed.

    Parameters
    ----------
    seed : int
        Any number; equal numbers give equal networks.
    smooth : bool
        Whether to leave out spikes, feedback, learning and random numbers, so that
        rounding errors stay small.
    """
    return _Generator(SeededChoices(seed), smooth=smooth).build()


@st.composite
def generated_networks(draw, smooth=False):
    """Hypothesis strategy for networks like those of `random_network`."""
    return _Generator(DrawnChoices(draw), smooth=smooth).build()


# --------------------------------------------------------------------------------------
# Comparison
# --------------------------------------------------------------------------------------


def reference_data(case, n_steps, seed=0, dt=0.001):
    """Return what Nengo's own simulator records, one array per probe.

    Without its optimizer, which would change the order in which random numbers are
    drawn.
    """
    with nengo.Simulator(
        case.net, dt=dt, seed=seed, optimize=False, progress_bar=False
    ) as sim:
        sim.run_steps(n_steps)
    return [sim.data[probe] for probe in case.probes]


def recorded(sim, case, n_steps=None, **kwargs):
    """Return what a simulator has recorded, after running it if asked to."""
    if n_steps is not None:
        sim.run_steps(n_steps, **kwargs)
    return [np.array(sim.data[probe]) for probe in case.probes]


def calls_python(case):
    """Whether a Python function must run in every step, between other operators."""
    direct = [
        conn
        for conn in case.net.all_connections
        if conn.function is not None
        and (
            isinstance(conn.pre_obj, nengo.Node)
            or isinstance(conn.pre_obj.neuron_type, nengo.Direct)
        )
    ]
    native = nengo.synapses.LinearFilter | nengo.synapses.Triangle
    nodes = [
        node
        for node in case.net.all_nodes
        if node.size_in > 0
        and not (node.output is None or isinstance(node.output, native))
    ]
    return bool(direct or nodes)


def is_spike_train(probe):
    """Whether a probe records unfiltered spikes."""
    neurons = probe.obj
    return (
        isinstance(neurons, nengo.ensemble.Neurons)
        and isinstance(neurons.ensemble.neuron_type, SPIKING_TYPES)
        and probe.attr in ("output", "spikes")
        and probe.synapse is None
    )


def assert_equal_data(case, actual, expected, rtol=1e-9, atol=1e-10):
    """Assert that recorded arrays agree: spike for spike, and in all values.

    Parameters
    ----------
    case : Case
        The network that was simulated.
    actual, expected : list of ndarray
        One array per probe.
    rtol, atol : float
        Relative tolerance, and absolute tolerance in units of the largest expected
        magnitude of a probe (or of 1, if that is larger).
    """
    assert len(actual) == len(expected) == len(case.probes)
    for probe, data, target in zip(case.probes, actual, expected, strict=True):
        where = f"{probe.obj}.{probe.attr} in {case!r}"
        assert data.shape == target.shape, where
        if is_spike_train(probe):
            np.testing.assert_array_equal(data != 0, target != 0, err_msg=where)
        magnitude = max(1.0, np.max(np.abs(target), initial=0.0))
        np.testing.assert_allclose(
            data, target, rtol=rtol, atol=atol * magnitude, err_msg=where
        )
