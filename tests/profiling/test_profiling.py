"""Profiles of runs and of training: Chrome traces with the names of objects."""

import json
import os

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.profiling import timeline, xplane


def network():
    with nengo.Network(seed=0) as net:
        net.stim = nengo.Node([0.5], label="stim")
        net.ens = nengo.Ensemble(20, 1, label="cells")
        nengo.Connection(net.stim, net.ens)
        net.probe = nengo.Probe(net.ens, synapse=0.01)
    return net


def simulator(net=None, **kwargs):
    return nengo_dl.Simulator(net or network(), progress_bar=False, **kwargs)


def read_trace(path):
    """The events of a trace, after checks of what viewers rely on."""
    trace = json.loads(path.read_text(encoding="utf-8"))
    metadata = [e for e in trace["traceEvents"] if e["ph"] == "M"]
    events = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len(metadata) + len(events) == len(trace["traceEvents"])
    names = {(e["name"], e["pid"], e["tid"]) for e in metadata}
    assert all(e["args"]["name"] for e in metadata)
    for event in events:
        assert isinstance(event["name"], str) and event["name"]
        assert event["ts"] >= 0 and event["dur"] >= 0
        assert ("process_name", event["pid"], 0) in names
        assert ("thread_name", event["pid"], event["tid"]) in names
    assert min(e["ts"] for e in events) == 0
    open_ends = {}
    for event in events:  # lie within each other, or apart
        ends = open_ends.setdefault(event["tid"], [])
        while ends and ends[-1] <= event["ts"] + 1e-5:
            ends.pop()
        end = event["ts"] + event["dur"]
        assert not ends or end <= ends[-1] + 1e-5, event
        ends.append(end)
    return events


# -- whole simulations


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A simulator, a trace of 50 steps, and the data with and without a profile."""
    path = tmp_path_factory.mktemp("profile") / "trace.json"
    net = network()
    with simulator(net, jit_compile=True) as sim:
        sim.run_steps(50)
        plain = np.array(sim.data[net.probe])
    with simulator(net) as sim:
        sim.run_steps(50, profile={"path": path})
        yield sim, net, path, plain


def test_run_with_a_profile_gives_the_same_data(profiled):
    sim, net, _, plain = profiled
    assert np.array_equal(sim.data[net.probe], plain)


def test_trace_shows_kernels_named_after_objects(profiled):
    events = read_trace(profiled[2])
    kernels = [e for e in events if e["cat"] == "kernel"]
    for name in ("LIF.cells", "weights.cells->probe0"):
        assert sum(e["name"].startswith(name) for e in kernels) >= 50, name
    assert all(e["args"]["kernel"] for e in kernels)


def test_trace_shows_what_surrounds_the_kernels(profiled):
    names = {e["name"] for e in read_trace(profiled[2])}
    assert any("Execut" in name for name in names)  # TensorFlow's
    assert "nengo_dl: inputs of a chunk (Python)" in names


def test_profile_goes_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with simulator(jit_compile=False) as sim:
        sim.run(0.002, profile=True)
    assert os.listdir(tmp_path) == ["nengo_dl_profile.json_-1"]
    events = read_trace(tmp_path / "nengo_dl_profile.json_-1")
    assert any("LIF.cells/" in e["name"] for e in events if e["cat"] == "op")


def test_single_step_is_profiled_as_compiled(tmp_path, profiled):
    sim = profiled[0]
    sim.step(profile={"path": tmp_path / "trace"})
    events = read_trace(tmp_path / "trace")
    assert any(e["name"].startswith("LIF.cells") for e in events)


def test_python_of_the_model_shows_under_its_name(tmp_path):
    with nengo.Network() as net:
        a, b = nengo.Node([1.0]), nengo.Node(lambda t, x: x, size_in=1, label="control")
        nengo.Connection(a, b)
    with simulator(net, jit_compile=False) as sim:
        sim.run_steps(7, profile={"path": tmp_path / "trace"})
    events = read_trace(tmp_path / "trace")
    assert sum("control/" in e["name"] for e in events) >= 7


def test_table_is_printed_on_request(tmp_path, capsys, profiled):
    sim, path = profiled[0], tmp_path / "trace"
    sim.run_steps(20, profile={"path": path})
    assert capsys.readouterr().out == ""
    sim.run_steps(20, profile={"path": path, "table": True})
    lines = capsys.readouterr().out.splitlines()
    assert "ms" in lines[0] and "share" in lines[0]
    assert any(line.startswith("LIF.cells ") for line in lines)
    shares = [float(line.split("%")[0].split()[-1]) for line in lines[1:]]
    assert sum(shares) == pytest.approx(100, abs=2)


def test_training_is_profiled(tmp_path):
    net = network()
    data = np.ones((4, 5, 1))
    with simulator(net, minibatch_size=2) as sim:
        options = {"path": tmp_path / "trace", "host_tracer_level": 2}
        history = sim.train(data, data, "sgd", profile=options)
    assert len(history.batch_losses) == 2
    events = read_trace(tmp_path / "trace")
    kernels = {e["name"] for e in events if e["cat"] == "kernel"}
    assert any("LIF.cells" in name for name in kernels), kernels


# -- what can go wrong


@pytest.mark.parametrize(
    "profile, message",
    [
        ({"hosts": 2}, "no option 'hosts'; the options are path, table, host_tracer"),
        ("trace.json", "True, False, or a dict.*got str"),
        (3, "True, False, or a dict.*got int"),
        ({"table": "yes"}, "'table' must be True or False.*'yes'"),
        ({"host_tracer_level": -1}, "'host_tracer_level' must be an integer.*-1"),
        ({"host_tracer_level": None}, "'host_tracer_level' must be an integer.*None"),
        ({"delay_ms": "1"}, "'delay_ms' must be an integer"),
        ({"path": 3}, "'path' must be the name of a file.*3"),
        ({"path": ""}, "'path' must be the name of a file"),
    ],
)
def test_wrong_options_are_refused(profiled, profile, message):
    sim = profiled[0]
    before = sim.n_steps
    with pytest.raises(ValidationError, match=message):
        sim.run_steps(5, profile=profile)
    with pytest.raises(ValidationError, match=message):
        sim.train(5, np.ones((1, 5, 1)), "sgd", profile=profile)
    assert sim.n_steps == before


def test_missing_folder_is_refused_before_the_run(tmp_path, profiled):
    sim = profiled[0]
    before = sim.n_steps
    with pytest.raises(ValidationError, match=r"no folder.*missing.*make it first"):
        sim.run_steps(5, profile={"path": tmp_path / "missing" / "trace.json"})
    with pytest.raises(ValidationError, match="is a folder"):
        sim.run_steps(5, profile={"path": tmp_path})
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match="no folder"):
        sim.run_steps(5, profile={"path": tmp_path / "file" / "trace.json"})
    assert sim.n_steps == before
    sim.run_steps(5)
    assert sim.n_steps == before + 5


def test_profiler_in_use_is_reported(tmp_path, profiled):
    sim = profiled[0]
    path = tmp_path / "trace"
    tf.profiler.experimental.start(str(tmp_path / "logs"))
    try:
        with pytest.raises(SimulationError, match="profiler is recording already"):
            sim.run_steps(5, profile={"path": path})
    finally:
        tf.profiler.experimental.stop(save=False)
    sim.run_steps(5, profile={"path": path})
    assert path.exists()


def test_failed_run_leaves_no_profile_and_no_profiler(tmp_path):
    with nengo.Network() as net:
        node = nengo.Node(lambda t: 1 / 0 if t > 0.0025 else t)
        probe = nengo.Probe(node)
    with simulator(net) as sim:
        with pytest.raises(SimulationError, match="division by zero"):
            sim.run_steps(5, profile={"path": tmp_path / "trace"})
        assert os.listdir(tmp_path) == []
        assert len(sim.data[probe]) == 2
        sim.soft_reset()
        sim.run_steps(2, profile={"path": tmp_path / "trace"})
        assert os.listdir(tmp_path) == ["trace"]


def test_running_for_no_steps_writes_no_profile(tmp_path, profiled):
    with pytest.warns(UserWarning, match="0 timesteps"):
        profiled[0].run_steps(0, profile={"path": tmp_path / "trace"})
    assert os.listdir(tmp_path) == []


# -- timelines


def make_space(events, programs=()):
    """A profile of one thread: names, starts and durations in nanoseconds."""
    space = xplane.read_space(b"")
    host = space.planes.add(name="/host:CPU")
    host.stats.add(key=1).value.name = "program_id"
    line = host.lines.add(name="main/77", timestamp_ns=5000)
    names = list(dict.fromkeys(name for name, *_ in events))
    for number, name in enumerate(names, 1):
        host.events.add(key=number).value.name = name
    for name, start, duration, *program in events:
        event = line.events.add(
            metadata_id=names.index(name) + 1,
            offset_ps=start * 1000,
            duration_ps=duration * 1000,
        )
        for number in program:
            event.stats.add(metadata_id=1, int64_value=number)
    metadata = space.planes.add(name="/host:metadata")
    for number, instructions in programs:
        program = xplane._message_classes()["HloProto"]()
        computation = program.module.computations.add(name="main", id=1)
        for name, opcode, scope in instructions:
            instruction = computation.instructions.add(name=name, opcode=opcode)
            instruction.metadata.op_name = scope
        entry = metadata.events.add(key=number)
        entry.value.id = number
        entry.value.stats.add(bytes_value=program.SerializeToString())
    return space


def test_time_within_an_event_counts_for_the_inner_one():
    programs = [(7, [("while.1", "while", ""), ("dot.2", "dot", "while/A/MatMul")])]
    events = [("while.1", 0, 100), ("dot.2", 10, 20), ("dot.2", 40, 30)]
    found = timeline.make_timeline(make_space(events, programs), ["A"]).times()
    assert found == {
        "A": (pytest.approx(0.05), 2),
        timeline.DISPATCH: (pytest.approx(0.05), 1),
    }


def test_kernels_of_one_name_are_told_apart_by_their_program():
    programs = [
        (7, [("fusion", "fusion", "while/A/add")]),
        (8, [("fusion", "fusion", "while/net/B_1/add")]),
    ]
    events = [("fusion", 0, 1, 7), ("fusion", 2, 1, 8)]
    found = timeline.make_timeline(make_space(events, programs), ["A", "net/B"])
    (thread,) = found.threads
    assert thread.name == "main"
    assert [e.name for e in thread.events] == ["A: fusion", "net/B: fusion"]
    assert [e.start for e in thread.events] == [0, 0.002]


@pytest.mark.parametrize("name", ["end: dot.2", "ThreadpoolListener::Record"])
def test_marks_are_left_out(name):
    space = make_space([("something", 0, 5), (name, 5, 0)])
    (thread,) = timeline.make_timeline(space, []).threads
    assert [e.name for e in thread.events] == ["something"]


def test_events_that_overlap_are_shown_in_rows_of_their_own(tmp_path):
    events = [("a", 0, 10), ("b", 5, 10), ("c", 6, 2), ("d", 20, 5)]
    found = timeline.make_timeline(make_space(events), [])
    with (tmp_path / "trace").open("w") as file:
        found.write(file)
    shown = read_trace(tmp_path / "trace")
    assert {e["name"]: e["tid"] for e in shown} == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_shortest_events_are_dropped_if_there_are_too_many(monkeypatch, tmp_path):
    monkeypatch.setattr(timeline, "MOST_EVENTS", 2)
    events = [("a", 0, 9), ("b", 10, 1), ("c", 20, 5)]
    found = timeline.make_timeline(make_space(events), [])
    assert [e.name for e in found.threads[0].events] == ["a", "c"]
    with (tmp_path / "trace").open("w") as file:
        found.write(file)
    written = json.loads((tmp_path / "trace").read_text())
    assert written["otherData"] == {"dropped_events": 1}


def test_long_table_is_summed_up():
    labels = [f"G{i}" for i in range(5)]
    events = [(f"{label}/add:Add", 10 * i, i + 1) for i, label in enumerate(labels)]
    table = timeline.make_timeline(make_space(events), labels).table(most=2)
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["G4", "G3", "3"]
