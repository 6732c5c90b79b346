"""Validation errors name the simulator whose argument was wrong."""

import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.support.errors import ErrorsOf, errors_of_self


def make_network():
    with nengo.Network(seed=0) as net:
        net.inp = nengo.Node([0.0], label="inp")
        net.ens = nengo.Ensemble(3, 1, neuron_type=nengo.RectifiedLinear())
        nengo.Connection(net.inp, net.ens, synapse=None)
        net.out = nengo.Probe(net.ens, label="out")
    return net


@pytest.fixture(scope="module")
def sim():
    with nengo_dl.Simulator(make_network(), progress_bar=False) as sim:
        sim.x = np.zeros((1, 2, 1))
        yield sim


@pytest.mark.parametrize(
    "argument, value",
    [
        ("dt", 0),
        ("seed", -1),
        ("dtype", "int32"),
        ("device", "/gpu:100"),
        ("unroll_simulation", 0),
        ("minibatch_size", 0),
        ("tensorboard", "a\0b"),
        ("progress_bar", 3),
        ("jit_compile", 3),
    ],
)
def test_errors_of_the_constructor_name_the_simulator(argument, value):
    with pytest.raises(ValidationError, match=f"^Simulator.{argument}: ") as caught:
        nengo_dl.Simulator(make_network(), **{argument: value})
    assert isinstance(caught.value.obj, nengo_dl.Simulator)


@pytest.mark.parametrize(
    "call, argument",
    [
        (lambda sim: sim.run(-1), "time_in_seconds"),
        (lambda sim: sim.run_steps(-1), "n_steps"),
        (lambda sim: sim.run_steps(1, input_feeds=3), "input_feeds"),
        (lambda sim: sim.run_steps(1, extra_feeds=3), "extra_feeds"),
        (lambda sim: sim.step(profile=3), "profile"),
        (lambda sim: sim.reset(-1), "seed"),
        (lambda sim: sim.soft_reset(3), "include_trainable"),
        (lambda sim: sim.trange(-1), "sample_every"),
        (lambda sim: sim.trange(1, 1), "dt"),
        (lambda sim: setattr(sim, "dt", 1), "dt"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", n_epochs=-1), "n_epochs"),
        (lambda sim: sim.train(sim.x, sim.x, "none"), "optimizer"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", objective=3), "objective"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", callbacks=[3]), "callbacks"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", summaries=[3]), "summaries"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", truncation=-1), "truncation"),
        (lambda sim: sim.train(sim.x, sim.x, "sgd", recompute=-1), "recompute"),
        (lambda sim: sim.train(sim.x[0], sim.x, "sgd"), "inputs"),
        (lambda sim: sim.loss(sim.x, sim.x, training=3), "training"),
        (lambda sim: sim.check_gradients(outputs=["no"]), "outputs"),
        (lambda sim: sim.compile("none", "mse"), "optimizer"),
        (lambda sim: sim.compile("sgd", loss={"no": "mse"}), "loss"),
        (lambda sim: sim.predict({"no": sim.x}), "x"),
        (lambda sim: sim.keras_model(np.zeros((1, 2))), "inputs"),
        (lambda sim: sim.keras_model.predict({"no": sim.x}), "x"),
        (lambda sim: sim.save_params(3), "path"),
        (lambda sim: sim.load_params(3), "path"),
        (lambda sim: sim.freeze_params(nengo.Network()), "objs"),
        (lambda sim: sim.get_nengo_params(sim), "nengo_objs"),
        (lambda sim: sim.spike_rates(saturation=2), "saturation"),
    ],
)
def test_errors_of_methods_name_the_simulator(sim, call, argument):
    with pytest.raises(ValidationError, match=rf"^Simulator\.{argument}: ") as caught:
        call(sim)
    assert caught.value.obj is sim


def test_errors_of_subclasses_name_the_subclass():
    class Mine(nengo_dl.Simulator):
        pass

    with pytest.raises(ValidationError, match=r"^Mine\.dt: Must be a number"):
        Mine(make_network(), dt=0)


def test_errors_that_name_their_object_keep_it():
    class Place:
        @errors_of_self
        def fail(self, obj):
            raise ValidationError("wrong", attr="x", obj=obj)

    place, other = Place(), nengo.LIF()
    with pytest.raises(ValidationError, match=r"^LIF\.x: wrong"):
        place.fail(other)
    with pytest.raises(ValidationError, match=r"^Place\.x: wrong"):
        place.fail(None)
    with pytest.raises(KeyError), ErrorsOf(place):
        raise KeyError("not of an argument")


@pytest.mark.parametrize("call", ["run(0)", "run_steps(0)", "trange(dt=1)"])
@pytest.mark.filterwarnings("default")
def test_warnings_point_at_the_line_of_the_caller(sim, call):
    with pytest.warns(Warning) as caught:
        eval(f"sim.{call}")
    assert {warning.filename for warning in caught} == {"<string>"}
