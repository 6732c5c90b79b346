"""The notice about a first run that takes long to begin."""

import time

import nengo
import pytest

import nengo_dl
from nengo_dl.execution import slow_start
from nengo_dl.execution.slow_start import ShortRuns, SlowStart
from nengo_dl.simulator import running


def wait_for(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_notice_is_one_line_that_names_what_keeps_programs(monkeypatch):
    monkeypatch.setattr(slow_start, "where_kept", lambda: None)
    said = []
    start = SlowStart(0.0, said.append)
    with start.watched(True):
        assert wait_for(lambda: said)
    (line,) = said
    assert "compiling" in line and "nengo_dl.cache_compiled()" in line
    assert "\n" not in line


def test_notice_does_not_advise_what_is_done_already(monkeypatch, tmp_path):
    monkeypatch.setattr(slow_start, "where_kept", lambda: tmp_path)
    said = []
    with SlowStart(0.0, said.append).watched(True):
        assert wait_for(lambda: said)
    assert "cache_compiled" not in said[0]


def test_notice_is_given_once():
    said = []
    start = SlowStart(0.0, said.append)
    for _ in range(2):
        with start.watched(True):
            assert wait_for(lambda: said)
    time.sleep(0.02)
    assert len(said) == 1


@pytest.mark.parametrize("reason", ["hidden", "begun", "over"])
def test_no_notice(reason):
    said = []
    start = SlowStart(0.05, said.append)
    with start.watched(reason != "hidden") as has_begun:
        if reason == "begun":
            has_begun()
        if reason != "over":
            time.sleep(0.1)
    time.sleep(0.1)
    assert not said and not start.was_said


@pytest.mark.parametrize("progress_bar, expected", [(True, 1), (False, 0)])
def test_run_that_compiles_gives_notice(progress_bar, expected, monkeypatch):
    said = []
    monkeypatch.setattr(running, "SLOW_START", SlowStart(0.0, said.append))
    monkeypatch.setitem(nengo.rc["progress"], "progress_bar", "True")
    with nengo.Network(seed=0) as net:
        nengo.Probe(nengo.Ensemble(10, 1))
    nengo_dl.programs.clear()
    with nengo_dl.Simulator(net, jit_compile=True, progress_bar=progress_bar) as sim:
        sim.run_steps(2)
        assert len(said) == expected
        running.SLOW_START.was_said = False
        sim.run_steps(2)  # is compiled by now
    assert len(said) == expected


def test_many_short_runs_are_noticed_once(monkeypatch):
    said = []
    monkeypatch.setattr(running, "SHORT_RUNS", ShortRuns(2.0, said.append))
    with nengo.Network(seed=0) as net:
        ens = nengo.Ensemble(20, 1)
        nengo.Probe(ens)
    with nengo_dl.Simulator(net) as sim:
        choice = sim._session.executors
        n_steps = int(0.9 * choice.compile_seconds / choice.numpy.estimated_seconds)
        for trial in range(6):
            sim.run_steps(n_steps)
            assert bool(said) == (trial > 1)
            sim.reset()
        assert not sim._session.compiled.is_warm
    (line,) = said
    assert "jit_compile=True" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "changed, is_noticed",
    [({"seed": 1}, True), ({"tau": 0.2}, False), ({"n_neurons": 30}, False)],
    ids=str,
)
def test_short_runs_of_equal_networks_count_together(changed, is_noticed, monkeypatch):
    said = []
    monkeypatch.setattr(running, "SHORT_RUNS", ShortRuns(1.5, said.append))

    def run(seed=0, tau=0.1, n_neurons=20):
        with nengo.Network(seed=seed) as net:
            nengo.Probe(nengo.Ensemble(n_neurons, 1), synapse=tau)
        with nengo_dl.Simulator(net) as sim:
            choice = sim._session.executors
            seconds = choice.numpy.estimated_seconds
            sim.run_steps(int(0.9 * choice.compile_seconds / seconds))

    run()
    assert not said
    run(**changed)
    assert bool(said) == is_noticed


@pytest.mark.parametrize("reason", ["silent", "compiled", "callbacks"])
def test_short_runs_are_not_noticed(reason, monkeypatch):
    said = []
    monkeypatch.setattr(running, "SHORT_RUNS", ShortRuns(0.0, said.append))
    with nengo.Network(seed=0) as net:
        function = (lambda t, x: x) if reason == "callbacks" else None
        nengo.Probe(nengo.Node(function, size_in=1))
    options = {
        "silent": {"progress_bar": False},
        "compiled": {"jit_compile": True},
        "callbacks": {},
    }
    with nengo_dl.Simulator(net, **options[reason]) as sim:
        sim.run_steps(20)
    assert not said
