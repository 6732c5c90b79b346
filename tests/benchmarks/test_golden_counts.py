"""Counts that decide on speed, for small versions of the benchmark networks.

Times do not belong in tests, counts do. A change that moves one says why in its commit,
and how fast it makes the benchmark.
"""

import dataclasses
from dataclasses import dataclass

import pytest
import tensorflow as tf

import nengo_dl
from nengo_dl.benchmarks.networks import NETWORKS, make_network
from nengo_dl.program import pool


@dataclass(frozen=True)
class Counts:
    """What one time step consists of.

    Attributes
    ----------
    operators : int
        Operators that are left after simplification.
    groups : int
        Groups of them.
    carried : int or None
        Values that the loop carries from step to step.
    operations : int or None
        Operations of the traced loop, of all functions in it. Loops that call Python
        are traced in two ways, and not counted.
    numpy_calls : int or None
        Functions that a step in NumPy calls.
    """

    operators: int
    groups: int
    carried: int | None
    operations: int | None
    numpy_calls: int | None


GOLDEN = {
    "integrator": Counts(
        operators=11, groups=7, carried=43, operations=180, numpy_calls=13
    ),
    "stepping": Counts(
        operators=11, groups=7, carried=43, operations=180, numpy_calls=13
    ),
    "channel": Counts(
        operators=11, groups=5, carried=249, operations=158, numpy_calls=11
    ),
    "array": Counts(
        operators=43, groups=5, carried=215, operations=156, numpy_calls=11
    ),
    "convolution": Counts(
        operators=114, groups=12, carried=492, operations=232, numpy_calls=23
    ),
    "pes": Counts(operators=16, groups=9, carried=222, operations=235, numpy_calls=14),
    "basal_ganglia": Counts(
        operators=104, groups=14, carried=3630, operations=353, numpy_calls=32
    ),
    "spa": Counts(
        operators=153, groups=22, carried=9890, operations=535, numpy_calls=53
    ),
    "recurrent": Counts(
        operators=7, groups=6, carried=190, operations=157, numpy_calls=10
    ),
    "separate": Counts(
        operators=35, groups=6, carried=128, operations=186, numpy_calls=15
    ),
    "mixed": Counts(
        operators=15, groups=7, carried=108, operations=261, numpy_calls=16
    ),
    "mlp": Counts(operators=15, groups=8, carried=92, operations=162, numpy_calls=14),
    "convnet": Counts(
        operators=15, groups=9, carried=152, operations=376, numpy_calls=14
    ),
    "dense_recurrent": Counts(
        operators=7, groups=6, carried=190, operations=151, numpy_calls=10
    ),
    "callback": Counts(
        operators=18, groups=8, carried=None, operations=None, numpy_calls=17
    ),
    "direct": Counts(
        operators=17, groups=4, carried=None, operations=None, numpy_calls=12
    ),
    "python_functions": Counts(
        operators=47, groups=8, carried=None, operations=None, numpy_calls=24
    ),
    "unlike": Counts(
        operators=85, groups=10, carried=785, operations=359, numpy_calls=21
    ),
    "large_brain": Counts(
        operators=1154, groups=8, carried=17980, operations=209, numpy_calls=18
    ),
    "lmu": Counts(operators=22, groups=13, carried=11, operations=210, numpy_calls=21),
}


CALL_PYTHON = {"callback", "direct", "python_functions"}


def count(name, monkeypatch):
    """Return the counts of a benchmark network, and how often it was compiled."""
    graphs = []

    def graph_of(*args, **kwargs):
        graphs.append(original(*args, **kwargs))
        return graphs[-1]

    original = pool.graph_of
    monkeypatch.setattr(pool, "graph_of", graph_of)
    sizes = dict(NETWORKS[name].small)
    minibatch = sizes.pop("minibatch", None)
    nengo_dl.programs.clear()
    with nengo_dl.Simulator(
        make_network(name, sizes), minibatch_size=minibatch, progress_bar=False
    ) as sim:
        session = sim._session
        numpy = session.numpy
        calls = len(numpy.items()[0].functions) if numpy.available else None
        plan = session.plan
        operators, groups = plan.counts["remove_unread"], plan.counts["groups"]
        if name in CALL_PYTHON:
            return Counts(operators, groups, None, None, calls)
        for n_steps in (3, 5, 20):
            list(session.run(n_steps, {}, compiled=True))
        assert nengo_dl.programs.misses == len(graphs) == 1
        step = session.step
        sizes = [block.size for block in step.state_blocks]
        (graph,) = graphs
        return Counts(
            operators,
            groups,
            sum(sizes) - sum(sizes[number] for number in step.twins),
            sum(len(function.node_def) for function in graph.functions),
            calls,
        )


@pytest.mark.filterwarnings("ignore::UserWarning:nengo")  # of its semantic pointers
@pytest.mark.parametrize("name", GOLDEN)
def test_counts_stay_as_they_are(name, monkeypatch):
    found, golden = count(name, monkeypatch), GOLDEN[name]
    if not tf.__version__.startswith("2.21."):  # others trace the same code otherwise
        golden = dataclasses.replace(golden, operations=found.operations)
    assert found == golden


def test_all_networks_are_counted():
    assert set(GOLDEN) == set(NETWORKS)
