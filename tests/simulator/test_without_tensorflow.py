"""TensorFlow takes seconds to import, so scripts that need none of it do not."""

import subprocess
import sys
import textwrap

import pytest

NETWORK = """
import sys
import nengo
import numpy as np
import nengo_dl

with nengo.Network(seed=0) as net:
    wave = nengo.Node(lambda t: np.sin(20 * t), label="wave")
    noise = nengo.Node(nengo.processes.WhiteSignal(1.0, 5, seed=1))
    pre = nengo.Ensemble(30, 1)
    post = nengo.Ensemble(20, 1, neuron_type=nengo.AdaptiveLIF())
    nengo.Connection(wave, pre)
    conn = nengo.Connection(pre, post, learning_rule_type=nengo.PES())
    nengo.Connection(noise, conn.learning_rule)
    probe = nengo.Probe(post, synapse=0.01)
    spikes = nengo.Probe(post.neurons)
"""

USES = {
    "names": """
        nengo_dl.Simulator, nengo_dl.configure_settings, nengo_dl.TensorNode
        nengo_dl.Layer, nengo_dl.Delay, nengo_dl.dists, nengo_dl.objectives
        nengo_dl.sweep, nengo_dl.run_items, nengo_dl.Workers
    """,
    "steps": """
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            for _ in range(10):
                sim.step()
            assert np.any(sim.data[probe])
    """,
    "runs": """
        with net:
            nengo_dl.configure_settings(stateful=True)
        with nengo_dl.Simulator(net, device="/cpu:0", dtype="float64") as sim:
            sim.run(0.1)
            sim.run_steps(5, input_feeds={wave: np.ones((1, 5, 1))})
            assert len(sim.data[probe]) == len(sim.trange()) == 105
    """,
    "resets": """
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.run(0.05)
            before = np.array(sim.data[probe])
            sim.soft_reset(include_probes=True)
            sim.run(0.01)
            sim.reset()
            sim.run(0.05)
            assert np.array_equal(sim.data[probe], before)
    """,
    "parameters": """
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.run(0.02)
            learned = sim.data[conn].weights
            sim.save_params(sys.argv[1], include_local=True)
            sim.reset()
            sim.load_params(sys.argv[1], include_local=True)
            assert np.array_equal(sim.data[conn].weights, learned)
            sim.freeze_params(net)
    """,
    "reports": """
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.run(0.02)
            assert "NumPy" in str(sim.summary())
            assert len(list(sim.spike_rates())) == 1
            repr(sim), sim.data[pre].gain, sim.signals
    """,
}


@pytest.mark.parametrize("use", USES)
def test_tensorflow_is_not_imported_for(use, tmp_path):
    script = NETWORK + textwrap.dedent(USES[use])
    script += (
        "print(*(name for name in ('tensorflow', 'keras') if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "saved.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout.splitlines()[-1].strip(), "imported"


def test_what_needs_tensorflow_works_after_what_does_not(tmp_path):
    script = NETWORK + textwrap.dedent(
        """
        with nengo_dl.Simulator(net, progress_bar=False) as sim:
            sim.run_steps(20)
            assert "tensorflow" not in sys.modules
            inputs, targets = {wave: np.ones((1, 5, 1))}, {probe: np.ones((1, 5, 1))}
            loss = sim.loss(inputs, targets)
            sim.train(inputs, targets, "sgd")
            assert "tensorflow" in sys.modules
            sim.run_steps(20_000)
            assert sim.n_steps == 20_020
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
