"""Writing that the system stops: no permission, no space, a killed process.

Writers are processes of their own. They load the module that writes without the rest of
the package, whose TensorFlow would take seconds.
"""

import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

from nengo_dl.parameters.file import reading, writing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

ROOT = pathlib.Path(__file__).parents[2]
PRELUDE = f"""
import os, pathlib, resource, signal, sys, types
package = types.ModuleType("nengo_dl")
package.__path__ = [{str(ROOT / "nengo_dl")!r}]
sys.modules["nengo_dl"] = package
import numpy as np
from nengo_dl.parameters.file import reading, writing
path = pathlib.Path(sys.argv[1])
def save(value):
    writing.write_arrays(path, {{"n": np.full(2**20, value)}})
def report():
    try:
        save(1)
    except OSError as error:
        print(type(error).__name__, error)
"""


def writer(script, path, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )


def said(script, path):
    with writer(script, path) as process:
        return process.communicate()[0]


@pytest.fixture
def folder():
    """A folder that other users can reach."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@pytest.fixture
def path(folder):
    """A file that exists."""
    path = folder / "params.npz"
    writing.write_arrays(path, {"n": np.zeros(2**20)})
    return path


def assert_untouched(path):
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    (array,) = reading.read_arrays(path)[0].values()
    assert array.shape == (2**20,) and not array.any()


def test_read_only_folder_is_refused_for_every_user(path):
    """Root may write everywhere, so it becomes somebody else first."""
    path.parent.chmod(0o555)
    script = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
report()
"""
    text = said(script, path)
    path.parent.chmod(0o755)
    assert "PermissionError" in text and f"Cannot save to '{path}'" in text
    assert "Nothing was written" in text
    assert_untouched(path)


@pytest.mark.parametrize("limit", [0, 4096, 2**20, 2**23])
def test_full_disk_leaves_the_old_file(path, limit):
    """A limit of the size of files fails as a disk does: in the middle of writing."""
    script = f"""
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
report()
"""
    text = said(script, path)
    assert "OSError" in text and f"Cannot save to '{path}': File too large" in text
    assert_untouched(path)


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_killed_writer_leaves_the_old_file_and_the_next_one_cleans_up(path, function):
    script = f"""
writing.os.{function} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
save(1)
"""
    with writer(script, path) as process:
        assert process.wait() == -signal.SIGKILL
    (abandoned,) = (p for p in path.parent.iterdir() if p != path)
    assert abandoned.suffix == ".tmp" and stat.S_ISREG(abandoned.stat().st_mode)
    (array,) = reading.read_arrays(path)[0].values()
    assert not array.any()
    # it could belong to somebody who is still writing
    writing.write_arrays(path, {"n": np.zeros(2**20)})
    assert abandoned.exists()
    others = [path.with_name(f".{name}.tmp") for name in ("x", "params.npz.x")]
    for other in (abandoned, *others):
        other.touch()
        os.utime(other, (time.time() - 1e6,) * 2)
    writing.write_arrays(path, {"n": np.zeros(2**20)})
    assert not abandoned.exists()
    assert all(other.exists() for other in others)


def test_writer_that_is_killed_at_any_time_leaves_a_whole_file(path):
    script = """
for number in range(10**6):
    save(number)
    print(number, flush=True)
"""
    with writer(script, path) as process:
        for _ in range(3):
            last = int(process.stdout.readline())
        process.kill()
    (array,) = reading.read_arrays(path)[0].values()
    assert array.shape == (2**20,) and (array == array[0]).all() and array[0] >= last
