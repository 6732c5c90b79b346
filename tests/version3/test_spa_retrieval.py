"""Symbols are bound, and the one is asked for with the other: SPA retrieval."""

import nengo
import numpy as np
import tensorflow as tf

import nengo_dl

SIZE, N_FILLERS, N_STEPS = 16, 6, 60
RNG = np.random.RandomState(1)
VOCABULARY = nengo.spa.Vocabulary(SIZE, rng=RNG, max_similarity=0.5)
ROLES = [VOCABULARY.parse(f"R{i}") for i in range(3)]
FILLERS = [VOCABULARY.parse(f"F{i}") for i in range(N_FILLERS)]
VECTORS = np.array([filler.v for filler in FILLERS])


def items(n_items):
    """Return sums of two bound pairs, a role, and the filler that was bound to it."""
    traces, cues, answers = [], [], []
    for _ in range(n_items):
        roles = RNG.permutation(len(ROLES))[:2]
        fillers = RNG.permutation(N_FILLERS)[:2]
        trace = sum(
            (ROLES[r] * FILLERS[f] for r, f in zip(roles, fillers, strict=True)),
            start=VOCABULARY.parse("0"),
        )
        traces.append(trace.v)
        cues.append(ROLES[roles[0]].v)
        answers.append(fillers[0])
    return (
        np.array(traces)[:, None],
        np.array(cues)[:, None],
        np.array(answers)[:, None, None],
    )


def accuracy(y_true, y_pred):
    """Return whether the last answer is most similar to the right filler."""
    best = [
        tf.argmax(tf.matmul(y[:, -1], tf.cast(VECTORS.T, y.dtype)), axis=1)
        for y in (y_true, y_pred)
    ]
    return tf.cast(best[0] == best[1], tf.float32)


def test_retrieval_improves_with_training_and_works_with_spikes():
    with nengo.Network(seed=0) as net:
        net.config[nengo.Ensemble].neuron_type = nengo.LIF()
        net.config[nengo.Connection].synapse = None
        trace = nengo.Node(np.zeros(SIZE), label="trace")
        cue = nengo.Node(np.zeros(SIZE), label="cue")
        unbind = nengo.networks.CircularConvolution(15, SIZE, invert_b=True)
        nengo.Connection(trace, unbind.input_a)
        nengo.Connection(cue, unbind.input_b)
        found = nengo.Probe(unbind.output, label="found")
        smooth = nengo.Probe(unbind.output, synapse=0.02, label="smooth")

    traces, cues, answers = items(1024)
    test_traces, test_cues, test_answers = items(64)
    x = {"trace": test_traces, "cue": test_cues}
    y = VECTORS[test_answers[..., 0]]
    held = {name: np.tile(values, (1, N_STEPS, 1)) for name, values in x.items()}
    last = {smooth: np.tile(y, (1, N_STEPS, 1))}
    with nengo_dl.Simulator(net, minibatch_size=64, seed=0, progress_bar=False) as sim:
        sim.compile(
            optimizer=tf.optimizers.Adam(1e-3),
            loss={found: "mse"},
            metrics={found: accuracy},
        )
        sim.fit(
            {trace: traces, cue: cues},
            {found: VECTORS[answers[..., 0]]},
            validation_data=(x, {found: y}),
            validation_rates=True,
            epochs=12,
            verbose=0,
        )
        history = sim.keras_model.history.history
        # one step with rates, many with spikes
        rates = sim.evaluate(x, {found: y}, rates=True)
        sim.compile(loss={smooth: accuracy})
        spikes = sim.evaluate(held, last, verbose=0)["loss"]
        sim.run_steps(N_STEPS, data=held)
    assert rates["found_accuracy"] == history["val_found_accuracy"][-1]
    assert history["val_loss"][-1] < 0.7 * history["val_loss"][0]
    assert rates["found_accuracy"] > 0.8
    shown = sim.data[smooth][:, -1] @ VECTORS.T
    assert np.mean(shown.argmax(axis=1) == test_answers[:, 0, 0]) == spikes
    assert spikes > 0.8
