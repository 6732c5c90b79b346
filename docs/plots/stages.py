"""Draw the operators of a two-ensemble network, and the groups that they become."""

import matplotlib.pyplot as plt
import nengo
import numpy as np
from nengo.builder import Model
from nengo.utils.graphs import toposort
from nengo.utils.simulator import operator_dependency_graph

from nengo_dl.builders.lookup import make_builder_lookup
from nengo_dl.compiler.dependencies import dependencies
from nengo_dl.compiler.inputs import split_inputs
from nengo_dl.compiler.planners import plan
from nengo_dl.compiler.simplify import simplify
from nengo_dl.compiler.traits import find_roles

COLOURS = {
    "Copy": "#9ec1f7",
    "DotInc": "#efb118",
    "SimNeurons": "#ff725c",
    "SimProcess": "#6cc5b0",
    "Reset": "#d9dde2",
    "SimPyFunc": "#a463f2",
    "TimeUpdate": "#a463f2",
    "SimProbe": "#d9dde2",
}


def compile_example():
    with nengo.Network(seed=0) as net:
        stimulus = nengo.Node(np.sin, label="stimulus")
        a = nengo.Ensemble(30, dimensions=1, label="a")
        b = nengo.Ensemble(30, dimensions=1, label="b")
        nengo.Connection(stimulus, a)
        nengo.Connection(a, b, function=np.square)
        nengo.Probe(b, synapse=0.02)
    model = Model(dt=0.001)
    model.build(net)
    graph = operator_dependency_graph(model.operators)
    order = [op for op in toposort(graph) if hasattr(op, "make_step")]
    lookup = make_builder_lookup()
    split = split_inputs(order, lambda op: lookup(op).runs_user_code)
    outputs = [model.sig[probe]["in"] for probe in model.probes]
    roles = find_roles(split.device, split.inputs, outputs, lookup)
    left, aliases, _ = simplify(split.device, roles, outputs, lookup)
    before = dependencies(left, aliases, lookup)
    groups = plan(left, before, lookup)
    return order, graph, left, before, groups


def depths(before):
    """Return how many others must run before each, one after the other."""
    found = {}

    def depth(number):
        if number not in found:
            found[number] = 1 + max((depth(n) for n in before[number]), default=-1)
        return found[number]

    return [depth(number) for number in range(len(before))]


def draw(ax, labels, colours, before, title):
    columns = depths(before)
    places = {}
    for column in sorted(set(columns)):
        members = [n for n, c in enumerate(columns) if c == column]
        for row, number in enumerate(members):
            places[number] = (column, (len(members) - 1) / 2 - row)
    for number, others in enumerate(before):
        for other in others:
            ax.annotate(
                "",
                places[number],
                places[other],
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": "#7a8290",
                    "shrinkA": 20,
                    "shrinkB": 20,
                    "connectionstyle": "arc3,rad=0.08",
                },
            )
    for number, (x, y) in places.items():
        ax.text(
            x,
            y,
            labels[number],
            ha="center",
            va="center",
            fontsize=8,
            bbox={
                "boxstyle": "round,pad=0.45",
                "facecolor": colours[number],
                "edgecolor": "none",
            },
        )
    xs, ys = zip(*places.values())
    ax.set(
        xlim=(min(xs) - 0.6, max(xs) + 0.6),
        ylim=(min(ys) - 0.7, max(ys) + 0.7),
        title=title,
    )
    ax.axis("off")


def operators():
    """All operators that Nengo builds, and what waits for what."""
    order, graph, *_ = compile_example()
    position = {op: number for number, op in enumerate(order)}
    before = [set() for _ in order]
    for op, later in graph.items():
        for other in later:
            if op in position and other in position:
                before[position[other]].add(position[op])
    names = [type(op).__name__ for op in order]
    _, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
    draw(ax, names, [COLOURS[n] for n in names], before, f"{len(order)} operators")


def groups():
    """The groups that run on the device."""
    _, _, left, before, found = compile_example()
    number_of = {op: n for n, group in enumerate(found) for op in group.ops}
    merged = [set() for _ in found]
    for number, others in enumerate(before):
        for other in others:
            merged[number_of[left[number]]].add(number_of[left[other]])
    labels = [
        f"{len(group.ops)} × {type(group.ops[0]).__name__}\n{group.builder.__name__}"
        for group in found
    ]
    colours = [COLOURS[type(group.ops[0]).__name__] for group in found]
    _, ax = plt.subplots(figsize=(8, 1.3), layout="constrained")
    draw(ax, labels, colours, merged, f"{len(found)} groups")
