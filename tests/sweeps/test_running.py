"""Many networks that differ in their parameters."""

import concurrent.futures
import subprocess
import sys
import threading
from types import SimpleNamespace

import nengo
import numpy as np
import pytest
from nengo.exceptions import SimulationError, ValidationError

import nengo_dl
from nengo_dl.support.processor import n_cores
from nengo_dl.sweeps import executors, jobs, new_processes
from nengo_dl.sweeps.parameters import combinations
from tests.processes import wait_for_end
from tests.sweeps import factories


def sweep(*args, **kwargs):
    return nengo_dl.sweep(*args, **{"n_workers": 1, "progress_bar": False, **kwargs})


PARAMETERS = {"seed": [0, 1], "tau": [0.05, 0.1]}


@pytest.fixture(scope="module")
def networks():
    """A sweep over two processes, and the same one here."""
    args = (factories.make, PARAMETERS, 0.1, factories.last)
    return [sweep(*args, n_workers=n) for n in (2, 1)]


def test_grid_is_simulated(networks):
    _, here = networks
    assert [(r["seed"], r["tau"]) for r in here] == [
        *((0, 0.05), (0, 0.1), (1, 0.05), (1, 0.1))
    ]
    with nengo_dl.Simulator(factories.make(1, 0.1), progress_bar=False) as sim:
        sim.run(0.1)
        assert here[3]["end"] == factories.last(sim)["end"]


def test_processes_find_what_one_process_does(networks):
    assert networks[0].records == networks[1].records
    assert not networks[0].failures


def test_probe_data_is_the_default_result():
    (record,) = sweep(factories.make, [{"seed": 0}], 0.005)
    assert record["decoded"].shape == (5, 1)


@pytest.fixture(scope="module")
def failing():
    with pytest.warns(UserWarning, match=r"1 of 12 calls failed.*'number': 7.*no good"):
        return sweep(factories.fail_sometimes, {"number": range(12)}, n_workers=2)


def test_failure_has_its_parameters_and_the_rest_is_finished(failing):
    (failure,) = failing.failures
    assert failure.parameters == {"number": 7}
    assert failure.error == "ValueError: 7 is no good"
    assert "fail_sometimes" in failure.details
    assert [r["number"] for r in failing] == [n for n in range(12) if n != 7]
    assert repr(failing) == "<11 results of a sweep, 1 failed>"


def test_process_that_dies_takes_one_call_along():
    with pytest.warns(UserWarning, match="1 of 5 calls failed"):
        found = sweep(factories.die_sometimes, {"number": range(5)}, n_workers=2)
    assert [r["square"] for r in found] == [0, 1, 9, 16]
    (failure,) = found.failures
    assert failure.parameters == {"number": 2}
    assert "ended without an error of Python" in failure.error


def test_processes_end_with_the_one_that_started_them():
    script = (
        "import nengo_dl; from tests.sweeps import factories\n"
        # one is busy when that happens, the other one waits for a call
        "nengo_dl.sweep("
        "factories.wait, {'number': [0, 1]}, n_workers=2, progress_bar=False)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        words = (line.split() for line in process.stdout)
        pids = {int(next(w for w in words if w[:1] == ["pid"])[1]) for _ in range(2)}
        process.kill()
    wait_for_end(pids)


@pytest.mark.skipif(n_cores() < 2, reason="there is one core")
def test_processes_are_reused_and_share_cores():
    found = sweep(factories.count_cores, {"number": range(6)}, n_workers=2)
    cores = {record["pid"]: tuple(record["cores"]) for record in found}
    assert len(cores) <= 2
    assert len(set(cores.values())) == len(cores)


def test_results_come_one_by_one():
    seen = []
    sweep(factories.compute, {"number": [3, 4]}, on_result=seen.append)
    assert [record["square"] for record in seen] == [9, 16]


@pytest.mark.parametrize("kind", ["scalars", "arrays"])
def test_folder_is_resumed(tmp_path, kind, monkeypatch):
    first = sweep(factories.compute, {"number": [2, 3]}, folder=tmp_path)
    called = []
    monkeypatch.setattr(
        factories, "compute", _named_as(factories.compute, called.append)
    )
    more = sweep(factories.compute, {"number": [2, 3, 4]}, folder=tmp_path)
    assert called == [4]
    for old, new in zip(first, more, strict=False):
        assert old["square"] == new["square"]
        assert np.array_equal(old["row"], new["row"])
        assert old["pid"] == new["pid"]


def _named_as(function, note):
    def compute(number):
        note(number)
        return function(number)

    compute.__qualname__ = function.__qualname__
    return compute


def test_folder_retries_what_failed(tmp_path, failing):
    parameters = {"number": [6, 7]}
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 2 calls failed"):
            found = sweep(factories.fail_sometimes, parameters, folder=tmp_path)
        assert len(found) == 1


def test_folder_of_another_sweep_is_refused(tmp_path):
    sweep(factories.compute, {"number": [2]}, folder=tmp_path)
    with pytest.raises(ValidationError, match="results of another sweep"):
        sweep(factories.fail_sometimes, {"number": [2]}, folder=tmp_path)


@pytest.mark.parametrize(
    "factory, parameters, message",
    [
        (factories.compute, [{"number": 1, "other": object()}], "known by what they"),
        (factories.return_lambda, [{"number": 1}], "results must be arrays"),
    ],
    ids=["parameters", "results"],
)
def test_what_a_folder_cannot_keep_is_explained(tmp_path, factory, parameters, message):
    with pytest.raises(ValidationError, match=message):
        sweep(factory, parameters, folder=tmp_path)


@pytest.mark.parametrize(
    "factory, message",
    [
        (factories.return_nothing, "must return a dict of results"),
        (factories.shadow, "A result has the name of a parameter: number"),
        (lambda number: nengo.Network(), "say for how many seconds"),
    ],
    ids=["nothing", "name", "network"],
)
def test_what_a_factory_must_return_is_explained(factory, message):
    with pytest.warns(UserWarning, match=message):
        assert len(sweep(factory, [{"number": 1}])) == 0


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"factory": 3}, "factory.*function"),
        ({"measure": 3}, "measure.*function"),
        ({"t": -1}, "seconds above 0"),
        ({"simulator": 3}, "dict of arguments"),
        ({"n_workers": 0}, "n_workers"),
        ({"client": object()}, "dask.distributed.Client"),
        ({"client": object(), "n_workers": 2}, "leave n_workers out"),
        ({"parameters": 3}, "dict of lists, or a list of dicts"),
        ({"parameters": {"a": 3}}, r"write \[3\]"),
        ({"parameters": {"a": []}}, "no parameters"),
        ({"parameters": [3]}, "number 0 is int"),
        ({"parameters": [{"not a name": 3}]}, "Names of parameters"),
    ],
)
def test_bad_arguments_are_explained(kwargs, message):
    kwargs = {
        "factory": factories.compute,
        "parameters": [{"number": 1}],
        "n_workers": None,
        **kwargs,
    }
    with pytest.raises(ValidationError, match=message):
        sweep(**kwargs)


def test_last_name_varies_fastest():
    found = combinations({"a": [1, 2], "b": ["x", "y"]})
    assert [tuple(c.values()) for c in found] == [
        *((1, "x"), (1, "y"), (2, "x"), (2, "y"))
    ]


@pytest.mark.parametrize("part", ["factory", "measure"])
def test_function_that_cannot_travel_is_explained(part):
    lock = threading.Lock()
    job = jobs.Job(**{"factory": factories.compute, part: lambda number: lock})
    message = rf"The {part} \(.*line \d+\) cannot be sent .* 'lock' .*n_workers=1"
    with pytest.raises(ValidationError, match=message):
        jobs.pack_job(job)


def test_object_of_a_network_in_a_factory_is_named():
    lock = threading.Lock()
    with nengo.Network() as net:
        nengo.Node(lambda t: float(lock.locked()), label="watch")
    with pytest.raises(ValidationError, match=r"because of .*of <Node 'watch'>"):
        jobs.pack_job(jobs.Job(lambda seed: net))


def test_parameters_travel_with_cloudpickle():
    packed = jobs.pack_job(jobs.Job(factories.call))
    sent = jobs.pack_parameters({"function": lambda: 5})
    assert isinstance(sent, bytes)
    assert jobs.run_packed(packed, sent).results == {"found": 5}


def test_parameter_that_cannot_travel_fails_alone():
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.warns(UserWarning, match="1 of 2 calls failed"),
    ):
        found = sweep(
            *(factories.call, [{"function": threading.Lock()}, {"function": int}]),
            **{"client": pool, "n_workers": None},
        )
    assert [record["found"] for record in found] == [0]
    assert "The parameter 'function' (lock) cannot be sent" in found.failures[0].error


def test_result_that_cannot_travel_is_named():
    packed = jobs.pack_job(jobs.Job(factories.return_lambda))
    found = jobs.run_packed(packed, {"number": 1})
    assert "The result 'function' (<lambda>, factories.py, line" in found.error


def test_without_cloudpickle_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(ValidationError, match="pip install cloudpickle"):
        jobs.pack_job(jobs.Job(lambda number: {}))


def test_started_process_starts_no_others(monkeypatch):
    monkeypatch.setattr(executors.multiprocessing, "parent_process", lambda: "a parent")
    with pytest.raises(SimulationError, match='if __name__ == "__main__"'):
        sweep(factories.compute, {"number": [1, 2]}, n_workers=2)


def test_executor_of_the_standard_library_is_used():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = sweep(
            factories.make,
            {"seed": [0, 1, 2]},
            0.01,
            factories.last,
            client=pool,
            n_workers=None,
        )
        here = sweep(factories.make, {"seed": [0, 1, 2]}, 0.01, factories.last)
    assert found.records == here.records


def test_joblib_is_an_executor():
    loky = pytest.importorskip("joblib.externals.loky")
    with loky.ProcessPoolExecutor(1) as pool:
        kwargs = {"client": pool, "n_workers": None}
        found = sweep(factories.compute, {"number": [1, 2]}, **kwargs)
    assert [record["square"] for record in found] == [1, 4]


def test_dask_runs_the_calls():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
        pytest.warns(UserWarning, match="1 of 9 calls failed"),
    ):
        kwargs = {"client": client, "n_workers": None}
        found = sweep(factories.fail_sometimes, {"number": range(9)}, **kwargs)
    assert [record["number"] for record in found] == [*range(7), 8]


class StandInForRay(SimpleNamespace):
    """The part of Ray's interface that is used, in this process."""

    __name__ = "ray"

    def __init__(self):
        super().__init__(waited=0)

    def put(self, value):
        return ("reference", value)

    def remote(self, function):
        def call(packed, *args):
            assert packed[0] == "reference"
            return lambda: function(packed[1], *args)

        return SimpleNamespace(remote=call)

    def wait(self, references, num_returns):
        self.waited += 1
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference):
        return reference()

    def cancel(self, reference):
        raise AssertionError("there is nothing left")


def test_ray_runs_the_calls():
    ray = StandInForRay()
    with pytest.warns(UserWarning, match="1 of 9 calls failed"):
        found = sweep(
            *(factories.fail_sometimes, {"number": range(9)}),
            **{"client": ray, "n_workers": None},
        )
    assert [record["number"] for record in found] == [*range(7), 8]
    assert ray.waited == 9


def test_results_become_a_table():
    found = sweep(factories.compute, {"number": [1, 2]})
    pandas = pytest.importorskip("pandas")
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table["square"].tolist() == [1, 4]


def test_without_pandas_the_message_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        sweep(factories.compute, {"number": [1]}).to_pandas()


def test_processes_have_as_many_threads_as_cores(monkeypatch):
    monkeypatch.setattr(
        new_processes.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False
    )
    for name in new_processes._THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before = dict(new_processes.os.environ)
    with new_processes.shared_cores(2):
        assert new_processes.os.environ["OPENBLAS_NUM_THREADS"] == "3"
        assert new_processes.os.environ["OMP_NUM_THREADS"] == "5"
    with new_processes.shared_cores(7):
        assert new_processes.os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert dict(new_processes.os.environ) == before
