"""Compiled programs that are kept for the processes that follow."""

import os
import subprocess
import sys
from pathlib import Path

import nengo.utils.paths
import pytest
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.program.compile_cache import advice_on_damage, keep_in, where_kept

#: Simulates and trains; prints where programs are kept, and all numbers.
SCRIPT = """
import sys
import nengo_dl
place = nengo_dl.cache_compiled(sys.argv[1])
import nengo
import numpy as np
import tensorflow as tf
with nengo.Network(seed=0) as net:
    net.config[nengo.Ensemble].neuron_type = nengo.RectifiedLinear()
    node = nengo.Node([0.5])
    ens = nengo.Ensemble(5, 1)
    nengo.Connection(node, ens)
    probe = nengo.Probe(ens)
with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
    sim.run_steps(20)
    before = sim.data[probe]
    sim.train(
        {node: np.ones((2, 3, 1))},
        {probe: np.zeros((2, 3, 1))},
        optimizer=tf.keras.optimizers.SGD(0.1),
    )
    weights = sim.data[ens].encoders
print(place, before.tobytes().hex(), weights.tobytes().hex(), sep="\\n")
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No flags, and none are left."""
    monkeypatch.setenv("TF_XLA_FLAGS", "")


@pytest.fixture
def before_tensorflow(monkeypatch):
    """As if nothing had imported TensorFlow yet."""
    monkeypatch.delitem(sys.modules, "tensorflow")


def run_script(folder):
    """Run the script in a process of its own."""
    paths = [str(Path(nengo_dl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def test_second_process_loads_what_the_first_compiled(tmp_path):
    first = run_script(tmp_path / "my programs")
    assert first.returncode == 0, first.stderr
    place = Path(first.stdout.splitlines()[0])
    assert place.parent == tmp_path / "my programs"
    files = {path: path.stat().st_mtime_ns for path in place.iterdir()}
    assert len(files) >= 2  # a simulation, a training step

    second = run_script(tmp_path / "my programs")
    assert second.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in place.iterdir()} == files

    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    third = run_script(tmp_path / "my programs")
    assert third.returncode == 1
    assert "SimulationError: TensorFlow failed" in third.stderr
    assert "damaged, delete the folder" in third.stderr


@pytest.mark.usefixtures("before_tensorflow")
def test_other_flags_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "TF_XLA_FLAGS",
        "--tf_xla_auto_jit=0  --tf_xla_persistent_cache_directory='old place' "
        "--tf_xla_clustering_debug",
    )
    place = nengo_dl.cache_compiled(tmp_path)
    assert os.environ["TF_XLA_FLAGS"] == (
        "--tf_xla_auto_jit=0 --tf_xla_clustering_debug "
        f'--tf_xla_persistent_cache_directory="{place}"'
    )
    assert where_kept() == place


@pytest.mark.usefixtures("before_tensorflow")
def test_flags_in_a_file_are_kept(tmp_path, monkeypatch):
    (tmp_path / "flags").write_text("--tf_xla_auto_jit=0\n")
    monkeypatch.setenv("TF_XLA_FLAGS", str(tmp_path / "flags"))
    nengo_dl.cache_compiled(tmp_path)
    assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_auto_jit=0 --tf_xla_pers")


@pytest.mark.usefixtures("before_tensorflow")
def test_default_folder_is_beside_the_cache_of_decoders(tmp_path, monkeypatch):
    monkeypatch.setattr(nengo.utils.paths, "cache_dir", str(tmp_path))
    assert nengo_dl.cache_compiled().parent == tmp_path / "compiled"


@pytest.mark.parametrize("home", ["HOME", "USERPROFILE"])
def test_home_folder_is_found(tmp_path, monkeypatch, home):
    monkeypatch.setenv(home, str(tmp_path))
    assert keep_in("~/kept").parent == Path("~/kept").expanduser()


def test_machines_and_versions_have_folders_of_their_own(tmp_path, monkeypatch):
    places = {keep_in(tmp_path)}
    monkeypatch.setattr("platform.processor", lambda: "another one")
    places.add(keep_in(tmp_path))
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    places.add(keep_in(tmp_path))
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.0")
    places.add(keep_in(tmp_path))
    assert len(places) == 4
    assert keep_in(tmp_path) in places


def test_too_late_is_an_error_that_says_when(tmp_path):
    with pytest.raises(ValidationError, match="right after 'import nengo_dl'"):
        nengo_dl.cache_compiled(tmp_path)
    assert where_kept() is None
    assert list(tmp_path.iterdir()) == []


def test_asking_again_for_the_same_folder_is_fine(tmp_path):
    place = keep_in(tmp_path)  # as if before the import
    assert nengo_dl.cache_compiled(tmp_path) == place


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match=r"Cannot write into .*Not a directory"):
        keep_in(tmp_path / "file")
    assert where_kept() is None


def test_folder_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ValidationError, match=r"Cannot write into .*Permission denied"):
        keep_in(tmp_path)


@pytest.mark.parametrize("folder", [3, "", b"bytes", ["a"]])
def test_what_is_no_path_is_refused(folder):
    with pytest.raises(ValidationError, match="path of a folder"):
        keep_in(folder)


def test_quotes_in_the_path_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="Must not contain"):
        keep_in(tmp_path / 'a "quoted" one')


def test_advice_is_given_only_where_programs_are_kept(tmp_path):
    assert advice_on_damage() == ""
    place = keep_in(tmp_path)
    assert str(place) in advice_on_damage()
