"""Pairs are shown one after the other, kept, and asked for at the end: SPA memory."""

import nengo
import numpy as np
import pytest
import tensorflow as tf

import nengo_dl

SIZE, N_SHOWN, N_STEPS = 8, 3, 15  # a pair is shown for some steps, two of them
RNG = np.random.RandomState(0)
VOCABULARY = nengo.spa.Vocabulary(SIZE, rng=RNG, max_similarity=0.8)
ROLES = [VOCABULARY.parse(f"R{i}").v for i in range(2)]
FILLERS = np.array([VOCABULARY.parse(f"F{i}").v for i in range(4)])


def items(n_items):
    """Return roles, fillers and cues over time, and answers, which are NaN before."""
    role, filler, cue, answer = (np.zeros((n_items, N_STEPS, SIZE)) for _ in range(4))
    answer[:] = np.nan
    numbers = []
    for i in range(n_items):
        order, chosen = RNG.permutation(2), RNG.permutation(4)[:2]
        for place, (r, f) in enumerate(zip(order, chosen, strict=True)):
            steps = slice(place * N_SHOWN, (place + 1) * N_SHOWN)
            role[i, steps], filler[i, steps] = ROLES[r], FILLERS[f]
        asked = RNG.randint(2)
        cue[i, 2 * N_SHOWN :] = ROLES[order[asked]]
        answer[i, -3:] = FILLERS[chosen[asked]]
        numbers.append(chosen[asked])
    return {"role": role, "filler": filler, "cue": cue}, answer, np.array(numbers)


def network():
    with nengo.Network(seed=0) as net:
        net.config[nengo.Ensemble].neuron_type = nengo.RectifiedLinear()
        net.config[nengo.Ensemble].gain = nengo.dists.Choice([1])
        net.config[nengo.Ensemble].bias = nengo.dists.Uniform(-1, 1)
        net.config[nengo.Connection].synapse = None
        role, filler, cue = (
            nengo.Node(np.zeros(SIZE), label=label)
            for label in ("role", "filler", "cue")
        )
        bind = nengo.networks.CircularConvolution(5, SIZE)
        memory = nengo.networks.EnsembleArray(10, SIZE)
        unbind = nengo.networks.CircularConvolution(5, SIZE, invert_b=True)
        nengo.Connection(role, bind.input_a)
        nengo.Connection(filler, bind.input_b)
        nengo.Connection(bind.output, memory.input, transform=1 / N_SHOWN)
        nengo.Connection(memory.output, memory.input, synapse=0)
        nengo.Connection(memory.output, unbind.input_a)
        nengo.Connection(cue, unbind.input_b)
        net.answer = nengo.Probe(unbind.output, label="answer")
    return net


# of some products, which have four neurons each, two are silent at first
@pytest.mark.filterwarnings("ignore:Most neurons of")
def test_memory_is_trained_through_time():
    net = network()
    x, y, _ = items(128)
    test_x, test_y, numbers = items(32)
    with nengo_dl.Simulator(
        net, minibatch_size=32, seed=0, progress_bar=False, jit_compile=False
    ) as sim:
        sim.compile(
            optimizer=tf.optimizers.Adam(2e-3),
            loss={net.answer: nengo_dl.losses.nan_mse},
        )
        history = sim.fit(
            x,
            {net.answer: y},
            validation_data=(test_x, {net.answer: test_y}),
            epochs=15,
            verbose=0,
        ).history
        shown = sim.predict(test_x)[net.answer]
        assert sim.n_steps == 0
    losses = history["val_loss"]
    assert losses[-1] < losses[0] / 2
    # steps without a target count as right
    error = np.nan_to_num((shown - test_y) ** 2).mean()
    assert error == pytest.approx(losses[-1], rel=1e-4)
    best = (shown[:, -1] @ FILLERS.T).argmax(axis=1)
    assert np.mean(best == numbers) > 0.5  # of four, by chance a quarter
