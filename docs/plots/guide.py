"""Pictures of the user guide; each function draws one."""

import keras
import matplotlib.pyplot as plt
import nengo
import numpy as np
from nengo.utils.ensemble import tuning_curves

import nengo_dl

nengo.rc["progress"]["progress_bar"] = "False"

BLUE, ORANGE, GOLD, GREEN, GREY = "#4269d0", "#ff725c", "#efb118", "#6cc5b0", "#9aa1ab"


def panels(n, height=2.8, **arguments):
    """Return axes side by side, without frames."""
    _, axes = plt.subplots(1, n, figsize=(9, height), layout="constrained", **arguments)
    for ax in np.atleast_1d(axes):
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def input_feeds():
    """Three items of a minibatch, each with an input of its own."""
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node([0])
        ensemble = nengo.Ensemble(100, dimensions=1)
        nengo.Connection(stimulus, ensemble)
        probe = nengo.Probe(ensemble, synapse=0.02)
    t = np.arange(1, 501) * 0.001
    feed = np.stack([np.sin(20 * t), 1 - 4 * np.abs(t - 0.25), np.sign(t - 0.25) / 2])
    with nengo_dl.Simulator(net, minibatch_size=3, seed=0) as sim:
        sim.run_steps(500, input_feeds={stimulus: feed[:, :, None]})
    axes = panels(3, height=2.2, sharey=True)
    for item, (ax, colour) in enumerate(zip(axes, (BLUE, ORANGE, GREEN))):
        ax.plot(t, feed[item], color=GREY, lw=1.5)
        ax.plot(sim.trange(), sim.data[probe][item, :, 0], color=colour)
        ax.set(title=f"item {item}", xlabel="time (s)")


def raster():
    """Spikes of an ensemble, and what is decoded from them."""
    with nengo.Network(seed=0) as net:
        wave = nengo.Node(lambda t: np.sin(2 * np.pi * t))
        ensemble = nengo.Ensemble(50, 1, max_rates=nengo.dists.Uniform(40, 80))
        nengo.Connection(wave, ensemble)
        spikes = nengo.Probe(ensemble.neurons)
        decoded = nengo.Probe(ensemble, synapse=0.02)
    with nengo_dl.Simulator(net) as sim:
        sim.run(1)
    built = sim.data[ensemble]
    order = np.argsort(built.encoders[:, 0] * (2 + built.intercepts))
    step, neuron = np.nonzero(sim.data[spikes][:, order])
    left, right = panels(2)
    left.plot(sim.trange()[step], neuron, "|", color=BLUE, ms=3)
    left.set(xlabel="time (s)", ylabel="neuron", title="spikes")
    right.plot(sim.trange(), np.sin(2 * np.pi * sim.trange()), color=GREY)
    right.plot(sim.trange(), sim.data[decoded], color=BLUE, lw=1)
    right.set(xlabel="time (s)", title="decoded, and the input (grey)")


def losses():
    """Training of exclusive or: the loss, and the answers of spikes over time."""
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
    classes = np.array([0, 1, 1, 0], dtype=float)
    with nengo.Network(seed=0) as net:
        net.config[nengo.Connection].synapse = None
        point = nengo.Node([0, 0])
        hidden = nengo.Ensemble(
            50,
            1,
            neuron_type=nengo.LIF(amplitude=0.01),
            gain=nengo.dists.Choice([1]),
            bias=nengo.dists.Choice([2]),
        )
        out = nengo.Node(size_in=1)
        nengo.Connection(point, hidden.neurons, transform=nengo.dists.Uniform(-2, 2))
        nengo.Connection(hidden.neurons, out, transform=nengo_dl.dists.Glorot())
        answer = nengo.Probe(out)
        smoothed = nengo.Probe(out, synapse=0.05)
    with nengo_dl.Simulator(net, minibatch_size=4, seed=0) as sim:
        history = sim.train(
            {point: points[:, None]},
            {answer: classes[:, None, None]},
            keras.optimizers.Adam(0.02),
            n_epochs=200,
        )
        sim.run(0.3, input_feeds={point: np.repeat(points[:, None], 300, axis=1)})
    left, right = panels(2)
    left.semilogy(range(1, 201), history.loss, color=BLUE)
    left.set(xlabel="epoch", title="loss (rates)")
    for values, pair, colour in zip(
        sim.data[smoothed][..., 0], points, (BLUE, ORANGE, GOLD, GREEN)
    ):
        label = f"{pair[0]:.0f} xor {pair[1]:.0f}"
        right.plot(sim.trange(), values, color=colour, label=label)
    right.set(xlabel="time (s)", title="answers (spikes, filtered)")
    right.legend(frameon=False, fontsize=8)


def parameters():
    """Tuning curves, decoders and what they decode, before and after training."""
    with nengo.Network(seed=0) as net:
        x = nengo.Node([0])
        ensemble = nengo.Ensemble(30, 1, neuron_type=nengo.LIFRate())
        y = nengo.Node(size_in=1)
        nengo.Connection(x, ensemble, synapse=None)
        connection = nengo.Connection(
            ensemble, y, synapse=None, function=lambda x: np.sin(8 * x)
        )
        probe = nengo.Probe(y)
    inputs = np.linspace(-1, 1, 128)[:, None, None]
    targets = np.sin(8 * inputs)
    axes = panels(3)
    with nengo_dl.Simulator(net, minibatch_size=128, seed=0) as sim:
        for colour, when in ((ORANGE, "before training"), (BLUE, "after it")):
            values, curves = tuning_curves(ensemble, sim, inputs[:, 0])
            axes[0].plot(values, curves, color=colour, lw=0.7)
            axes[1].plot(sim.data[connection].weights[0], "o", color=colour, ms=4)
            sim.run_steps(1, input_feeds={x: inputs})
            axes[2].plot(values, sim.data[probe][:, -1], color=colour, label=when)
            if colour == ORANGE:
                optimizer = keras.optimizers.Adam(
                    keras.optimizers.schedules.CosineDecay(3e-3, 1500)
                )
                sim.train({x: inputs}, {probe: targets}, optimizer, n_epochs=1500)
    axes[0].set(title="tuning curves (Hz)", xlabel="x")
    axes[1].set(title="decoders", xlabel="neuron")
    axes[2].plot(inputs[:, 0], targets[:, 0], "k:", label="target")
    axes[2].set(title="what is decoded", xlabel="x", ylim=(-1.3, 2.1))
    axes[2].legend(frameon=False, fontsize=8, loc="upper right")
