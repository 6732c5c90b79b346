"""The interface of the older library's version 3, beyond compile and fit."""

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ConfigError, ValidationError

import nengo_dl
from nengo_dl.training.gradient_arguments import gradient_arguments


@pytest.fixture
def net():
    with nengo.Network(seed=0) as net:
        net.node, out = nengo.Node([1.0]), nengo.Node(size_in=1)
        net.conn = nengo.Connection(net.node, out, transform=0.5, synapse=None)
        net.probe, net.copy = nengo.Probe(out), nengo.Probe(out)
    return net


def simulator(net, **kwargs):
    return nengo_dl.Simulator(net, progress_bar=False, minibatch_size=2, **kwargs)


X = np.ones((2, 1, 1))


def test_objects_without_labels_have_names(net):
    with net:
        second = nengo.Node([2.0])
        shown = nengo.Probe(second)
    with simulator(net) as sim:
        sim.run_steps(1, data={"node_1": 5 * X, "node": X})
        assert (sim.data[shown] == 5).all()
        assert sim.data["probe_2"] is sim.data[shown]
        assert "probe_2" in sim.data and "probe_3" not in sim.data
        assert sim.loss({"node": X}, {"probe": 0 * X}) == pytest.approx(0.25)
        assert sim.loss({"node": X, "probe_1": 0 * X}) == pytest.approx(0.25)
        with pytest.raises(ValidationError, match="'node_2' is not an input node"):
            sim.run_steps(1, data={"node_2": X})


def test_labels_come_before_names(net):
    net.copy.label = "probe"
    with simulator(net) as sim:
        sim.run_steps(1)
        assert sim.data["probe"] is sim.data[net.copy]


def test_losses_are_the_objectives(net):
    target = np.array([[[np.nan]], [[1.0]]])
    loss = {net.probe: nengo_dl.losses.nan_mse}
    with simulator(net) as sim:
        expected = sim.loss(X, {net.probe: target})
        assert expected == pytest.approx(0.125)
        assert sim.loss(X, {net.probe: target}, loss) == expected
        sim.compile("sgd", loss)
        found = sim.evaluate(X, {net.probe: target}, verbose=0)
        assert found["loss"] == expected
        sim.compile("sgd", loss, loss_weights={net.probe: 2})
        full = {net.probe: 0 * X}
        assert sim.evaluate(X, full, verbose=0)["loss"] == pytest.approx(0.5)


def test_regularize_needs_no_target(net):
    size = nengo_dl.losses.Regularize(order=1, weight=2)
    with simulator(net) as sim:
        sim.compile("sgd", {"probe": "mse", "probe_1": size})
        found = sim.evaluate(X, {"probe": 0 * X}, verbose=0)
        assert found["loss"] == pytest.approx(0.25 + 2 * 0.5)
        assert sim.loss(X, None, {net.probe: size}) == pytest.approx(1)
        weights = {"probe": 1, "probe_1": 3}
        sim.compile("sgd", {"probe": "mse", "probe_1": size}, weights)
        found = sim.evaluate(X, {"probe": 0 * X}, verbose=0)
        assert found["loss"] == pytest.approx(0.25 + 3 * 2 * 0.5)
    again = nengo_dl.losses.Regularize.from_config(size.get_config())
    assert again.objective == size.objective
    with pytest.raises(ValidationError, match="order: Must be 'euclidean'"):
        nengo_dl.losses.Regularize(order=0)


def test_nengo_summaries_record_parameters_after_each_epoch(net, tmp_path):
    with simulator(net) as sim:
        recorded = []
        callback = nengo_dl.callbacks.NengoSummaries(tmp_path, sim, [net.conn, "loss"])
        callback.board.histogram = lambda tag, value, step: recorded.append(
            (step, float(np.ravel(value)[0]))
        )
        sim.compile(keras.optimizers.SGD(0.1), {net.probe: "mse"})
        y = {net.probe: 2 * X}
        sim.fit(X, y, epochs=2, verbose=0, callbacks=[callback])
        assert [step for step, _ in recorded] == [0, 1]
        assert recorded[1][1] == float(np.ravel(sim.data[net.conn].weights)[0])
        assert recorded[0][1] != recorded[1][1]
        assert list((tmp_path / "run_0").iterdir())
        with pytest.raises(ValidationError, match="log_dir: Must be the name of a fol"):
            nengo_dl.callbacks.NengoSummaries(None, sim, [net.conn])


def test_isolate_state_is_accepted_for_its_own_simulator(net):
    with simulator(net) as sim, simulator(net) as other:
        sim.compile("sgd", {net.probe: "mse"})
        y = {net.probe: X}
        sim.run_steps(3)
        callback = nengo_dl.callbacks.IsolateState(sim)
        sim.fit(X, y, verbose=0, callbacks=[callback], validation_data=(X, y))
        assert sim.n_steps == 3
        with pytest.raises(ValidationError, match="sim: IsolateState was made for ano"):
            callback = nengo_dl.callbacks.IsolateState(other)
            sim.fit(X, y, verbose=0, callbacks=[callback])


def test_tensorboard_profiles_predictions(net, tmp_path, monkeypatch):
    calls = []
    profiler = nengo_dl.callbacks.tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda folder: calls.append(folder))
    monkeypatch.setattr(profiler, "stop", lambda: calls.append("stop"))
    with simulator(net) as sim:
        for batches in (2, (2, 9), "2,2"):
            callback = nengo_dl.callbacks.TensorBoard(tmp_path, profile_batch=batches)
            sim.predict(np.ones((6, 1, 1)), callbacks=[callback])
            assert calls == [str(tmp_path / "predict"), "stop"]
            calls.clear()


@pytest.mark.parametrize(
    "given, named, expected",
    [
        ((None,), {}, (None, None, 1e-5, 1e-3)),
        ((["p"], 1, 2), {}, (None, ["p"], 1, 2)),
        (({"n": 0}, ["p"], 1, 2), {}, ({"n": 0}, ["p"], 1, 2)),
        (({"n": 0}, ["p"]), {"atol": 3}, ({"n": 0}, ["p"], 3, 1e-3)),
        ((None, ["p"]), {"rtol": 3}, (None, ["p"], 1e-5, 3)),
        ((7, ["p"]), {}, (7, ["p"], 1e-5, 1e-3)),
        (("p",), {"inputs": 4}, (4, "p", 1e-5, 1e-3)),
    ],
)
def test_forms_of_check_gradients(given, named, expected):
    named = {"inputs": None, "atol": None, "rtol": None, **named}
    assert gradient_arguments(given, **named) == expected


@pytest.mark.parametrize(
    "given, named, message",
    [
        (({}, ["p"]), {"inputs": 3}, "inputs twice"),
        ((["p"], 1), {"atol": 3}, "atol twice"),
        ((["p"], 1, 2, 3), {}, "there are 1 more"),
    ],
)
def test_wrong_forms_of_check_gradients(given, named, message):
    named = {"inputs": None, "atol": None, "rtol": None, **named}
    with pytest.raises(TypeError, match=message):
        gradient_arguments(given, **named)


def test_inputs_may_come_first_in_check_gradients(net):
    with simulator(net, dtype="float64") as sim:
        found = sim.check_gradients({net.node: X}, [net.probe], atol=1e-4)
        assert 0 < found.n_entries


@pytest.mark.parametrize(
    "name, hint",
    [
        ("use_loop", "use_loop: leave it out, a single step"),
        ("learning_phase", r"learning_phase: leave it out.*training=True"),
        ("sorter", "sorter: planner decides"),
        ("session_config", "no sessions in TensorFlow 2"),
    ],
)
def test_settings_that_are_gone_are_a_hint(name, hint):
    with nengo.Network(), pytest.raises(ConfigError, match=hint):
        nengo_dl.configure_settings(**{name: False})
