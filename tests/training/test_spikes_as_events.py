"""Products of which only columns of spiking neurons are added, outside of runs."""

import nengo
import numpy as np
import pytest

import nengo_dl
from nengo_dl.builders.products.sparse import SparseDotIncBuilder
from nengo_dl.support import tuning

N_ITEMS, N_STEPS, N_NEURONS, N_OUT = 3, 12, 40, 30


@pytest.fixture
def always_by_events(monkeypatch):
    for name in ("ROWS", "COLUMNS", "WEIGHTS"):
        monkeypatch.setattr(tuning, f"FEWEST_EVENT_{name}", 1)
    for name in ("EVENT_SIZE", "EVENT_ENTRIES"):
        monkeypatch.setattr(SparseDotIncBuilder, name, 1)
    monkeypatch.setattr(tuning, "WEIGHTS_PER_ITEM", 1)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_all_steps_are_evaluated(always_by_events, kind):
    weights = np.random.RandomState(0).randn(N_OUT, N_NEURONS)
    rows, columns = np.nonzero(weights > 0)
    transform = weights
    if kind == "sparse":
        transform = nengo.Sparse(
            weights.shape, np.stack([rows, columns], 1), weights[rows, columns]
        )
    with nengo.Network(seed=0) as net:
        node = nengo.Node(np.zeros(N_NEURONS))
        ens = nengo.Ensemble(
            N_NEURONS,
            1,
            gain=np.ones(N_NEURONS),
            bias=np.zeros(N_NEURONS),
            neuron_type=nengo.SpikingRectifiedLinear(),
        )
        nengo.Connection(node, ens.neurons, synapse=None)
        out = nengo.Node(size_in=N_OUT)
        nengo.Connection(ens.neurons, out, transform=transform, synapse=None)
        probe = nengo.Probe(out)
    x = np.random.RandomState(1).uniform(0, 60, (N_ITEMS, N_STEPS, N_NEURONS))
    with nengo_dl.Simulator(
        net, dtype="float64", jit_compile=True, progress_bar=False
    ) as sim:
        assert any(getattr(k, "by_events", False) for k in sim._session.step.kernels)
        shown = sim.predict({node: x})[probe]
        loss = sim.loss({node: x}, {probe: np.zeros((N_ITEMS, N_STEPS, N_OUT))})
        for item in range(N_ITEMS):
            sim.reset()
            sim.run_steps(N_STEPS, input_feeds={node: x[item : item + 1]})
            assert np.any(sim.data[probe])
            np.testing.assert_allclose(shown[item], sim.data[probe], atol=1e-9)
    np.testing.assert_allclose(loss, np.mean(np.square(shown)))
