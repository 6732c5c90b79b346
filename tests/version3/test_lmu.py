"""A Legendre memory unit, built of Nengo objects, reads digits row by row: LMU."""

import nengo
import numpy as np
import tensorflow as tf
from scipy.linalg import expm

import nengo_dl
from tests.version3.digits import digits

N_STEPS, N_PIXELS = 8, 8  # a row of pixels in each step


def delay_line(order, window):
    """Return the matrices of one step of a memory of some steps."""
    i = np.arange(order)
    signs = np.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
    both = np.zeros((order + 1, order + 1))
    both[:order, :order] = (2 * i[:, None] + 1) * signs / window
    both[:order, order] = (2 * i + 1) * (-1.0) ** i / window
    both = expm(both)
    return both[:order, :order], both[:order, order:]


class MemoryUnit(nengo.Network):
    """A memory of a number, and units that see it, the input, and each other."""

    def __init__(self, n_units, order, size_in, **kwargs):
        super().__init__(**kwargs)
        a, b = delay_line(order, N_STEPS)
        glorot = nengo_dl.dists.Glorot()
        with self:
            nengo_dl.configure_settings(trainable=None)
            self.config[nengo.Connection].synapse = None
            self.x = nengo.Node(size_in=size_in)
            number = nengo.Node(size_in=1)
            memory = nengo.Node(size_in=order)
            self.h = nengo_dl.TensorNode(tf.tanh, shape_in=(n_units,), pass_time=False)
            nengo.Connection(self.x, number, transform=glorot)
            nengo.Connection(self.h, number, transform=glorot, synapse=0)
            fixed = [
                nengo.Connection(number, memory, transform=b),
                nengo.Connection(memory, memory, transform=a, synapse=0),
            ]
            for connection in fixed:
                self.config[connection].trainable = False
            nengo.Connection(self.x, self.h, transform=glorot)
            nengo.Connection(memory, self.h, transform=glorot)
            nengo.Connection(
                self.h, self.h, transform=nengo_dl.dists.Glorot(scale=0.5), synapse=0
            )


def test_memory_unit_reads_digits_row_by_row(tmp_path):
    images, labels, test_images, test_labels = (
        part.reshape(len(part), -1, N_PIXELS) if part.shape[2] > 1 else part
        for part in digits()
    )
    with nengo.Network(seed=0) as net:
        nengo_dl.configure_settings(trainable=None, stateful=False, keep_history=False)
        row = nengo.Node(np.zeros(N_PIXELS))
        unit = MemoryUnit(40, 6, N_PIXELS)
        nengo.Connection(row, unit.x, synapse=None)
        out = nengo.Node(size_in=10)
        nengo.Connection(unit.h, out, transform=nengo_dl.dists.Glorot(), synapse=None)
        answer = nengo.Probe(out)
    with nengo_dl.Simulator(net, minibatch_size=50, seed=0, progress_bar=False) as sim:
        # all but the two matrices of the memory
        assert sim.keras_model.count_params() == 8 + 40 + 8 * 40 + 6 * 40 + 1600 + 400
        sim.compile(
            loss=tf.losses.SparseCategoricalCrossentropy(from_logits=True),
            optimizer=tf.optimizers.Adam(5e-3),
            metrics=["accuracy"],
        )
        before = sim.evaluate(test_images[:250], test_labels[:250], verbose=0)
        sim.fit(images, labels, epochs=4, verbose=0)
        after = sim.evaluate(test_images[:250], test_labels[:250], verbose=0)
        sim.save_params(str(tmp_path / "lmu"))
    assert before["probe_accuracy"] < 0.3
    assert after["probe_accuracy"] > 0.75

    with nengo_dl.Simulator(net, minibatch_size=50, seed=1, progress_bar=False) as sim:
        sim.load_params(str(tmp_path / "lmu"))
        found = sim.predict(test_images[:250])[answer]
    assert found.shape == (250, 1, 10)  # the last step alone is kept
    right = found[:, 0].argmax(axis=-1) == test_labels[:250, 0, 0]
    assert np.isclose(right.mean(), after["accuracy"])
