"""Each type of node of NIR, with a number for each neuron, read and written again."""

import nir
import numpy as np
import pytest

import nengo_dl

R, TAU, ONES = np.array([1.0, 2.0, 3.0]), np.array([0.01, 0.02, 0.03]), np.ones(3)
IMAGE = (1, 4, 4)

#: Shape of the input, and a node.
NODES = {
    "Affine": ((3,), nir.Affine(np.diag(R) + 1, R)),
    "Linear": ((3,), nir.Linear(np.diag(R) + 1)),
    "Scale": ((3,), nir.Scale(R)),
    "Conv1d": (
        (1, 3),
        nir.Conv1d(3, np.ones((2, 1, 2)), 1, 0, 1, 1, np.array([0.5, 0.1])),
    ),
    "Conv2d": (
        IMAGE,
        nir.Conv2d((4, 4), np.ones((2, 1, 3, 3)), 1, 1, 1, 1, np.array([0.5, 0.1])),
    ),
    "SumPool2d": (IMAGE, nir.SumPool2d(*(np.full(2, n) for n in (2, 2, 0)))),
    "AvgPool2d": (IMAGE, nir.AvgPool2d(*(np.full(2, n) for n in (2, 2, 0)))),
    "Delay": ((3,), nir.Delay(TAU / 10)),
    "Threshold": ((3,), nir.Threshold(R)),
    "LIF": ((3,), nir.LIF(TAU, R, 0.1 * R, ONES, v_reset=-R)),
    "IF": ((3,), nir.IF(R, 2 * R, v_reset=-R)),
    "LI": ((3,), nir.LI(TAU, R, 0.1 * R)),
    "I": ((3,), nir.I(R)),
    "CubaLIF": (
        (3,),
        nir.CubaLIF(
            tau_syn=TAU,
            tau_mem=2 * TAU,
            r=R,
            v_leak=0.1 * R,
            v_threshold=ONES,
            v_reset=-R,
            w_in=2 / R,
        ),
    ),
}


def come_back(shape, node):
    """Return the node between input and output, after reading and writing."""
    graph = nir.NIRGraph.from_list(nir.Input(np.array(shape)), node)
    net, _, _ = nengo_dl.from_nir(graph, dt=0.001)
    again, report = nengo_dl.to_nir(net, dtype="float64", strict=True)
    assert len(report) == 0
    return list(again.nodes.values())[1:-1]


@pytest.mark.parametrize("name", NODES)
def test_node_comes_back_with_its_parameters(name):
    shape, node = NODES[name]
    (found,) = come_back(shape, node)
    assert type(found) is type(node)
    if name == "CubaLIF":  # w_in and r stand for their product
        for cuba in (node, found):
            cuba.r, cuba.w_in = cuba.r * cuba.w_in, np.ones(3)
    for attribute, value in vars(node).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(
                np.broadcast_to(getattr(found, attribute), value.shape),
                value,
                rtol=1e-12,
                err_msg=attribute,
            )


def test_current_based_integrators_come_back_as_two_integrators():
    cuba = nir.CubaLI(tau_syn=TAU, tau_mem=2 * TAU, r=R, v_leak=0.1 * R, w_in=2 * R)
    first, second = come_back((3,), cuba)
    assert type(first) is type(second) is nir.LI
    np.testing.assert_allclose(first.tau, TAU)
    np.testing.assert_allclose(second.tau, 2 * TAU)
    np.testing.assert_allclose(first.r * second.r, cuba.r * cuba.w_in)
    np.testing.assert_allclose(second.v_leak, cuba.v_leak)


def test_flattening_needs_no_node():
    assert come_back(IMAGE, nir.Flatten({"input": np.array(IMAGE)}, 0, -1)) == []
