"""Training in several processes, on this machine."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.training.data import ArrayData, Share
from nengo_dl.training.joined_team import JoinedTeam, team_of
from tests.training import team_scenarios

N_WORKERS = 2


#: Options that halve the time in which XLA compiles what is run a few times.
QUICK = "--xla_backend_optimization_level=0"


@contextlib.contextmanager
def start(folder, mode):
    """Start the scenarios in several processes, which end with this context."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "nengo_dl.launch", "--workers", str(N_WORKERS)),
            # of four processes on two cores, none waits while a core is free
            *("--cores", "all"),
            *("--local", team_scenarios.__file__, str(folder), mode),
        ],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # and with it, those that it has started


def ended(process):
    """Return with which code a process ended, and what it said."""
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


def processes_of(folder):
    """Return the commands that run and have a folder among their arguments."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            commands.append(path.read_bytes().decode(errors="replace").split("\0"))
    return [command for command in commands if str(folder) in command]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # the same for all processes that run tests
    folder = base / "workers"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def launched(folder):
    """How two trainings ended that ran at the same time, in one of these processes.

    In "crash", a worker is killed in the third epoch; "all" resumes that.
    """
    made, begun = folder / "launched.json", folder / "begun"
    try:
        begun.mkdir()
    except FileExistsError:  # another process that runs tests has started them
        team_scenarios.wait_for(made, 600)
    else:
        found = {}
        try:
            with start(folder, "crash") as crash, start(folder, "all") as others:
                found["crash"] = [*ended(crash), time.time()]
                (folder / "crashed").touch()
                found["all"] = [*ended(others), time.time()]
            assert not processes_of(folder)
        finally:
            begun.joinpath("found").write_text(json.dumps(found))
            begun.joinpath("found").rename(made)
    found = json.loads(made.read_text())
    assert len(found) == 2, "another process that runs tests says why"
    return found


@pytest.fixture(scope="module")
def crash(launched, folder):
    """A training of which one worker was killed in the third epoch, and how long."""
    code, output, end = launched["crash"]
    return code, output, end - float((folder / "killed").read_text())


@pytest.fixture(scope="module")
def results(launched, folder):
    """What each worker found."""
    code, output, _ = launched["all"]
    assert code == 0, output[-3000:]
    return [
        json.loads((folder / f"{rank}.json").read_text()) for rank in range(N_WORKERS)
    ]


@pytest.fixture(scope="module")
def alone(results):
    """What a single process found; the workers have shared that among them."""
    return {
        name: found for result in results for name, found in result["alone"].items()
    }


def assert_same(found, expected, rtol=1e-6):
    """Compare what several processes found with what a single one did."""
    np.testing.assert_allclose(found["losses"], expected["losses"], rtol=rtol)
    assert list(found["history"]) == list(expected["history"])
    for name, values in expected["history"].items():
        np.testing.assert_allclose(found["history"][name], values, rtol, err_msg=name)
    for ours, theirs in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)
    assert found["moved"] > 0.1


def test_killed_worker_ends_the_others_by_name(crash):
    code, output, seconds = crash
    assert code == 128 + 9
    assert "nengo_dl.launch: worker 1 was ended by SIGKILL" in output
    assert "Worker 1 has ended, or cannot be reached by worker 0" in output
    assert seconds < 30


@pytest.mark.parametrize("name", ["adam", "fit"])
def test_two_workers_train_as_one_with_twice_the_minibatch(results, alone, name):
    expected = alone[name]
    assert_same(results[0][name], expected)
    if name == "adam":
        assert len(expected["losses"]) == 32
        assert expected["losses"][-1] < 0.8 * expected["losses"][0]
    else:  # stopped early, at a learning rate that was reduced
        assert len(expected["history"]["loss"]) == 3
        rates = [result["fit"]["rate"] for result in results]
        assert rates == [expected["rate"]] * N_WORKERS


@pytest.mark.parametrize("name", ["adam", "fit", "stream", "averages", "whole"])
def test_weights_of_all_workers_are_equal(results, name):
    first, *others = (result[name] for result in results)
    assert first["moved"] > 0.05
    assert all(other["checksum"] == first["checksum"] for other in others)
    assert all(other["history"]["loss"] == first["history"]["loss"] for other in others)


@pytest.mark.parametrize(
    "call",
    ["evaluate", "callbacks", "loss", "test_on_batch", "train_on_batch", "trained"],
)
def test_workers_measure_what_one_with_twice_the_minibatch_does(results, alone, call):
    first, *others = (result["measured"][call] for result in results)
    assert all(other == first for other in others)
    assert first == pytest.approx(alone["measured"][call], rel=1e-6)
    assert first["loss"] > 0.1


def test_each_call_measures_something_else(alone):
    losses = {found["loss"] for found in alone["measured"].values()}
    assert len(losses) == len(alone["measured"])
    assert max(losses) < 100


@pytest.mark.parametrize(
    "call, n_items", [("arrays", 18), ("minibatches", 18), ("steps", 16), ("batch", 6)]
)
def test_workers_predict_what_one_does_bit_for_bit(results, alone, call, n_items):
    for result in results:
        found = np.array(result["predicted"][call])
        assert found.shape == (n_items, team_scenarios.N_STEPS, 2)
        assert np.array_equal(found, alone["predicted"][call][:n_items])
    assert len(np.unique(found[:, -1, 0])) == n_items


def test_workers_may_have_different_numbers_of_minibatches(results):
    # three and two minibatches, and all items count
    assert len(results[0]["stream"]["losses"]) == 2 * 3


def test_moving_averages_are_those_of_all_workers(results):
    first, *others = (result["averages"]["averages"] for result in results)
    assert np.ptp(first) > 0.1
    assert all(other == first for other in others)


def test_resumed_training_is_the_uninterrupted_one(results):
    resumed, whole = results[0]["resumed"], results[0]["whole"]
    assert resumed["checksum"] == whole["checksum"]
    assert resumed["losses"] == whole["losses"][-len(resumed["losses"]) :]


def test_other_number_of_workers_resumes(results, alone):
    assert_same(results[0]["resumed"], alone["resumed"])


@pytest.mark.parametrize(
    "case, message",
    [
        ("length", "disagree about the data: 64 items of 8 steps in worker 0; 56 "),
        ("evaluated length", "disagree about the data: 64 items of 8 steps in worker"),
        ("action", "disagree about what to do: evaluate in worker 0; predict in wor"),
        ("few items", r"There are 2 workers, more than items \(1\)"),
        ("constants", "Worker 1 has other values than worker 0 .* Give the network a"),
        (
            "network",
            r"disagree about the network: \d+ operators .* in worker 0; \d+ ",
        ),
        ("nan", "SimulationError: worker 1: The input of <Node 'x'> is nan at item 5,"),
        ("interrupt", "^KeyboardInterrupt"),
        ("stateful", "Several workers have a simulation each"),
        ("stateful prediction", "Several workers have a simulation each"),
        ("connected", "connected as worker . of .*; TensorFlow can be connected once"),
    ],
)
def test_all_workers_raise_together(results, case, message):
    for result in results:
        assert_matches(message, result["errors"][case])


def assert_matches(pattern, text):
    with pytest.raises(AssertionError, match=pattern):
        raise AssertionError(text)


def test_errors_leave_parameters_as_they_were(results):
    assert all(result["errors"]["weights stay"] for result in results)


def test_interrupt_comes_after_the_same_update(results):
    assert len({result["errors"]["updates"] for result in results}) == 1


def test_one_worker_trains_alone(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    workers = nengo_dl.Workers()
    assert (workers.count, workers.is_first) == (1, True)
    assert team_of(workers, None).messages is None


def test_number_of_workers_is_not_chosen_by_train():
    with pytest.raises(ValidationError, match=r"nengo_dl\.launch --workers 2"):
        team_of(2, None)


@pytest.mark.parametrize("differ", [False, True], ids=["equal", "different"])
def test_parameters_are_sent_only_if_they_differ(differ):
    first = [np.array([[1.0, 2.0]], np.float32), np.array(3)]
    own = [first[0] + np.float32(1e-6 if differ else 0), first[1]]
    sent = []

    def broadcast(values):
        sent.append(values)
        return np.concatenate([array.reshape(-1) for array in first])

    def gather(values):
        theirs = JoinedTeam._checksum(first)
        return np.stack([theirs, values])

    variables = [tf.Variable(array) for array in own]
    session = SimpleNamespace(
        store=SimpleNamespace(trained_variables=variables, publish_trained=list)
    )
    workers = SimpleNamespace(rank=1, count=2, gather=gather, broadcast=broadcast)
    JoinedTeam(workers, session)._take_parameters()
    assert len(sent) == differ
    for variable, value in zip(variables, first, strict=True):
        assert np.array_equal(variable.numpy(), value)


@pytest.mark.parametrize("keeps_rest", [True, False], ids=["rest", "full"])
def test_shares_are_the_minibatches_of_one_process(keeps_rest):
    items = np.arange(22.0).reshape(1, 22, 1)

    def orders(minibatch, share):
        data = ArrayData({"x": items}, {}, 22, 1, minibatch, keeps_rest, share=share)
        found = list(data.epoch(np.random.RandomState(0)))
        assert len(found) == data.n_minibatches
        return found

    whole = orders(8, Share())
    parts = [orders(4, Share(rank, 2)) for rank in range(2)]
    assert len(whole) == (3 if keeps_rest else 2)
    for one, *shares in zip(whole, *parts, strict=True):
        seen = np.concatenate([share.items for share in shares if share.weight])
        assert seen.tolist() == one.items.tolist()
        assert sum(share.weight for share in shares) == pytest.approx(1)
        assert {share.n_together for share in shares} == {one.n_items}
