"""Names of groups: what they compute, and for which of the user's objects."""

import re

import nengo
import pytest
from nengo.builder import Model
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import DotInc
from nengo.builder.processes import SimProcess

from nengo_dl.compiler.ir import Group
from nengo_dl.compiler.labels import label_groups, readable
from nengo_dl.compiler.parameters import find_parameters


def labels_of(net, *kinds):
    """The labels of groups that hold all operators of one kind each."""
    model = Model(dt=0.001)
    model.build(net)
    groups = [
        Group(None, tuple(op for op in model.operators if isinstance(op, kind)))
        for kind in kinds
    ]
    return label_groups(model, groups, find_parameters(model, lambda base: False))


def test_label_says_what_and_for_which_objects():
    with nengo.Network() as net:
        for name in "ab":
            nengo.Ensemble(5, 1, label=name)
    assert labels_of(net, SimNeurons) == ["LIF.a.b"]


def test_label_counts_the_objects_that_it_does_not_list():
    with nengo.Network() as net:
        for name in "abcde":
            nengo.Ensemble(5, 1, label=name)
    assert labels_of(net, SimNeurons) == ["LIF.a.b.and_3_more"]


def test_connections_are_named_after_their_ends():
    with nengo.Network() as net:
        a, b = nengo.Ensemble(5, 1, label="a"), nengo.Ensemble(5, 1, label="b")
        nengo.Connection(a, b, synapse=nengo.Alpha(0.1))
        nengo.Connection(a.neurons, a.neurons, transform=2, synapse=None)
    alpha, products = labels_of(net, SimProcess, DotInc)
    assert alpha == "Alpha.a->b"
    assert products == "encoders.a.b.and_1_more"


def test_weights_of_a_connection_and_of_a_probe():
    with nengo.Network() as net:
        a = nengo.Ensemble(5, 1, label="a")
        nengo.Connection(a, nengo.Node(size_in=1, label="out"), function=abs)
        nengo.Probe(a)
    model = Model(dt=0.001)
    model.build(net)
    parameters = find_parameters(model, lambda base: False)
    weights = {p.signal for p in parameters if p.attribute == "weights"}
    ops = [
        op
        for op in model.operators
        if isinstance(op, DotInc) and op.reads[0] in weights
    ]
    found = label_groups(model, [Group(None, (op,)) for op in ops], parameters)
    assert sorted(found) == ["weights.a->out", "weights.a->probe0"]


def test_objects_of_one_network_are_in_its_scope():
    with nengo.Network() as net, nengo.Network(label="outer"):
        array = nengo.networks.EnsembleArray(5, 3, label="v1")
    assert len(array.all_ensembles) == 3
    assert labels_of(net, SimNeurons) == ["outer/v1/LIF.v1_0.v1_1.and_1_more"]


def test_objects_of_several_networks_are_named_after_those():
    with nengo.Network() as net:
        for name in ("left", "right"):
            nengo.networks.EnsembleArray(5, 3, label=name)
    assert labels_of(net, SimNeurons) == ["LIF.left.right"]


def test_objects_without_a_label_are_numbered():
    with nengo.Network() as net, nengo.Network():
        nengo.Ensemble(5, 1)
        nengo.Ensemble(5, 1)
    assert labels_of(net, SimNeurons) == ["network0/LIF.ensemble0.ensemble1"]


def test_operators_of_no_object_are_named_after_what_they_compute():
    model = Model(dt=0.001)
    a, x, y = (nengo.builder.Signal([[1.0]], name=name) for name in "axy")
    assert label_groups(model, [Group(None, (DotInc(a, x, y),))], []) == ["DotInc"]


@pytest.mark.parametrize("label", ["a b/c", "größe", "<x>", "__", "", None, "x" * 999])
def test_every_label_becomes_a_name_that_tensorflow_accepts(label):
    found = readable(label, "ensemble0")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.>-]{0,60}", found)
