"""Operators are sorted as Nengo sorts them, one by one."""

import nengo
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from nengo.builder import Model
from nengo.builder.operator import Copy
from nengo.builder.signal import Signal
from nengo.exceptions import BuildError
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from nengo_dl.compiler.order import reference_order
from tests.compiler.programs import generated_programs
from tests.networks import FIXED


@pytest.mark.parametrize("name", FIXED)
def test_order_of_networks_is_that_of_nengo(name):
    model = Model()
    model.build(FIXED[name]().net)
    operators = list(model.operators)
    assert reference_order(operators) == toposort(operator_dependency_graph(operators))


@given(program=generated_programs())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_order_of_operators_on_overlapping_views_is_that_of_nengo(program):
    operators = list(program.operators)
    assert reference_order(operators) == toposort(operator_dependency_graph(operators))


def test_operators_in_a_circle_are_refused():
    a, b = Signal(np.zeros(2), name="a"), Signal(np.zeros(2), name="b")
    with pytest.raises(BuildError, match="have no synapse"):
        reference_order([Copy(a, b), Copy(b, a)])


def test_loops_without_synapse_are_refused():
    with nengo.Network() as net:
        nodes = [nengo.Node(size_in=1) for _ in range(2)]
        nengo.Connection(nodes[0], nodes[1], synapse=None)
        nengo.Connection(nodes[1], nodes[0], synapse=None)
    model = Model()
    model.build(net)
    with pytest.raises(BuildError):
        reference_order(list(model.operators))
