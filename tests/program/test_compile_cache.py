"""Compiled programs that are kept for the processes that follow."""

import os
import subprocess
import sys
from pathlib import Path

import nengo.utils.paths
import numpy as np
import pytest
import tensorflow as tf
from nengo.exceptions import ValidationError

import nengo_dl
from nengo_dl.program import program_files
from nengo_dl.program.compile_cache import (
    advice_on_damage,
    keep_in,
    programs_folder,
    use_environment,
    where_kept,
)
from nengo_dl.program.program_files import StoredProgram, load_program, save_program

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


def files_in(place):
    """The files of a folder, with what they are."""
    return {p.name: p.read_bytes() for p in place.rglob("*") if p.is_file()}


def test_second_process_loads_what_the_first_compiled(tmp_path):
    first = run_script(tmp_path / "my programs")
    assert first.returncode == 0, first.stderr
    place = Path(first.stdout.splitlines()[0])
    assert place.parent == tmp_path / "my programs"
    files = files_in(place)
    assert sum(name.endswith("JIT.pb") for name in files) >= 2  # simulation, training

    second = run_script(tmp_path / "my programs")
    assert second.stdout == first.stdout
    assert files_in(place) == files


#: Simulates some networks; prints what the pool did, and the data.
ORDERED = """
import sys
import nengo_dl
import numpy as np
from tests.program.pooled import network, record
place = None
for case in sys.argv[1:]:
    size, seed = map(int, case.split(","))
    data = record(network(seed, size))
    pool = nengo_dl.programs
    print(size, seed, pool.hits, pool.misses, pool.loaded, data.tobytes().hex())
"""


def run_ordered(folder, *cases):
    """Simulate networks of some sizes and seeds in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-c", ORDERED, *cases],
        capture_output=True,
        text=True,
        cwd=Path(nengo_dl.__file__).parents[1],
        env={**os.environ, "NENGO_DL_CACHE": str(folder)},
    )
    assert found.returncode == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    counts = [tuple(map(int, line[2:5])) for line in lines]
    return counts, {tuple(line[:2]): line[5] for line in lines}, found.stderr


def test_programs_are_found_in_any_order_with_any_seed(tmp_path):
    counts, data, _ = run_ordered(tmp_path, "20,0", "21,0", "21,1")
    assert counts == [(0, 1, 0), (0, 2, 0), (1, 2, 0)]
    (place,) = tmp_path.iterdir()
    files = files_in(place)
    assert sum(name.endswith(".program") for name in files) == 2

    counts, others, _ = run_ordered(tmp_path, "21,1", "20,0", "20,5")
    assert counts == [(0, 0, 1), (0, 0, 2), (1, 0, 2)]
    assert files_in(place) == files  # neither traced nor compiled
    for key in (("21", "1"), ("20", "0")):
        assert others[key] == data[key]


@pytest.mark.parametrize(
    "ending, n_loaded",
    [("JIT.pb", 1), (".program", 0), (".code", 1)],
    ids=["machine code", "trace", "notes"],
)
def test_damaged_files_are_made_again_with_a_warning(tmp_path, ending, n_loaded):
    _, data, _ = run_ordered(tmp_path, "20,0")
    (place,) = tmp_path.iterdir()
    (path,) = [p for p in place.rglob("*") if p.name.endswith(ending)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    counts, found, stderr = run_ordered(tmp_path, "20,0")
    assert found == data
    assert counts == [(0, 1 - n_loaded, n_loaded)]
    if ending != ".code":
        assert f"The kept program in {str(path)!r} is damaged" in stderr
        assert len(path.read_bytes()) >= len(content) - 100
    counts, found, stderr = run_ordered(tmp_path, "20,0")
    assert (counts, found) == ([(0, 0, 1)], data)
    assert "damaged" not in stderr


def test_programs_of_another_version_are_not_loaded(tmp_path, monkeypatch):
    keep_in(tmp_path)
    program = StoredProgram("key", (), (1, 0), [None], ("a", "b"), 0.5)
    save_program("signature", program)
    found = load_program("signature")
    assert (found.sources, found.labels, found.seconds) == ((1, 0), ("a", "b"), 0.5)
    assert load_program("another signature") is None
    monkeypatch.setattr(program_files, "_versions", lambda: "others")
    assert load_program("signature") is None


def test_captured_tensors_are_kept(tmp_path):
    keep_in(tmp_path)
    tensor = tf.constant(np.arange(6.0).reshape(2, 3))
    save_program("s", StoredProgram("key", (), (tensor, 3), [None], (), 0.0))
    (found, position) = load_program("s").sources
    assert np.array_equal(found, tensor)
    assert (found.dtype, position) == (tensor.dtype, 3)


@pytest.mark.parametrize(
    "damage, reason",
    [
        (lambda content: b"", "begins as no program"),
        (lambda content: b"pickle" + content, "begins as no program"),
        (lambda content: content[:-1], "checksum differs"),
        (lambda content: content[:-1] + b"x", "checksum differs"),
    ],
    ids=["empty", "other", "short", "changed"],
)
def test_damaged_program_is_deleted_with_a_warning(tmp_path, damage, reason):
    place = keep_in(tmp_path)
    save_program("s", StoredProgram("key", (), (0,), [None], (), 0.0))
    (path,) = (place / "programs").iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match=rf"damaged \(.*{reason}") as caught:
        assert load_program("s") is None
    assert str(path) in str(caught[0].message)
    assert not path.exists()


def test_nothing_is_kept_without_a_folder(tmp_path):
    assert programs_folder() is None
    save_program("s", StoredProgram("key", (), (0,), [None], (), 0.0))
    assert load_program("s") is None


def test_folder_that_cannot_be_written_to_is_no_error_later(tmp_path, monkeypatch):
    keep_in(tmp_path)

    def refuse(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    save_program("s", StoredProgram("key", (), (0,), [None], (), 0.0))
    assert load_program("s") is None


@pytest.mark.usefixtures("before_tensorflow")
def test_environment_variable_keeps_programs(tmp_path, monkeypatch):
    use_environment()
    assert where_kept() is None
    monkeypatch.setenv("NENGO_DL_CACHE", str(tmp_path))
    use_environment()
    assert where_kept().parent == tmp_path


def test_environment_variable_that_comes_too_late_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("NENGO_DL_CACHE", str(tmp_path))
    with pytest.warns(UserWarning, match="TensorFlow was imported before nengo_dl"):
        use_environment()
    assert where_kept() is None


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
