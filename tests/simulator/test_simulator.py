"""The interface of `nengo_dl.Simulator`: what it accepts, returns and refuses."""

import gc
import io
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import (
    ReadonlyError,
    SimulationError,
    SimulatorClosed,
    ValidationError,
)
from nengo.utils.progress import Progress, ProgressBar

import nengo_dl
from nengo_dl.support.progress import TextProgressBar
from tests import networks
from tests.networks import recorded


def mentions(*words):
    """Return a regular expression for messages that contain all of some words."""
    return "(?is)" + "".join(f"(?=.*{re.escape(word)})" for word in words)


def simulator(net, **kwargs):
    kwargs.setdefault("progress_bar", False)
    return nengo_dl.Simulator(net, **kwargs)


class Channel:
    """An input of two values, a spiking ensemble, and a probe of each."""

    def __init__(self, output=(0.25, -0.5)):
        with nengo.Network(seed=4) as self.net:
            self.stim = nengo.Node(output, label="stim")
            self.ens = nengo.Ensemble(10, 2, label="ens")
            self.sink = nengo.Node(size_in=2, label="sink")
            self.conn = nengo.Connection(self.stim, self.ens)
            nengo.Connection(self.ens, self.sink)
            self.stim_probe = nengo.Probe(self.stim)
            self.ens_probe = nengo.Probe(self.ens, synapse=0.01)


class Clock:
    """A Node that repeats the time, and calls something else first if asked to."""

    def __init__(self, size_in=0):
        self.times = []
        self.action = None

        def tick(t, x=None):
            self.times.append(t)
            return t if self.action is None else self.action(t)

        with nengo.Network(seed=0) as self.net:
            if size_in == 0:
                self.node = nengo.Node(lambda t: tick(t), size_out=1, label="clock")
            else:
                self.node = nengo.Node(
                    lambda t, x: tick(t, x), size_in=1, size_out=1, label="clock"
                )
                nengo.Connection(nengo.Node([0.5]), self.node, synapse=None)
            self.probe = nengo.Probe(self.node)

    def check(self, sim):
        """Assert that data and step count agree, and that no step is lost or new."""
        expected = sim.dt * np.arange(1, sim.n_steps + 1)
        # without any step, data is a flat empty array, as in core
        np.testing.assert_allclose(sim.data[self.probe].ravel(), expected, rtol=1e-6)
        np.testing.assert_allclose(sim.trange(), expected)
        assert sim.time == pytest.approx(sim.n_steps * sim.dt)


#: A Node without input runs before the device does, one with input in between.
both_kinds_of_node = pytest.mark.parametrize(
    "size_in", [0, 1], ids=["input node", "node with input"]
)


@pytest.fixture(scope="module")
def channel():
    """A network that tests do not change."""
    return Channel()


@pytest.fixture(scope="module")
def shared_sim(channel):
    """One open simulator for tests that reset it first."""
    with simulator(channel.net) as sim:
        yield sim


@pytest.fixture
def sim(shared_sim):
    shared_sim.reset(seed=0)
    return shared_sim


@pytest.fixture(scope="module")
def batch_sim(channel):
    with simulator(channel.net, minibatch_size=3) as sim:
        yield sim


# -- time


def test_run_advances_by_rounded_number_of_steps(sim):
    for seconds, n_steps in [(0.003, 3), (0.0016, 5), (0.0014, 6)]:
        sim.run(seconds)
        assert sim.n_steps == n_steps
        assert sim.time == pytest.approx(0.001 * n_steps)


def test_run_steps_and_step_advance(sim, channel):
    sim.run_steps(4)
    sim.step()
    sim.step()
    assert sim.n_steps == 6
    assert sim.time == pytest.approx(0.006)
    assert sim.data[channel.stim_probe].shape == (6, 2)


def test_steps_and_time_are_plain_numbers(sim):
    for n_steps in (0, 2):
        if n_steps:
            sim.run_steps(n_steps)
        assert np.isscalar(sim.n_steps)
        assert np.isscalar(sim.time)
        assert isinstance(sim.n_steps, int)
        assert isinstance(sim.time, float)


def test_time_step_is_configurable():
    clock = Clock()
    with simulator(clock.net, dt=0.0025) as sim:
        assert sim.dt == 0.0025
        sim.run(0.01)
        assert sim.n_steps == 4
        clock.check(sim)


@pytest.mark.parametrize("attribute", ["dt", "time", "n_steps"])
def test_clock_is_read_only(sim, attribute):
    with pytest.raises((ReadonlyError, AttributeError), match=attribute):
        setattr(sim, attribute, 1)


def test_trange_gives_the_times_of_samples(sim):
    assert sim.trange().shape == (0,)
    sim.run_steps(10)
    np.testing.assert_allclose(sim.trange(), 0.001 * np.arange(1, 11))
    np.testing.assert_allclose(
        sim.trange(sample_every=0.002), [2e-3, 4e-3, 6e-3, 8e-3, 1e-2]
    )
    np.testing.assert_allclose(sim.trange(sample_every=0.0045), [5e-3, 9e-3])


def test_run_of_zero_steps_warns_and_does_nothing(sim, channel):
    sim.run_steps(2)
    with pytest.warns(UserWarning, match="0 timesteps"):
        sim.run(0.0)
    with pytest.warns(UserWarning, match="0 timesteps"):
        sim.run(0.0004)
    assert sim.n_steps == 2
    assert len(sim.data[channel.stim_probe]) == 2


def test_negative_run_is_refused(sim):
    with pytest.raises(ValidationError, match=r"(?i)positive.*-0.5|-0.5.*positive"):
        sim.run(-0.5)
    with pytest.raises(ValidationError, match=mentions("steps", "-3")):
        sim.run_steps(-3)
    assert sim.n_steps == 0


# -- probe data


def test_repeated_runs_append_data(sim, channel):
    sim.run_steps(3)
    first = sim.data[channel.ens_probe].copy()
    sim.run_steps(2)
    assert sim.data[channel.ens_probe].shape == (5, 2)
    np.testing.assert_array_equal(sim.data[channel.ens_probe][:3], first)


def test_data_is_read_only(sim, channel):
    sim.run_steps(3)
    with pytest.raises(ValueError, match="read-only"):
        sim.data[channel.ens_probe][0, 0] = 1.0


def test_data_taken_before_does_not_change_later(sim, channel):
    sim.run_steps(3)
    before = sim.data[channel.ens_probe]
    values = before.copy()
    sim.run_steps(30)
    sim.reset()
    sim.run_steps(2, input_feeds={channel.stim: np.ones((1, 2, 2))})
    np.testing.assert_array_equal(before, values)


def test_data_is_a_mapping_of_the_objects_of_the_network(sim, channel):
    assert isinstance(sim.data, Mapping)
    objects = {channel.ens, channel.conn, channel.stim_probe, channel.ens_probe}
    assert objects <= set(sim.data)
    assert len(sim.data) == len(list(sim.data))
    assert set(sim.data.keys()) == set(sim.data)
    assert channel.ens in sim.data
    assert sim.data.get(channel.ens) is not None


def test_data_of_ensembles_and_connections_are_their_parameters(channel):
    with simulator(channel.net, dtype=tf.float64) as sim:
        data = {obj: sim.data[obj] for obj in (channel.ens, channel.conn)}
    with nengo.Simulator(channel.net, progress_bar=False) as core:
        expected = core.data[channel.ens]
        for name in ("encoders", "gain", "bias", "scaled_encoders", "eval_points",
                     "intercepts", "max_rates"):  # fmt: skip
            np.testing.assert_allclose(
                getattr(data[channel.ens], name), getattr(expected, name), err_msg=name
            )


def test_data_of_unknown_object_is_refused(sim):
    with nengo.Network():
        foreign = nengo.Ensemble(3, 1, label="foreigner")
    assert foreign not in sim.data
    with pytest.raises(KeyError, match=r"^SimulationData.data: <Ensemble 'foreigner'"):
        sim.data[foreign]


def test_clear_probes_forgets_data_but_not_the_time(sim, channel):
    sim.run_steps(3)
    sim.clear_probes()
    assert len(sim.data[channel.stim_probe]) == 0
    assert sim.n_steps == 3
    sim.run_steps(2)
    assert sim.data[channel.stim_probe].shape == (2, 2)


def test_probes_sample_as_often_as_asked():
    clock = Clock()
    with clock.net:
        probes = {
            period: nengo.Probe(clock.node, sample_every=period)
            for period in (0.001, 0.002, 0.0025, 0.0071, 0.05)
        }
    with simulator(clock.net) as sim:
        sim.run_steps(7)
        sim.run_steps(16)
        for period, probe in probes.items():
            np.testing.assert_allclose(
                sim.data[probe].ravel(), sim.trange(sample_every=period), rtol=1e-6
            )
        assert len(sim.data[probes[0.05]]) == 0
        assert len(sim.data[probes[0.0025]]) == 9


@pytest.mark.parametrize("minibatch_size", [None, 1, 3])
def test_data_has_a_batch_axis_if_there_is_a_minibatch(channel, minibatch_size):
    batch = () if minibatch_size is None else (minibatch_size,)
    with simulator(channel.net, minibatch_size=minibatch_size) as sim:
        assert sim.minibatch_size == minibatch_size
        assert sim.data[channel.ens_probe].shape[-1:] in [(0,), (2,)]
        sim.run_steps(4)
        sim.step()
        assert sim.data[channel.ens_probe].shape == (*batch, 5, 2)
        assert sim.data[channel.stim_probe].shape == (*batch, 5, 2)
        np.testing.assert_allclose(
            sim.data[channel.stim_probe],
            np.broadcast_to([0.25, -0.5], (*batch, 5, 2)),
        )
        assert not sim.data[channel.ens_probe].flags.writeable


# -- arguments


def rounding_error(**kwargs):
    """Return how far a decoded value is from that in double precision."""
    with nengo.Network(seed=0) as net:
        stim = nengo.Node(lambda t: np.sin(50 * t))
        ens = nengo.Ensemble(20, 1, neuron_type=nengo.LIFRate())
        nengo.Connection(stim, ens)
        probe = nengo.Probe(ens, synapse=nengo.Alpha(0.01))
    with nengo.Simulator(net, progress_bar=False) as core:
        core.run_steps(50)
    with simulator(net, jit_compile=True, **kwargs) as sim:
        sim.run_steps(50)
    # data has the precision that Nengo is set to, whatever it was computed with
    assert sim.data[probe].dtype == core.data[probe].dtype
    return np.max(np.abs(sim.data[probe] - core.data[probe]))


@pytest.mark.parametrize(
    "dtype", [tf.float64, "float64", np.float64, np.dtype("float64")], ids=repr
)
def test_double_precision_by_any_name(dtype):
    assert rounding_error(dtype=dtype) < 1e-13


@pytest.mark.parametrize(
    "kwargs",
    [{}, *({"dtype": dtype} for dtype in (tf.float32, "float32", np.float32))],
    ids=repr,
)
def test_single_precision_by_any_name_and_by_default(kwargs):
    assert 1e-10 < rounding_error(**kwargs) < 1e-4


@pytest.mark.parametrize(
    "dtype", [tf.int32, "int64", np.bool_, "complex64", "short", 7]
)
def test_dtype_that_is_not_floating_point_is_refused(channel, dtype):
    with pytest.raises(ValidationError, match=mentions("dtype", "float32", "float64")):
        simulator(channel.net, dtype=dtype)


@pytest.mark.parametrize("argument", ["unroll_simulation", "minibatch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", np.nan])
def test_count_that_is_not_a_positive_integer_is_refused(channel, argument, value):
    with pytest.raises(ValidationError, match=mentions(argument, str(value))):
        simulator(channel.net, **{argument: value})


@pytest.mark.parametrize("argument", ["unroll_simulation", "minibatch_size"])
def test_numpy_integers_are_integers(argument):
    clock = Clock()
    with simulator(clock.net, **{argument: np.int64(2)}) as sim:
        sim.run_steps(3)
        assert sim.n_steps == 3


@pytest.mark.parametrize("device", ["/gpu:7", "/cpu:99", "abacus"])
def test_unknown_device_is_refused_with_those_that_exist(channel, device):
    with pytest.raises(ValidationError, match=mentions(device, "cpu:0")):
        simulator(channel.net, device=device)


@pytest.mark.parametrize("device", [None, "/cpu:0", "/CPU:0"])
def test_known_device_is_used(device):
    clock = Clock()
    with simulator(clock.net, device=device) as sim:
        sim.run_steps(3)
        clock.check(sim)


def test_tensorboard_directory_is_accepted(tmp_path):
    clock = Clock()
    with simulator(clock.net, tensorboard=str(tmp_path / "logs")) as sim:
        sim.run_steps(3)
        clock.check(sim)


@pytest.mark.parametrize("minibatch_size", [None, 2])
def test_network_with_nothing_to_run_counts_steps(minibatch_size):
    with simulator(nengo.Network(), minibatch_size=minibatch_size) as sim:
        sim.run_steps(5)
        sim.step()
        assert sim.n_steps == 6
        assert sim.time == pytest.approx(0.006)
        sim.reset()
        assert sim.n_steps == 0


def test_network_without_probes_runs():
    with nengo.Network() as net:
        ens = nengo.Ensemble(5, 1)
        nengo.Connection(ens, ens)
    with simulator(net) as sim:
        sim.run_steps(5)
        assert sim.n_steps == 5


def test_prebuilt_model_runs_without_network(channel):
    model = nengo.builder.Model(dt=0.002)
    model.build(channel.net)
    with simulator(None, model=model) as sim:
        assert sim.model is model
        assert sim.dt == 0.002
        sim.run(0.01)
        assert sim.data[channel.ens_probe].shape == (5, 2)


def test_network_is_built_into_a_given_model(channel):
    model = nengo.builder.Model(dt=0.001, label="mine")
    with simulator(channel.net, model=model) as sim:
        assert sim.model is model
        assert channel.ens in model.params
        sim.run_steps(2)
        assert sim.data[channel.stim_probe].shape == (2, 2)


def test_neither_network_nor_model_is_refused():
    with pytest.raises(ValidationError, match=mentions("network", "model")):
        simulator(None)


def test_model_and_operators_are_those_of_core(sim, channel):
    assert isinstance(sim.model, nengo.builder.Model)
    assert sim.model.toplevel is channel.net
    assert set(sim.step_order) <= set(sim.model.operators)
    with nengo.Simulator(channel.net, optimize=False, progress_bar=False) as core:
        assert sorted(type(op).__name__ for op in sim.step_order) == sorted(
            type(op).__name__ for op in core.step_order
        )


def test_signals_give_current_state():
    channel = Channel()
    with channel.net:
        voltage = nengo.Probe(channel.ens.neurons, "voltage")
    with simulator(channel.net) as sim:
        assert isinstance(sim.signals, Mapping)
        for n_steps in (1, 4):
            sim.run_steps(n_steps)
            assert sim.signals[sim.model.step] == sim.n_steps
            assert sim.signals[sim.model.time] == pytest.approx(sim.time)
            state = sim.signals[sim.model.sig[channel.ens.neurons]["voltage"]]
            np.testing.assert_allclose(np.squeeze(state), sim.data[voltage][-1])


# -- seeds


def test_seed_follows_that_of_the_network():
    with simulator(nengo.Network(seed=5)) as sim:
        assert sim.seed == 6
    with simulator(nengo.Network(seed=5), seed=3) as sim:
        assert sim.seed == 3


def test_seed_is_random_without_any():
    with simulator(nengo.Network()) as first, simulator(nengo.Network()) as second:
        assert first.seed != second.seed


def test_reset_changes_the_seed_for_good(sim):
    sim.reset(seed=17)
    assert sim.seed == 17
    sim.reset()
    assert sim.seed == 17


# -- opening and closing


def test_closed_simulator_does_nothing_but_show_data(channel):
    with simulator(channel.net) as sim:
        assert not sim.closed
        sim.run_steps(3)
        data = sim.data[channel.ens_probe].copy()
    assert sim.closed
    for method in (
        lambda: sim.run(0.001),
        lambda: sim.run_steps(1),
        sim.step,
        sim.reset,
        sim.soft_reset,
        sim.__enter__,
    ):
        with pytest.raises(SimulatorClosed, match=r"(?i)closed"):
            method()
    np.testing.assert_array_equal(sim.data[channel.ens_probe], data)
    assert sim.data[channel.ens].encoders.shape == (10, 2)
    np.testing.assert_allclose(sim.trange(), [0.001, 0.002, 0.003])
    assert sim.n_steps == 3
    sim.close()
    assert sim.closed


def test_context_closes_simulator_when_an_error_leaves_it():
    with pytest.raises(ZeroDivisionError), simulator(nengo.Network()) as sim:
        raise ZeroDivisionError
    assert sim.closed


def test_forgotten_simulator_warns():
    sim = simulator(nengo.Network())
    with pytest.warns(ResourceWarning, match="deallocated while open"):
        del sim
        gc.collect()


def test_failed_construction_does_not_warn_of_open_simulator(recwarn):
    with pytest.raises(ValidationError, match="minibatch_size"):
        simulator(nengo.Network(), minibatch_size=0)
    gc.collect()
    assert not [w for w in recwarn if issubclass(w.category, ResourceWarning)]


def test_simulators_work_within_each_others_contexts():
    outer_clock, inner_clock = Clock(), Clock()
    with simulator(outer_clock.net) as outer:
        outer.run_steps(2)
        with simulator(inner_clock.net) as inner:
            inner.run_steps(3)
            outer.run_steps(2)
            inner.run_steps(1)
        outer.run_steps(1)
        assert (outer.n_steps, inner.n_steps) == (5, 4)
        outer_clock.check(outer)
        inner_clock.check(inner)


def test_simulator_runs_within_the_context_of_cores():
    clock = Clock()
    with nengo.Simulator(clock.net, progress_bar=False) as core:
        with simulator(clock.net) as sim:
            core.run_steps(2)
            sim.run_steps(3)
            clock.check(sim)


def test_two_simulators_of_one_network_have_their_own_data(channel):
    with simulator(channel.net) as first, simulator(channel.net) as second:
        first.run_steps(4)
        assert len(second.data[channel.ens_probe]) == 0
        second.run_steps(2)
        first.close()
        second.run_steps(1)
        assert second.data[channel.ens_probe].shape == (3, 2)
        np.testing.assert_allclose(
            second.data[channel.ens_probe], first.data[channel.ens_probe][:3]
        )


@pytest.mark.parametrize("minibatch_size", [None, 2])
@pytest.mark.parametrize("name", ["everything", "python_in_the_loop"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unpickled_simulator_resumes_identically(name, minibatch_size):
    case = getattr(networks, name)()
    with simulator(case.net, seed=2, minibatch_size=minibatch_size) as sim:
        before = recorded(sim, case, 17)
        pickled = pickle.dumps(sim)
        after = recorded(sim, case, 13)
        probes = list(sim.model.probes)
    with pickle.loads(pickled) as copy:
        assert (copy.n_steps, copy.seed, copy.closed) == (17, 2, False)
        assert (copy.minibatch_size, copy.dt) == (minibatch_size, sim.dt)
        twins = dict(zip(probes, copy.model.probes, strict=True))
        for probe, data in zip(case.probes, before, strict=True):
            np.testing.assert_array_equal(copy.data[twins[probe]], data)
        copy.run_steps(13)
        for probe, data in zip(case.probes, after, strict=True):
            np.testing.assert_array_equal(copy.data[twins[probe]], data)


def test_closed_simulator_is_unpickled_closed():
    with nengo.Network(seed=1) as net:
        nengo.Probe(nengo.Node([1.0]))
    with simulator(net) as sim:
        sim.run_steps(3)
    copy = pickle.loads(pickle.dumps(sim))
    assert copy.closed
    (probe,) = copy.model.probes
    assert copy.data[probe].shape == (3, 1)


# -- progress


class RecordingBar(ProgressBar):
    """Remembers what it was told."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.finished = []
        self.steps = []

    def update(self, progress):
        self.names.append(progress.name_during)
        self.steps.append((progress.n_steps, progress.max_steps))
        if progress.finished:
            self.finished.append(progress.name_during)


def test_progress_bar_object_is_told_of_build_and_run(channel):
    bar = RecordingBar()
    with simulator(channel.net, progress_bar=bar) as sim:
        assert "build" in " ".join(bar.names).lower()
        bar.names.clear()
        sim.run_steps(12)
        assert "simulat" in " ".join(bar.names).lower()
    assert bar.steps[-1] == (12, 12)


def test_progress_bar_of_a_run_replaces_that_of_the_simulator(sim):
    bar = RecordingBar()
    sim.run_steps(5, progress_bar=bar)
    assert bar.steps[-1] == (5, 5)
    n_updates = len(bar.steps)
    sim.run(0.002, progress_bar=bar)
    assert bar.steps[-1] == (2, 2)
    assert len(bar.steps) > n_updates
    n_updates = len(bar.steps)
    sim.run_steps(5, progress_bar=False)
    assert len(bar.steps) == n_updates


def test_progress_is_silent_if_switched_off(channel, capfd):
    with simulator(channel.net, progress_bar=False) as sim:
        sim.run_steps(3)
        sim.step()
    out, err = capfd.readouterr()
    assert not re.search("(?i)build|simulat|%", out + err)


def test_progress_is_shown_by_default_but_not_in_steps(channel, capfd):
    def shown(pattern):
        # a bar is drawn by a thread of its own, which a busy machine delays
        text, end = "", time.monotonic() + 10
        while not re.search(pattern, text) and time.monotonic() < end:
            text += "".join(capfd.readouterr())
        return text

    with nengo_dl.Simulator(channel.net) as sim:
        assert re.search("(?i)build", shown("(?i)build"))
        sim.step()
        out, err = capfd.readouterr()
        assert not re.search("(?i)simulat|%", out + err)
        sim.run_steps(3)
        assert re.search("(?i)simulat", shown("(?i)simulat"))


def test_progress_goes_to_the_standard_output_of_the_moment(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    bar = TextProgressBar()
    with Progress("Building", "Build") as progress:
        bar.update(progress)
    bar.close()
    assert "Building" in stream.getvalue()


# -- input_feeds


def test_input_feeds_replace_the_output_of_a_node_for_one_run(sim, channel):
    values = np.random.RandomState(0).uniform(-1, 1, size=(1, 4, 2))
    sim.run_steps(4, input_feeds={channel.stim: values})
    np.testing.assert_allclose(sim.data[channel.stim_probe], values[0], rtol=1e-6)
    sim.run_steps(1)
    np.testing.assert_allclose(sim.data[channel.stim_probe][-1], [0.25, -0.5])


def test_input_feeds_reach_what_the_node_is_connected_to(channel):
    values = np.random.RandomState(1).uniform(-1, 1, size=(1, 20, 2))
    replayed = Channel(lambda t: values[0, min(round(t / 0.001), 20) - 1])
    with nengo.Simulator(
        replayed.net, seed=0, optimize=False, progress_bar=False
    ) as core:
        core.run_steps(20)
    with simulator(channel.net, seed=0, dtype=tf.float64) as sim:
        sim.run_steps(20, input_feeds={channel.stim: values})
        np.testing.assert_allclose(
            sim.data[channel.ens_probe],
            core.data[replayed.ens_probe],
            rtol=1e-9,
            atol=1e-10,
        )


def test_input_feeds_have_one_entry_per_item(batch_sim, channel):
    batch_sim.reset()
    values = np.random.RandomState(2).uniform(-1, 1, size=(3, 4, 2))
    batch_sim.run_steps(4, input_feeds={channel.stim: values})
    np.testing.assert_allclose(batch_sim.data[channel.stim_probe], values, rtol=1e-6)


def test_input_feeds_of_one_item_are_for_all(batch_sim, channel):
    batch_sim.reset()
    values = np.random.RandomState(3).uniform(-1, 1, size=(1, 4, 2))
    batch_sim.run_steps(4, input_feeds={channel.stim: values})
    np.testing.assert_allclose(
        batch_sim.data[channel.stim_probe], np.repeat(values, 3, axis=0), rtol=1e-6
    )


def test_input_feeds_are_accepted_by_every_way_to_run(sim, channel):
    for n_steps, run in [
        (2, lambda **kwargs: sim.run_steps(2, **kwargs)),
        (3, lambda **kwargs: sim.run(0.003, **kwargs)),
        (1, lambda **kwargs: sim.step(**kwargs)),
    ]:
        values = np.full((1, n_steps, 2), float(n_steps))
        run(input_feeds={channel.stim: values})
        np.testing.assert_array_equal(
            sim.data[channel.stim_probe][-n_steps:], values[0]
        )


def test_input_feeds_are_not_kept_by_reference(sim, channel):
    values = np.ones((1, 3, 2))
    sim.run_steps(3, input_feeds={channel.stim: values})
    values[...] = 7
    np.testing.assert_array_equal(sim.data[channel.stim_probe], np.ones((3, 2)))


@pytest.mark.parametrize(
    "output",
    [lambda t: [t, t], nengo.processes.WhiteNoise(seed=1), [1.0, 2.0], None],
    ids=["function", "process", "constant", "passthrough"],
)
def test_input_feeds_replace_every_kind_of_input_node(output):
    with nengo.Network() as net:
        if output is None:
            node = nengo.Node(size_in=2)
        else:
            node = nengo.Node(output, size_out=2)
        probe = nengo.Probe(node)
    values = np.arange(6.0).reshape(1, 3, 2)
    with simulator(net) as sim:
        sim.run_steps(3, input_feeds={node: values})
    np.testing.assert_array_equal(sim.data[probe], values[0])


def test_input_feeds_may_be_nan(sim, channel):
    values = np.array([[[np.nan, 1.0], [0.5, np.nan]]])
    sim.run_steps(2, input_feeds={channel.stim: values})
    np.testing.assert_array_equal(sim.data[channel.stim_probe], values[0])


@pytest.mark.parametrize("kind", ["ens", "sink", "stim_probe", "foreign", "text"])
def test_input_feeds_of_anything_but_input_nodes_are_refused(sim, channel, kind):
    with nengo.Network():
        foreign = nengo.Node([0.0, 0.0], label="foreign")
    key = {"foreign": foreign, "text": "text"}.get(kind) or getattr(channel, kind)
    with pytest.raises(
        ValidationError,
        match=mentions("input_feeds", "node", getattr(key, "label", None) or ""),
    ):
        sim.run_steps(3, input_feeds={key: np.zeros((1, 3, 2))})
    assert sim.n_steps == 0


@pytest.mark.parametrize(
    "shape",
    [(3, 2), (1, 1, 3, 2), (2, 3, 2), (1, 4, 2), (1, 2, 2), (1, 3, 1), (0, 3, 2)],
    ids=repr,
)
def test_input_feeds_of_wrong_shape_are_refused(sim, channel, shape):
    with pytest.raises(
        ValidationError, match=mentions("stim", "shape", str(shape), "(1, 3, 2)")
    ):
        sim.run_steps(3, input_feeds={channel.stim: np.zeros(shape)})
    assert sim.n_steps == 0


def test_input_feeds_of_wrong_batch_are_refused(batch_sim, channel):
    batch_sim.reset()
    with pytest.raises(
        ValidationError, match=mentions("stim", "(2, 4, 2)", "(3, 4, 2)")
    ):
        batch_sim.run_steps(4, input_feeds={channel.stim: np.zeros((2, 4, 2))})
    assert batch_sim.n_steps == 0


@pytest.mark.parametrize(
    "values",
    [
        np.full((1, 3, 2), "a"),
        np.full((1, 3, 2), None),
        np.full((1, 3, 2), 1j),
        [[[1, 2], [3], [4, 5]]],
        "noise",
        None,
    ],
    ids=["text", "objects", "complex", "ragged", "a word", "None"],
)
def test_input_feeds_that_are_not_numbers_are_refused(sim, channel, values):
    with pytest.raises(ValidationError, match=mentions("input_feeds", "stim")):
        sim.run_steps(3, input_feeds={channel.stim: values})
    assert sim.n_steps == 0


def test_input_feeds_that_are_no_dictionary_are_refused(sim):
    with pytest.raises(ValidationError, match=mentions("input_feeds", "dict")):
        sim.run_steps(3, input_feeds=np.zeros((1, 3, 2)))


# -- Python functions in Nodes


@both_kinds_of_node
def test_node_function_is_called_once_per_step_with_the_time(size_in):
    clock = Clock(size_in)
    clock.times.clear()
    with simulator(clock.net, dtype=tf.float64) as sim:
        assert clock.times == []
        sim.run_steps(5)
        sim.run_steps(2)
        assert all(type(t) is float for t in clock.times)
        assert clock.times[:7] == [0.001 * step for step in range(1, 8)]
        clock.check(sim)


def test_node_function_without_connections_is_called():
    times = []
    with nengo.Network() as net:
        nengo.Node(lambda t: times.append(t))
    times.clear()
    with simulator(net) as sim:
        sim.run_steps(4)
    np.testing.assert_allclose(times[:4], [0.001, 0.002, 0.003, 0.004])


def test_node_function_with_input_is_called_for_each_item():
    calls = []

    def function(t, x):
        calls.append((t, x))
        result = 2 * x
        x[...] = np.nan  # its own copy
        return result

    with nengo.Network() as net:
        stim = nengo.Node([0.0, 0.0])
        node = nengo.Node(function, size_in=2)
        nengo.Connection(stim, node, synapse=None)
        stim_probe, node_probe = nengo.Probe(stim), nengo.Probe(node)
    calls.clear()
    values = np.arange(12.0).reshape(2, 3, 2)
    with simulator(net, minibatch_size=2, dtype=tf.float64) as sim:
        sim.run_steps(3, input_feeds={stim: values})
        np.testing.assert_array_equal(sim.data[stim_probe], values)
        np.testing.assert_array_equal(sim.data[node_probe], 2 * values)
    assert len(calls) == 6
    assert all(type(t) is float and x.shape == (2,) for t, x in calls)
    assert len({id(x) for _, x in calls}) == 6
    assert not any(np.shares_memory(calls[0][1], x) for _, x in calls[1:])


def test_array_that_a_node_returns_again_and_again_is_copied():
    value = np.zeros(1)

    def function(t):
        value[...] = t
        return value

    with nengo.Network() as net:
        probe = nengo.Probe(nengo.Node(function, size_out=1))
    with simulator(net) as sim:
        sim.run_steps(4)
        np.testing.assert_allclose(sim.data[probe][:, 0], sim.trange(), rtol=1e-6)


def causes(error):
    """Yield an exception and all that it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@both_kinds_of_node
def test_exception_in_node_function_reaches_the_user_and_the_run_can_go_on(size_in):
    clock = Clock(size_in)
    error = LookupError("no such stimulus")

    def fail(t):
        if t > 0.0045:
            raise error
        return t

    with simulator(clock.net) as sim:
        sim.run_steps(2)
        clock.action = fail
        with pytest.raises(Exception, match="no such stimulus") as caught:
            sim.run_steps(6)
        assert any(cause is error for cause in causes(caught.value))
        assert 2 <= sim.n_steps <= 4
        clock.check(sim)
        clock.action = None
        sim.run_steps(5)
        clock.check(sim)
        sim.reset()
        sim.run_steps(3)
        clock.check(sim)


@both_kinds_of_node
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ["None"]),
        ([1.0, 2.0, 3.0], ["[1.0, 2.0, 3.0]"]),
        ("word", ["word"]),
        (object, ["type"]),
        (np.nan, ["finite"]),
        (np.inf, ["finite"]),
    ],
    ids=["None", "wrong shape", "text", "object", "NaN", "infinite"],
)
def test_bad_output_of_node_function_is_refused_by_name(size_in, value, words):
    clock = Clock(size_in)
    with simulator(clock.net) as sim:
        clock.action = lambda t: value if t > 0.0025 else t
        with pytest.raises(
            (SimulationError, ValidationError), match=mentions("clock", *words)
        ):
            sim.run_steps(5)
        assert sim.n_steps <= 2
        clock.check(sim)
        clock.action = None
        sim.run_steps(3)
        clock.check(sim)


# -- interruption


@both_kinds_of_node
def test_keyboard_interrupt_in_node_function_leaves_simulator_usable(size_in):
    clock = Clock(size_in)

    def interrupt(t):
        if t > 0.0105:
            raise KeyboardInterrupt
        return t

    with simulator(clock.net) as sim:
        sim.run_steps(4)
        clock.action = interrupt
        with pytest.raises(KeyboardInterrupt):
            sim.run_steps(50)
        assert 4 <= sim.n_steps <= 10
        clock.check(sim)
        clock.action = None
        sim.run_steps(3)
        clock.check(sim)


def test_ctrl_c_during_a_run_keeps_finished_chunks(interruptible):
    with nengo.Network(seed=0) as net:
        count = nengo.Node(size_in=1)
        nengo.Connection(nengo.Node([1.0]), count, synapse=None)
        nengo.Connection(count, count, synapse=0)  # counts steps on the device
        probe = nengo.Probe(count)
    n_steps = 20_000_000
    with simulator(net, dtype=tf.float64) as sim:
        for i in range(8):  # it may come at any moment within a chunk
            sim.run_steps(5)
            before = sim.n_steps
            timer = threading.Timer(
                0.1 + 0.013 * i, signal.raise_signal, [signal.SIGINT]
            )
            try:
                with pytest.raises(KeyboardInterrupt):
                    timer.start()
                    sim.run_steps(n_steps)
            finally:
                timer.cancel()
                timer.join()
            assert before <= sim.n_steps < before + n_steps
            assert sim.data[probe].shape == (sim.n_steps, 1)
        sim.run_steps(10)
        np.testing.assert_array_equal(
            sim.data[probe][:, 0], np.arange(1, sim.n_steps + 1)
        )


# -- state of the host


def noisy_network():
    with nengo.Network(seed=0) as net:
        noise = nengo.Node(nengo.processes.FilteredNoise(nengo.Alpha(0.01)), size_out=2)
        ens = nengo.Ensemble(
            10, 1, neuron_type=nengo.PoissonSpiking(nengo.LIFRate()), seed=1
        )
        nengo.Connection(noise[0], ens)
        net.probes_of_test = [nengo.Probe(noise), nengo.Probe(ens.neurons)]
    return net


@pytest.mark.parametrize("n_before", [0, 4])
@pytest.mark.parametrize("softly_reset", [False, True])
def test_unpickled_simulator_continues_all_random_streams(n_before, softly_reset):
    net = noisy_network()
    with simulator(net, dtype="float64") as sim:
        if n_before:
            sim.run_steps(n_before)
        if softly_reset:
            sim.soft_reset(include_probes=True)
        with pickle.loads(pickle.dumps(sim)) as copy:
            sim.run_steps(6)
            copy.run_steps(6)
            for ours, theirs in zip(sim.model.probes, copy.model.probes, strict=True):
                np.testing.assert_array_equal(sim.data[ours], copy.data[theirs])
            assert copy.n_steps == sim.n_steps


def test_failed_single_step_leaves_the_state_as_it_was():
    fail = [False]

    def function(t, x):
        if fail[0]:
            raise RuntimeError("no")
        return x

    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(10, 1)
        node = nengo.Node(function, size_in=1)
        nengo.Connection(ens, node, synapse=None)
        nengo.Probe(ens.neurons, "voltage")
    with simulator(net) as sim:
        voltage = sim.model.sig[ens.neurons]["voltage"]
        sim.run_steps(3)
        before = sim.signals[voltage]
        fail[0] = True
        with pytest.raises(SimulationError, match=r"at t=0\.004: no"):
            sim.step()
        np.testing.assert_array_equal(sim.signals[voltage], before)
        assert sim.n_steps == 3


def test_soft_reset_empties_filters_of_noise():
    net = noisy_network()
    probe = net.probes_of_test[0]
    with simulator(net, dtype="float64") as sim:
        sim.run_steps(50)
        sim.soft_reset(include_probes=True)
        sim.run_steps(1)
        after_reset = np.abs(sim.data[probe]).max()
    with simulator(net, dtype="float64") as sim:
        sim.run_steps(51)
        assert after_reset < 0.1 * np.abs(sim.data[probe][-10:]).max()


def test_signals_show_the_output_of_constant_nodes():
    with nengo.Network() as net:
        node = nengo.Node([0.25, 0.5])
        nengo.Probe(node)
    with simulator(net) as sim:
        np.testing.assert_array_equal(
            sim.signals[sim.model.sig[node]["out"]], [0.25, 0.5]
        )


def test_variables_have_other_values_during_a_run_only():
    variable = tf.Variable([1.0, 2.0])
    seen = []
    with nengo.Network() as net:
        nengo.Node(lambda t: seen.append(variable.numpy().tolist()))
    seen.clear()  # Nengo calls the function to find out what it returns
    with simulator(net) as sim:
        sim.run_steps(1, extra_feeds={variable.ref(): [3.0, 4.0]})
        sim.run_steps(1)
        with pytest.raises(ValidationError, match=r"shape \(2,\).*got \(3,\)"):
            sim.run_steps(1, extra_feeds={variable.ref(): np.zeros(3)})
        with pytest.raises(ValidationError, match=r"tf.Variable"):
            sim.run_steps(1, extra_feeds={"variable": np.zeros(2)})
    assert seen == [[3.0, 4.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"dt": 0}, r"dt: Must be a number of seconds above 0, .*\(got 0\)"),
        ({"dt": -0.001}, "above 0"),
        ({"dt": np.nan}, "above 0"),
        ({"dt": "1 ms"}, r"got '1 ms'"),
        ({"seed": 1.5}, r"seed: Must be an integer .*got 1\.5"),
        ({"seed": -1}, r"got -1"),
        ({"model": 5}, r"model: Must be a nengo.builder.Model \(got int\)"),
        ({"jit_compile": np.array([1, 2])}, "jit_compile: Must be None, True or False"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(arguments, match):
    with nengo.Network() as net:
        nengo.Node([0.0])
    with pytest.raises(ValidationError, match=match):
        simulator(net, **arguments)


@pytest.mark.parametrize("time", ["0.1", None, np.inf, np.nan, -1])
def test_times_that_are_none_are_refused(time):
    with nengo.Network() as net:
        nengo.Node([0.0])
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="positive number of seconds"):
            sim.run(time)
        with pytest.raises(ValidationError, match="sample_every"):
            sim.trange(sample_every=0)


def test_refused_seed_leaves_the_old_one():
    with nengo.Network(seed=3) as net:
        nengo.Node([0.0])
    with simulator(net) as sim:
        with pytest.raises(ValidationError, match="seed"):
            sim.reset(seed="x")
        assert sim.seed == 4
        sim.reset()
