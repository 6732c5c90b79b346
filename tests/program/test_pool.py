"""Compiled programs that simulators share: how often, and for whom."""

import gc
import signal
import threading
import weakref

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.program import private_tensorflow
from nengo_dl.program.lease import SharedFunction
from nengo_dl.program.pool import ProgramPool
from tests.program.pooled import fresh_pool, network, record, simulator


@pytest.fixture
def pool():
    with fresh_pool() as pool:
        yield pool


@pytest.fixture
def compilations(monkeypatch):
    """The programs that XLA was given, one entry for each time."""
    found = []
    call = SharedFunction.call

    def counted(self, tensors):
        if not self.is_compiled:
            found.append(self.key)
        return call(self, tensors)

    monkeypatch.setattr(SharedFunction, "call", counted)
    return found


def counts(pool):
    return pool.hits, pool.misses


# What is shared


def test_simulators_of_equal_networks_share_a_program(pool, compilations):
    first, second = record(network()), record(network())
    assert counts(pool) == (1, 1)
    assert len(compilations) == 1
    assert np.array_equal(first, second)


def test_seeds_and_labels_make_no_difference(pool, compilations, monkeypatch):
    shared = [record(network(seed, label=f"net {seed}")) for seed in range(3)]
    assert counts(pool) == (2, 1)
    assert len(compilations) == 1
    monkeypatch.setattr(private_tensorflow, "is_available", lambda: False)
    own = [record(network(seed)) for seed in range(3)]
    assert counts(pool) == (2, 1)
    assert np.array_equal(shared, own)
    assert not np.array_equal(own[0], own[1])


def test_two_live_simulators_keep_their_own_values(pool):
    alone = [record(network(seed), 60) for seed in range(2)]
    sims = [simulator(network(seed)) for seed in range(2)]
    for _ in range(3):
        for sim in sims:
            sim.run_steps(20)
    data = [np.array(sim.data[sim.model.toplevel.probe]) for sim in sims]
    for sim in sims:
        sim.close()
    assert np.array_equal(data, alone)
    assert pool.misses == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"net": {"size": 21}}, id="size"),
        pytest.param({"net": {"tau": 0.03}}, id="tau"),
        pytest.param({"net": {"filtered": False}}, id="no synapse"),
        pytest.param({"sim": {"minibatch_size": 2}}, id="minibatch"),
        pytest.param({"sim": {"dtype": "float64"}}, id="dtype"),
        pytest.param({"sim": {"unroll_simulation": 2}}, id="unroll"),
        pytest.param({"sim": {"dt": 0.002}}, id="dt"),
        pytest.param({"sim": {"device": "/cpu:0"}}, id="device"),
    ],
)
def test_different_programs_are_not_shared(pool, other):
    record(network())
    record(network(**other.get("net", {})), **other.get("sim", {}))
    assert counts(pool) == (0, 2)


def test_programs_that_call_python_are_not_shared(pool):
    def run():
        with nengo.Network(seed=0) as net:
            node = nengo.Node(lambda t, x: x + 1, size_in=1)
            net.probe = nengo.Probe(node)
        return record(net, 5)

    assert np.array_equal(run(), run())
    assert counts(pool) == (0, 0)
    assert pool.count == 0


def test_reset_compiles_nothing(pool, compilations):
    net = network()
    with simulator(net) as sim:
        sim.run_steps(10)
        before = np.array(sim.data[net.probe])
        sim.reset()
        sim.run_steps(10)
        assert np.array_equal(sim.data[net.probe], before)
    assert len(compilations) == 1


# Leases


def test_close_gives_the_program_back(pool):
    sim = simulator(network())
    assert pool.in_use == 0
    sim.run_steps(5)
    assert (pool.count, pool.in_use) == (1, 1)
    sim.close()
    assert (pool.count, pool.in_use) == (1, 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_simulator_deleted_without_close_gives_its_program_back(pool):
    sim = simulator(network())
    sim.run_steps(5)
    variable = weakref.ref(sim._session.store.variables.state[0])
    assert pool.in_use == 1
    del sim
    gc.collect()
    assert pool.in_use == 0
    assert variable() is None
    record(network())
    assert counts(pool) == (1, 1)


def test_eviction_of_a_program_in_use_leaves_it_to_who_uses_it(compilations):
    with fresh_pool(max_size=1) as pool:
        net = network()
        with simulator(net) as sim:
            sim.run_steps(5)
            record(network(tau=0.05))
            assert pool.count == 2
            sim.run_steps(5)
            record(network(seed=3))  # shares what was evicted
            assert counts(pool) == (1, 2)
            kept = np.array(sim.data[net.probe])
        assert len(compilations) == 2
        assert pool.count == 1
        assert np.array_equal(kept, record(net, 10))


def test_what_nobody_uses_is_evicted_oldest_first():
    with fresh_pool(max_size=2) as pool:
        for tau in (0.01, 0.02, 0.01, 0.03):
            record(network(tau=tau))
        assert (pool.count, counts(pool)) == (2, (1, 3))
        record(network(tau=0.01))
        assert counts(pool) == (2, 3)
        record(network(tau=0.02))
        assert counts(pool) == (2, 4)


def test_evicted_functions_are_removed_from_tensorflow(pool):
    record(network())
    (name,) = [program.name for program in pool._recent.values()]
    assert private_tensorflow.context().has_function(name)
    pool.clear()
    gc.collect()
    assert not private_tensorflow.context().has_function(name)


def test_pool_can_be_emptied_while_simulators_run(pool):
    net = network()
    with simulator(net) as sim:
        sim.run_steps(5)
        pool.clear()
        assert (pool.count, pool.in_use, counts(pool)) == (1, 1, (0, 0))
        sim.run_steps(5)
        assert len(sim.data[net.probe]) == 10
    gc.collect()
    assert pool.count == pool.n_bytes == 0


def test_pool_without_room_shares_what_is_in_use():
    with fresh_pool(max_size=0) as pool:
        with simulator(network()) as sim:
            sim.run_steps(5)
            record(network(seed=1))
            assert counts(pool) == (1, 1)
        assert pool.count == 0


def test_pool_counts(pool):
    record(network())
    assert repr(pool) == "<1 compiled program, 0 in use: 0 hits, 1 misses>"
    assert pool.n_bytes > 1000
    assert pool.seconds_saved == 0
    record(network())
    assert pool.seconds_saved > 0


@pytest.mark.parametrize("value", [-1, 1.5, None, "many"])
def test_size_of_the_pool_is_checked(value):
    with pytest.raises(ValidationError, match="whole number of programs, 0 or more"):
        ProgramPool().max_size = value


def test_lease_that_was_given_back_says_so(pool):
    with simulator(network()) as sim:
        sim.run_steps(5)
        function = sim._session.compiled._compiled
    with pytest.raises(SimulationError, match="was given back to the pool"):
        function.lease(0)


# Threads and interrupts


def test_threads_that_need_one_program_compile_it_once(pool, compilations):
    sims = [simulator(network(seed)) for seed in range(4)]
    start = threading.Barrier(len(sims))

    def run(sim):
        start.wait()
        sim._session.compiled.prepare()
        list(sim._session.run(20, {}))

    threads = [threading.Thread(target=run, args=(sim,)) for sim in sims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = [sim._session.store.state_values() for sim in sims]
    for sim in sims:
        sim.close()
    assert counts(pool) == (3, 1)
    assert len(compilations) == 1
    with simulator(network(2)) as sim:
        list(sim._session.run(20, {}))
        for one, other in zip(sim._session.store.state_values(), states[2]):
            assert np.array_equal(one, other)


def test_interrupt_while_compiling_leaves_nothing_behind(
    pool, monkeypatch, interruptible
):
    call = SharedFunction.call
    calls = []

    def interrupted(self, tensors):
        result = call(self, tensors)
        if not calls:
            calls.append(1)
            signal.raise_signal(signal.SIGINT)
        return result

    net = network()
    with simulator(net) as sim:
        monkeypatch.setattr(SharedFunction, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sim._session.compiled.prepare()
            inputs = sim._session.compiled.pack(
                dict.fromkeys(sim._session.plan.split.inputs, np.zeros((1, 1))), 0, 1
            )
            sim._session.compiled.run(0, 1, inputs)
        assert calls
        sim.run_steps(10)
        data = np.array(sim.data[net.probe])
    assert (pool.in_use, pool.misses) == (0, 1)
    assert np.array_equal(data, record(network(), 10))


# Profiles


def test_labels_of_a_profile_are_those_of_the_simulator(pool):
    record(network(label="mine"))
    net = network(label="yours")
    with simulator(net) as sim:
        sim.run_steps(5)
        assert any(
            "mine" in label for label in sim._session.compiled._compiled.lease.labels
        )
        sim._session.compiled.show_labels()
        sim.run_steps(5)
        assert any(
            "yours" in label for label in sim._session.compiled._compiled.lease.labels
        )
        assert counts(pool) == (1, 2)
    record(network(label="mine"))
    assert counts(pool) == (2, 2)


# Private names


def test_tensorflow_has_the_private_names():
    """Fails if a new TensorFlow moved them: programs are not shared then."""
    assert private_tensorflow.is_available()


def test_pool_is_public():
    assert isinstance(nengo_dl.programs, ProgramPool)
    assert nengo_dl.programs.max_size == 64
