"""What cannot be sent to other processes is named, with its place and a cure."""

import copy
import io
import pickle
import threading

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.support import travel

cloudpickle = pytest.importorskip("cloudpickle")

LOCK = threading.Lock()


def importable(t):
    return t


def locked(t):
    return float(LOCK.locked())


class Recorder:
    def __init__(self):
        self.sink = {"lock": threading.Lock()}

    def __call__(self, t):
        return t

    def method(self, t):
        return t


def network_of(function):
    with nengo.Network(label="top") as net:
        with nengo.Network(label="sub"):
            nengo.Node(importable, label="fine")
            nengo.Node(function, label="culprit")
    return net


NODE = r'function of <Node \'culprit\'> \(nodes\[1\] of <Network "sub">\) '


@pytest.mark.parametrize(
    "pickler, function, message",
    [
        (pickle, lambda t: t, r"\(<lambda>, test_travel.py, line \d+\) cannot be sent"),
        (pickle, lambda t: t, r"other processes\. Use cloudpickle .* top of a module"),
        (cloudpickle, Recorder(), r"\(Recorder\) cannot"),
        (cloudpickle, Recorder(), r"entry 'lock' \(lock\), in its attribute 'sink' "),
        (cloudpickle, Recorder().method, r"sink' \(dict\), in its object \(Recorder\)"),
        (pickle, Recorder(), r"\. Let functions make what belongs to one process"),
    ],
    ids=["place", "cure", "object", "chain", "method", "no pickler"],
)
def test_culprit_is_named(pickler, function, message):
    with pytest.raises(ValidationError, match=message):
        nengo_dl.check_travels(network_of(function), pickler)
    with pytest.raises(ValidationError, match=NODE):
        nengo_dl.check_travels(network_of(function), pickler)


@pytest.mark.parametrize("pickler", [pickle, cloudpickle])
def test_what_travels_raises_nothing(pickler):
    nengo_dl.check_travels(network_of(importable), pickler)
    nengo_dl.check_travels(np.ones(3), pickler)


def test_cloudpickle_takes_lambdas():
    nengo_dl.check_travels(network_of(lambda t: t))


def test_variable_of_a_function_is_blamed():
    lock = threading.Lock()
    with pytest.raises(ValidationError, match=r"because of its variable 'lock' \(lock"):
        nengo_dl.check_travels(lambda: lock.locked())


def test_attribute_of_a_network_is_blamed():
    net = network_of(importable)
    net.lock = threading.Lock()
    with pytest.raises(ValidationError, match=r"attribute 'lock' of <Network \"top\">"):
        nengo_dl.check_travels(net)


def test_network_of_a_factory_is_looked_into():
    net = network_of(Recorder())
    with pytest.raises(ValidationError, match=rf"because of .*the {NODE}"):
        nengo_dl.check_travels(lambda: net)


@pytest.mark.parametrize(
    "kind", ["neuron type", "function", "learning rule", "synapse", "solver"]
)
def test_part_of_an_object_is_named(kind):
    lock = threading.Lock()
    # defaults are everybody's
    own = {
        "neuron type": nengo.LIF(),
        "learning rule": nengo.PES(),
        "synapse": nengo.Lowpass(0.1),
        "solver": nengo.solvers.LstsqL2(),
        "function": Recorder(),
    }
    if kind != "function":
        object.__setattr__(own[kind], "extra", lock)
        own["function"] = importable
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1, neuron_type=own["neuron type"])
        nengo.Connection(
            *(ens, nengo.Node(size_in=1)),
            function=own["function"],
            synapse=own["synapse"],
            solver=own["solver"],
            learning_rule_type=own["learning rule"],
        )
    with pytest.raises(ValidationError, match=f"^network: The {kind} of <"):
        nengo_dl.check_travels(net)


@pytest.fixture(scope="module")
def sims():
    """Simulators of functions that travel with pickle, with cloudpickle, not at all."""
    functions = {"importable": importable, "lambda": lambda t: t, "lock": Recorder()}
    made = {
        name: nengo_dl.Simulator(network_of(function), progress_bar=False)
        for name, function in functions.items()
    }
    yield made
    for sim in made.values():
        sim.close()


@pytest.mark.parametrize(
    "pickler, name",
    [(pickle, "lambda"), (pickle, "lock"), (cloudpickle, "lock")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_pickle_of_a_simulator_names_the_culprit(sims, pickler, name):
    with pytest.raises(ValidationError, match=NODE):
        pickler.dumps({"sim": sims[name]})


@pytest.mark.parametrize(
    "pickler, name",
    [(pickle, "importable"), (cloudpickle, "importable"), (cloudpickle, "lambda")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_simulator_travels(sims, pickler, name):
    with pickle.loads(pickler.dumps(sims[name])) as sim:
        assert sim.n_steps == 0


def test_copy_within_a_process_may_have_anything_that_can_be_copied(sims):
    copy.deepcopy(sims["lambda"]).close()


def test_pickler_that_calls_is_found():
    found = []

    class Asks:
        def __reduce__(self):
            found.append(travel.calling_pickler())
            return int, ()

    class Own(pickle.Pickler):
        def dump(self, value):
            super().dump(value)

    pickle.dumps(Asks())
    cloudpickle.dumps(Asks())
    copy.copy(Asks())
    Own(io.BytesIO()).dump(Asks())
    assert found == [pickle.Pickler, cloudpickle.Pickler, None, Own]
