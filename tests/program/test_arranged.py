"""Parameters that are arranged once, not in each call, until they change."""

import weakref

import nengo
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import nengo_dl
from nengo_dl.builders.products.sparse import SparseDotIncBuilder
from nengo_dl.program.arranged import ArrangedOperands
from nengo_dl.support import tuning

N = 40
TWOS = np.full((N, N), 2.0)


@pytest.fixture(autouse=True)
def small_matrices_are_large(monkeypatch):
    for name in ("ROWS", "COLUMNS", "WEIGHTS"):
        monkeypatch.setattr(tuning, f"FEWEST_EVENT_{name}", 1)
    monkeypatch.setattr(tuning, "WEIGHTS_PER_ITEM", 1)
    monkeypatch.setattr(tuning, "KEPT_ELEMENTS", N * N)
    monkeypatch.setattr(SparseDotIncBuilder, "EVENT_SIZE", 1)
    monkeypatch.setattr(SparseDotIncBuilder, "EVENT_ENTRIES", 1)


def product_network(transform=TWOS):
    """Return a network that multiplies its input with a matrix, of twos by default."""
    with nengo.Network(seed=0) as net:
        net.a = nengo.Node(np.ones(N))
        net.b = nengo.Node(size_in=N)
        net.conn = nengo.Connection(net.a, net.b, synapse=None, transform=transform)
        net.probe = nengo.Probe(net.b)
    return net


@pytest.fixture
def sim():
    with nengo_dl.Simulator(
        product_network(), minibatch_size=2, jit_compile=True, progress_bar=False
    ) as simulator:
        yield simulator


def _operands(sim):
    return ArrangedOperands(sim._session.step, sim._session.store.variables.constants)


def _weights(sim):
    """Return the variable that has the matrix."""
    variables = sim._session.store.variables.constants
    return next(v for v in variables if v.shape == (1, N * N))


def test_only_large_operands_of_another_form_are_kept(sim, monkeypatch):
    (tensor,) = _operands(sim).tensors().values()
    assert tensor.shape[-2:] == (N, N)
    monkeypatch.setattr(tuning, "KEPT_ELEMENTS", N * N + 1)
    assert not _operands(sim).tensors()


def test_products_that_take_the_matrix_as_it_is_keep_nothing(monkeypatch):
    monkeypatch.setattr(tuning, "FEWEST_EVENT_WEIGHTS", N * N + 1)
    with nengo_dl.Simulator(product_network(), progress_bar=False) as sim:
        operands = _operands(sim)
        assert not operands.tensors() and not operands._values


def test_sparse_weights_are_kept_in_the_forms_of_both_ways(monkeypatch):
    transform = nengo.Sparse((N, N), init=scipy.sparse.csr_matrix(TWOS))
    net = product_network(transform)
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
        ((whole, columns),) = _operands(sim).tensors().values()
        assert columns.shape == (N, N) and whole.shape[-2:] == (N, N)
        assert _run_steps(sim) == 2 * N
        _weights(sim).assign(tf.range(float(N * N))[None])
        rows = np.arange(float(N * N)).reshape(N, N).sum(axis=1)
        sim.run_steps(3)
        np.testing.assert_array_equal(sim.data[net.probe][-1], rows)
    monkeypatch.setattr(SparseDotIncBuilder, "EVENT_SIZE", N + 1)
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
        (whole,) = _operands(sim).tensors().values()
        assert whole.shape[-2:] == (N, N)
        assert _run_steps(sim) == 2 * N


def test_closed_simulators_hold_no_second_copy_of_their_parameters(sim):
    assert _run_steps(sim) == 2 * N
    (tensor,) = sim._session.compiled._arranged().values()
    kept = weakref.ref(tensor)
    del tensor
    assert kept() is not None
    sim.close()
    assert kept() is None


@tf.function(jit_compile=True)
def _halve(variable):
    variable.assign(variable * 0.5)


CHANGES = {
    "assign": lambda v: v.assign(3 * v),
    "assign_add": lambda v: v.assign_add(tf.ones_like(v)),
    "a slice": lambda v: v[0, 3:7].assign(tf.range(4.0)),
    "scatter": lambda v: v.scatter_nd_update([[0, 5]], [9.0]),
    "compiled": _halve,
}


@pytest.mark.parametrize("change", CHANGES)
def test_operands_follow_their_variable(sim, change):
    operands, variable = _operands(sim), _weights(sim)
    (before,) = operands.tensors().values()
    (same,) = operands.tensors().values()
    assert same is before
    for _ in range(3):
        CHANGES[change](variable)
        (after,) = operands.tensors().values()
        expected = variable.numpy().reshape(N, N).T
        np.testing.assert_array_equal(np.reshape(after, (N, N)), expected)
    assert not np.array_equal(before, after)


def _run_steps(sim, n_steps=3):
    sim.run_steps(n_steps)
    return sim.data[sim.model.toplevel.probe][..., -1, 0].ravel()[0]


def test_runs_use_parameters_that_were_changed_in_any_way(sim, tmp_path):
    net = sim.model.toplevel
    assert _run_steps(sim) == 2 * N
    sim.save_params(str(tmp_path / "params"))
    _weights(sim).assign(tf.ones((1, N * N)))
    assert _run_steps(sim) == N
    _weights(sim).assign_add(tf.fill((1, N * N), 0.5))
    assert _run_steps(sim) == 1.5 * N
    sim.train(
        {net.a: np.ones((2, 1, N))}, {net.probe: np.zeros((2, 1, N))}, "sgd", n_epochs=1
    )
    trained = _run_steps(sim)
    assert trained != 1.5 * N
    np.testing.assert_allclose(trained, sim.data[net.conn].weights[0].sum(), rtol=1e-5)
    sim.load_params(str(tmp_path / "params"))
    assert _run_steps(sim) == 2 * N


def test_simulators_that_share_a_program_have_their_own_operands():
    nengo_dl.programs.clear()
    results = []
    for scale in (1, 3):
        net = product_network()
        net.conn.transform = np.full((N, N), float(scale))
        with nengo_dl.Simulator(
            net, minibatch_size=2, jit_compile=True, progress_bar=False
        ) as sim:
            results.append(_run_steps(sim))
    assert results == [N, 3 * N]
    assert (nengo_dl.programs.misses, nengo_dl.programs.hits) == (1, 1)
