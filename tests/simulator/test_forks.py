"""A process that was forked after TensorFlow ran gets an error instead of hanging."""

import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
import nengo, nengo_dl
from nengo.exceptions import SimulationError

with nengo.Network() as net:
    probe = nengo.Probe(nengo.Node([1]))

def simulate():
    with nengo_dl.Simulator(net, progress_bar=False) as sim:
        sim.run_steps(2)
        return len(sim.data[probe])

kept = None
if {before}:
    kept = nengo_dl.Simulator(net, jit_compile=True, progress_bar=False)
    kept.run_steps(1)
child = os.fork()
if child == 0:
    for action in (simulate, lambda: kept.run_steps(2)):
        try:
            action()
        except SimulationError as error:
            assert "get_context('spawn')" in str(error), error
            print("refused", flush=True)
        except AttributeError:
            pass  # there is no simulator from before
        else:
            print("ran", flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(simulate())
if kept is not None:
    kept.close()
"""


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "before, expected",
    [(True, ["refused", "refused", "2"]), (False, ["ran", "2"])],
    ids=["after TensorFlow ran", "before"],
)
def test_forked_processes(before, expected):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(before=before)],
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.stdout.split() == expected
