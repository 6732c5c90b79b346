"""The benchmarks: their networks, the measuring, and the command line."""

import ast
import importlib
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import nengo
import numpy as np
import pytest

import nengo_dl
import nengo_dl.benchmarks
from nengo_dl.benchmarks import (
    CORE,
    Backend,
    Effort,
    Measurement,
    command_line,
    measure,
    report,
    worker,
)
from nengo_dl.benchmarks.command_line import main
from nengo_dl.benchmarks.networks import NETWORKS, make_network
from nengo_dl.benchmarks.training import measure as training_measure
from nengo_dl.benchmarks.training.measure import (
    TrainingMeasurement,
    default_sides,
    measure_training,
)
from nengo_dl.benchmarks.training.problems import CASES

# nengo.spa builds some of its modules twice
pytestmark = pytest.mark.filterwarnings("ignore:.*has already been built")

FOLDER = Path(nengo_dl.benchmarks.__file__).parent
QUICK = Effort(rounds=2, seconds=0.001, first_steps=30)


def small_network(name):
    sizes = {k: v for k, v in NETWORKS[name].small.items() if k != "minibatch"}
    return make_network(name, sizes)


def probed(simulator, net, n_steps):
    with simulator:
        simulator.run_steps(n_steps)
    return simulator.data[net.all_probes[0]]


# -- networks


@pytest.mark.parametrize("name", NETWORKS)
def test_network_equals_core_in_float64(name):
    net = small_network(name)
    expected = probed(nengo.Simulator(net, progress_bar=False), net, 30)
    compiled = {"spa": False}.get(name)  # XLA needs seconds for its many ensembles
    sim = nengo_dl.Simulator(
        net, dtype="float64", progress_bar=False, jit_compile=compiled
    )
    actual = probed(sim, net, 30)
    assert np.any(expected)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-10 * scale)


@pytest.mark.parametrize("name", [n for n, b in NETWORKS.items() if b.minibatch])
def test_network_runs_in_minibatches(name):
    net = small_network(name)
    sim = nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False)
    data = probed(sim, net, 10)
    assert data.shape[:2] == (2, 10)
    np.testing.assert_array_equal(data[0], data[1])


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_the_same_whenever_it_is_made(name):
    def weights(net):
        for connection in net.all_connections:
            if not isinstance(connection.transform, nengo.transforms.NoTransform):
                sample = connection.transform.sample(rng=np.random.RandomState(0))
                yield getattr(sample, "data", sample)

    first, second = small_network(name), small_network(name)
    assert first.seed == second.seed is not None
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sizes_change_networks():
    net = make_network("array", {"n_ensembles": 3, "n_neurons": 7})
    assert [ens.n_neurons for ens in net.all_ensembles] == [7] * 6


def test_memory_of_legendre_memory_unit_is_a_delay():
    from nengo_dl.benchmarks.networks import legendre_delay

    order, theta, dt = 12, 0.2, 0.001
    A, B = legendre_delay(order, theta, dt)
    state = np.zeros((order, 1))
    times = dt * np.arange(1, 1001)
    delayed = []
    for t in times:
        state = A @ state + B * np.sin(8 * t)
        delayed.append(state.sum())  # Legendre polynomials at the end of the window
    error = np.abs(delayed - np.sin(8 * (times - theta)))[500:]
    assert error.max() < 0.01


@pytest.mark.parametrize(
    "path",
    [FOLDER / "worker.py", *sorted((FOLDER / "networks").glob("*.py"))],
    ids=lambda path: path.stem,
)
def test_files_for_other_interpreters_need_no_more_than_they_have(path):
    tree = ast.parse(path.read_text("utf-8"), feature_version=(3, 6))
    imported = {
        target.partition(".")[0]
        for node in ast.walk(tree)
        for target in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) <= {"nengo", "numpy"}


def test_networks_are_found_by_path():
    loaded = worker.load_file(str(FOLDER / "networks"))
    try:
        assert set(loaded.NETWORKS) == set(NETWORKS)
        assert (
            loaded.NETWORKS is not NETWORKS
        )  # another module, as in other interpreters
    finally:
        for name in [n for n in sys.modules if n.partition(".")[0] == "networks"]:
            del sys.modules[name]


# -- measuring


def test_measurement_has_all_numbers():
    (result,) = measure("mlp", [CORE], NETWORKS["mlp"].small, QUICK)
    assert result.error is None
    assert len(result.step_seconds) == QUICK.rounds
    assert result.first_steps == QUICK.first_steps
    assert result.n_neurons == 2 * NETWORKS["mlp"].small["n_hidden"]
    assert result.items == 1  # core has no minibatches
    numbers = json.loads(result.to_json())
    for name in ("import", "network", "build", "first"):
        assert numbers[f"{name}_seconds"] > 0
    assert numbers["peak_bytes"] >= numbers["import_bytes"] > 2**20
    assert numbers["step"] > 0 and numbers["spread"] >= 0
    assert numbers["total"] > numbers["build_seconds"] + numbers["first_seconds"]
    assert numbers["output_rms"] > 0
    assert numbers["versions"]["nengo"] == nengo.__version__


@pytest.fixture
def simulators(tmp_path, monkeypatch):
    """A module with simulators that misbehave."""
    (tmp_path / "simulators.py").write_text(
        "import os, sys, time, nengo\n"
        "class Failing(nengo.Simulator):\n"
        "    def run_steps(self, n_steps):\n"
        "        raise RuntimeError('out of paper')\n"
        "class Dying(nengo.Simulator):\n"
        "    def run_steps(self, n_steps):\n"
        "        print('no more', file=sys.stderr, flush=True)\n"
        "        os._exit(3)\n"
        "class Hanging(nengo.Simulator):\n"
        "    def run_steps(self, n_steps):\n"
        "        time.sleep(60)\n"
        "class Chatting(nengo.Simulator):\n"
        "    def run_steps(self, n_steps):\n"
        "        print('x' * 100000)\n"
        "        print('y' * 100000, file=sys.stderr)\n"
        "        super().run_steps(n_steps)\n"
        "class Drawing(nengo.Simulator):\n"
        "    def run_steps(self, n_steps, progress_bar=True):\n"
        "        assert not progress_bar\n"
        "        super().run_steps(n_steps, progress_bar=progress_bar)\n"
        "class Strict:\n"
        "    def __init__(self, network, colour):\n"
        "        self.sim = nengo.Simulator(network, progress_bar=False)\n"
        "        self.data, self.run_steps = self.sim.data, self.sim.run_steps\n"
        "        self.close = self.sim.close\n"
        "        assert colour == 'red'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    "name, message",
    [
        ("simulators:Failing", "RuntimeError: out of paper"),
        ("simulators:Dying", "exit status 3 in 'first': no more"),
        ("simulators:Missing", "no attribute 'Missing'"),
        ("missing_module:Simulator", "No module named 'missing_module'"),
    ],
)
def test_failing_simulator_is_reported_and_others_are_measured(
    simulators, name, message
):
    failed, core = measure("integrator", [Backend(name), CORE], {}, QUICK)
    assert message in failed.error
    assert failed.step is None and failed.total is None
    assert core.error is None and len(core.step_seconds) == 2
    assert f"integrator with {failed.simulator}: " in report.table([failed, core])


def test_simulator_that_does_not_answer_is_given_up(simulators):
    effort = Effort(rounds=2, seconds=0.001, first_steps=5, timeout=8)
    (result,) = measure("integrator", [Backend("simulators:Hanging")], {}, effort)
    assert result.error == "No answer to 'first' in 8 seconds"


def test_interpreter_that_does_not_exist_is_reported():
    (result,) = measure("integrator", [Backend("nengo:Simulator", "/no/python")])
    assert "Cannot start the interpreter '/no/python'" in result.error


def test_simulator_may_print(simulators):
    (result,) = measure("integrator", [Backend("simulators:Chatting")], {}, QUICK)
    assert result.error is None


def test_simulator_draws_no_progress_bar(simulators):
    (result,) = measure("integrator", [Backend("simulators:Drawing")], {}, QUICK)
    assert result.error is None


def test_simulator_gets_the_arguments_that_it_knows(simulators):
    backend = Backend("simulators:Strict", arguments={"colour": "red"})
    (result,) = measure("integrator", [backend], {}, QUICK)
    assert result.error is None


# -- reports


def measurement(simulator, step, items=1, **kwargs):
    return Measurement(
        "mlp",
        simulator,
        "python",
        {},
        {},
        build_seconds=1.0,
        first_seconds=0.5,
        first_steps=500,
        step_seconds=[step, 2 * step, 3 * step],
        n_steps=10,
        items=items,
        n_neurons=1000,
        import_bytes=2**20,
        peak_bytes=3 * 2**20,
        **kwargs,
    )


def test_derived_numbers_of_a_measurement():
    slow, fast = measurement("a", 0.001), measurement("b", 0.0005, items=4)
    assert slow.step == 0.002
    assert slow.spread == pytest.approx(0.0005)
    assert slow.total == pytest.approx(1 + 0.5 + 500 * 0.002)
    assert fast.faster_than(slow) == pytest.approx(8)


def test_table_compares_with_the_first_simulator():
    slow, fast = measurement("a", 0.001), measurement("b", 0.0005)
    text = report.table([slow, fast])
    rows = [line.split() for line in text.splitlines()[4:6]]
    assert rows[0] == "mlp a ? 1.00 0.50 2.50 2000 500 3.00".split()
    assert rows[1] == "\\ b ? 1.00 0.50 2.00 1.25x 1000 250 2.00x 3.00".split()


def test_scaling_table_shows_costs_per_neuron():
    rows = report.scaling_table([measurement("a", 0.001)]).splitlines()
    assert rows[4].split() == "1,000 a 1.00 0.50 2000 1000 2000 2097".split()


def test_charts_are_written(tmp_path):
    results = [measurement("a", 0.001), measurement("b", 0.0005)]
    report.bar_chart(results, tmp_path / "bars.png")
    report.scaling_chart(results, tmp_path / "lines.svg")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")
    assert "svg" in (tmp_path / "lines.svg").read_text("utf-8")


def test_missing_matplotlib_is_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="Charts need Matplotlib: pip install"):
        report.bar_chart([measurement("a", 0.001)], tmp_path / "bars.png")


# -- command line


def test_quick_run_writes_table_json_and_chart(tmp_path, capsys):
    lines, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    arguments = ["run", "--quick", "integrator", "--json", str(lines)]
    assert main([*arguments, "--plot", str(chart)]) == 0
    core, ours = map(json.loads, lines.read_text("utf-8").splitlines())
    assert (core["simulator"], ours["simulator"]) == ("nengo", "nengo_dl")
    assert ours["output_rms"] == pytest.approx(core["output_rms"], rel=1e-3)
    assert ours["versions"]["nengo_dl"] == nengo_dl.__version__
    assert "integrator:n_neurons=20" in capsys.readouterr().out
    assert chart.stat().st_size > 1000


def test_compiled_programs_are_kept_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "")
    folder, lines = tmp_path / "compiled", tmp_path / "results.jsonl"
    arguments = ["run", "--quick", "integrator", "--simulator", "nengo_dl:Simulator"]
    arguments += ["--arguments", '{"jit_compile": true}']  # runs are short
    assert main([*arguments, "--compile-cache", str(folder), "--json", str(lines)]) == 0
    assert list(folder.glob("*/*.pb"))


@pytest.mark.parametrize(
    ("arguments", "has_large"),
    [([], False), (["--quick"], True), (["large_brain"], True)],
    ids=["default", "quick", "by name"],
)
def test_what_takes_minutes_is_measured_by_its_name(arguments, has_large, monkeypatch):
    seen = []
    monkeypatch.setattr(
        command_line, "_measure_all", lambda jobs, options: seen.extend(jobs) or []
    )
    monkeypatch.setattr(command_line.report, "table", lambda results: "")
    assert main(["run", *arguments]) == 0
    names = [name for name, _ in seen]
    assert ("large_brain" in names) == has_large
    assert ("integrator" in names) == ("large_brain" not in arguments)


def test_options_belong_to_the_simulator_before_them(tmp_path, capsys):
    lines = tmp_path / "results.jsonl"
    arguments = f"run integrator:n_neurons=10,seed=3 --quick --json {lines}".split()
    arguments += ["--simulator", "nengo:Simulator", "--label", "slow"]
    arguments += ["--arguments", '{"optimize": false}', "--python", sys.executable]
    arguments += ["--simulator", "nengo:Simulator", "--rounds", "3"]
    assert main(arguments) == 0
    slow, core = map(json.loads, lines.read_text("utf-8").splitlines())
    assert (slow["simulator"], core["simulator"]) == ("slow", "nengo")
    assert (slow["arguments"], core["arguments"]) == ({"optimize": False}, {})
    assert slow["sizes"] == {"n_neurons": 10, "seed": 3}
    assert len(core["step_seconds"]) == 3


def test_scaling_counts_neurons(capsys):
    assert main("scaling 400 --quick --simulator nengo:Simulator".split()) == 0
    assert "400" in capsys.readouterr().out.splitlines()[4].split()


def test_failure_is_the_exit_status(capsys):
    assert main("run integrator --quick --simulator nengo:Missing".split()) == 1
    assert "no attribute 'Missing'" in capsys.readouterr().out


def test_list_shows_networks_and_sizes(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in NETWORKS)
    assert "n_hidden=512" in shown and "minibatch=64" in shown


def test_list_shows_cases_of_training_and_their_sizes(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in CASES)
    assert "order=256" in shown and "n_steps=200" in shown


# -- training


def problem_of(name, **sizes):
    """Return a small problem as workers see it."""
    made = CASES[name].make({**CASES[name].small, **sizes})
    return SimpleNamespace(arrays=made.arrays, **made.settings)


def train_with(side, name, **sizes):
    """Return the first loss, the one after two updates, and the number of values."""
    module, _, function = CASES[name].sides[side].partition(":")
    make = getattr(importlib.import_module(module), function)
    arguments = CASES[name].arguments.get(side, {})
    train, n_parameters = make(problem_of(name, **sizes), **arguments)
    losses = [train(1), train(1), train(1)]
    getattr(train, "close", lambda: None)()
    return *losses, n_parameters


@pytest.mark.parametrize(
    "name, sides",
    [
        ("mlp-varying-spiking", ["nengo_dl", "XLA loop", "Keras fit"]),
        ("mlp-constant-filtered", ["nengo_dl", "XLA loop", "Keras fit"]),
        ("convnet", ["nengo_dl", "bare step", "Keras train_on_batch", "Keras fit"]),
        ("lmu", ["nengo_dl", "XLA loop", "Keras fit"]),
    ],
)
def test_sides_of_training_do_the_same(name, sides):
    first, *others = (train_with(side, name, n_minibatches=1) for side in sides)
    assert first[0] > first[1] > first[2]
    for other in others:
        assert other[-1] == first[-1]
        np.testing.assert_allclose(other[:-1], first[:-1], rtol=1e-4)


def test_problem_of_training_is_the_same_whenever_it_is_made():
    for name in CASES:
        first, second = problem_of(name), problem_of(name)
        assert vars(first).keys() == vars(second).keys()
        for key, array in first.arrays.items():
            np.testing.assert_array_equal(array, second.arrays[key])


@pytest.fixture
def training_sides(tmp_path):
    """A file with sides, which need no package."""
    path = tmp_path / "sides.py"
    path.write_text(
        "import numpy as np\n"
        "def train(problem, loss=1.5):\n"
        "    assert problem.arrays['w_h'].shape == (6, 6)\n"
        "    kept = []\n"
        "    def run(count):\n"
        "        kept.append(np.ones(2**20 * count))\n"
        "        return loss\n"
        "    return run, problem.order\n"
        "def failing(problem):\n"
        "    raise RuntimeError('out of paper')\n"
    )
    return str(path)


def test_training_measurement_has_all_numbers(training_sides):
    side = Backend(f"{training_sides}:train", arguments={"loss": 2.5}, label="x")
    small = CASES["lmu"].small
    (result,) = measure_training("lmu", [side], small, QUICK)
    assert result.error is None
    assert (result.loss, result.n_parameters) == (2.5, small["order"])
    assert result.n_minibatches == small["n_minibatches"] == 2
    assert len(result.step_seconds) == QUICK.rounds
    assert result.peak_bytes - result.build_bytes > 7 * 8 * 2**20
    numbers = json.loads(result.to_json())
    assert numbers["benchmark"] == "lmu" and numbers["simulator"] == "x"
    assert numbers["step"] > 0 and numbers["spread"] >= 0


def test_failing_side_of_training_is_reported(training_sides):
    sides = [Backend(f"{training_sides}:{name}") for name in ("failing", "train")]
    failed, fine = measure_training("lmu", sides, CASES["lmu"].small, QUICK)
    assert "RuntimeError: out of paper" in failed.error and failed.step is None
    assert fine.error is None and len(fine.step_seconds) == 2
    assert "out of paper" in report.training_table([failed, fine])


def test_training_table_compares_with_the_first_side():
    def one(name, step):
        return TrainingMeasurement(
            "lmu",
            name,
            "python",
            {},
            {},
            build_seconds=1.0,
            first_seconds=0.5,
            step_seconds=[step, 2 * step, 3 * step],
            loss=2.0,
            build_bytes=2**20,
            peak_bytes=3 * 2**20,
        )

    text = report.training_table([one("a", 0.001), one("b", 0.0005)])
    rows = [line.split() for line in text.splitlines()[4:6]]
    assert rows[0] == "lmu a ? 1.00 0.50 2.00 0.50 3.00 2.00 2.0000".split()
    assert rows[1] == "\\ b ? 1.00 0.50 1.00 0.25 2.00x 3.00 2.00 2.0000".split()


def test_side_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_lmu", None)
    monkeypatch.setattr(training_measure, "find_spec", lambda name: None)
    assert "KerasLMU fit" not in [side.name for side in default_sides("lmu")]
    monkeypatch.setattr(training_measure, "find_spec", lambda name: name)
    assert "KerasLMU fit" in [side.name for side in default_sides("lmu")]


def test_quick_training_writes_table_json_and_chart(
    training_sides, tmp_path, monkeypatch, capsys
):
    two = default_sides("lmu")[:2]
    monkeypatch.setattr(command_line, "default_sides", lambda name: two)
    lines, chart = tmp_path / "results.jsonl", tmp_path / "chart.png"
    arguments = ["training", "--quick", "lmu", "--json", str(lines)]
    arguments += ["--side", f"{training_sides}:train", "--label", "mine"]
    assert main([*arguments, "--plot", str(chart)]) == 0
    results = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    names = [result["simulator"] for result in results]
    assert (names[0], names[-1]) == ("nengo_dl", "mine")
    losses = [result["loss"] for result in results]
    np.testing.assert_allclose(losses[1:-1], losses[0], rtol=1e-5)
    assert results[0]["versions"]["nengo_dl"] == nengo_dl.__version__
    shown = capsys.readouterr().out
    assert "lmu:n_steps=5" in shown and "mine" in shown
    assert chart.stat().st_size > 1000


def test_memory_of_training_is_measured_with_one_minibatch(
    training_sides, tmp_path, monkeypatch, capsys
):
    lines = tmp_path / "results.jsonl"
    monkeypatch.setattr(command_line, "default_sides", lambda name: [])
    arguments = ["training", "--quick", "--memory", "lmu", "--json", str(lines)]
    assert main([*arguments, "--side", f"{training_sides}:train"]) == 0
    (result,) = map(json.loads, lines.read_text("utf-8").splitlines())
    assert result["n_minibatches"] == 1 and result["step_seconds"] == []
    # the first minibatch, and one more
    assert 16 * 2**20 <= result["peak_bytes"] - result["build_bytes"] < 40 * 2**20


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("run", "expected MODULE:CLASS, such as nengo:Simulator .got 'nengo'"),
        ("run integratr", "there is no network 'integratr'; choose from integrator,"),
        ("run pes:n_neuron=3", "'pes' has no size 'n_neuron'; it has n_neurons, dim"),
        ("run pes:n_neurons=x", "n_neurons of 'pes' must be a number .got 'x'"),
        ("run --rounds 0", "must be a positive whole number .got '0'"),
        ("run --python python3", "give --simulator first; --python belongs to"),
        ("run --simulator a:B --python /no/such", "'/no/such' is no interpreter"),
        ("run --simulator a:B --arguments [1]", "expected a JSON object.*got '.1.'"),
        ("training lmuu", "there is no case 'lmuu'; choose from mlp-varying,"),
        ("training lmu:varying=1", "'lmu' has no size 'varying'; it has n_steps,"),
        ("training --side a.py", "expected MODULE:FUNCTION, such as peer.py:train"),
        ("training --label a", "give --side first; --label belongs to the side"),
        ("list --compile-cache a", "unrecognized arguments: --compile-cache a"),
        ("run --compile-cache /dev/null/a", "--compile-cache: folder: Cannot write"),
        ("scaling 150", r"must be a multiple of 200 \(got 150\)"),
        ("", "the following arguments are required: command"),
    ],
)
def test_wrong_command_line_is_refused(arguments, message, capsys):
    arguments = arguments.split()
    if arguments == ["run"]:
        arguments += ["--simulator", "nengo"]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = " ".join(capsys.readouterr().err.split())
    assert re.search(message, error), error
