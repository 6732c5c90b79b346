"""Processes that are started, watched and ended together, without TensorFlow."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest
from nengo.exceptions import ValidationError

from nengo_dl.distribution.cluster import check_port
from nengo_dl.launch.command_line import main
from nengo_dl.launch.local import launch_local, reserved_ports
from tests.processes import wait_for_end


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


def launched(script, n_workers=2, **kwargs):
    """Return exit code and lines of a script that runs in several processes."""
    output = io.StringIO()
    command = [sys.executable, "-c", textwrap.dedent(script)]
    code = launch_local(command, n_workers, output=output, grace=1.0, **kwargs)
    return code, output.getvalue().splitlines()


RANK = """
import json, os, sys, time
config = json.loads(os.environ["TF_CONFIG"])
rank = config["task"]["index"]
"""


def test_processes_know_each_other_and_say_who_they_are():
    code, lines = launched(RANK + "print(json.dumps(config)); print('to', rank)")
    assert code == 0
    assert sorted(line for line in lines if "to" in line[:8]) == [
        "[0] to 0",
        "[1] to 1",
    ]
    configs = [json.loads(line[4:]) for line in lines if "cluster" in line]
    assert configs[0]["cluster"] == configs[1]["cluster"]
    workers = configs[0]["cluster"]["worker"]
    assert len(set(workers)) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in workers)


def test_failure_ends_the_others():
    began = time.monotonic()
    code, lines = launched(
        RANK + "rank and sys.exit(3); print(os.getpid()); time.sleep(60)"
    )
    assert code == 3
    assert time.monotonic() - began < 30
    assert "nengo_dl.launch: worker 1 ended with exit code 3; ending 1 more" in lines
    (pid,) = (int(line[4:]) for line in lines if re.fullmatch(r"\[0\] \d+", line))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_signal_is_named():
    code, lines = launched("import os; os.kill(os.getpid(), 9)", 1)
    assert code == 137
    assert lines == ["nengo_dl.launch: worker 0 was ended by SIGKILL"]


def test_cores_are_shared():
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("there is one core")
    _, lines = launched("import os; print(len(os.sched_getaffinity(0)))")
    assert [line[4:] for line in lines] == [str(len(cores) // 2)] * 2
    _, lines = launched(
        "import os; print(len(os.sched_getaffinity(0)))", shares_cores=False
    )
    assert [line[4:] for line in lines] == [str(len(cores))] * 2


def test_port_in_use_is_an_error_before_anything_starts():
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ValidationError, match=f"Port {port} is in use"):
            launched("print()", port=port)


def test_launchers_at_the_same_time_have_ports_of_their_own():
    with reserved_ports(200) as first, reserved_ports(200) as second:
        assert len({*first, *second}) == 400


def test_a_worker_can_listen_at_a_port_that_is_kept_for_it():
    with reserved_ports(1) as (port,), socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        check_port(f"127.0.0.1:{port}")
        worker.bind(("", port))
        worker.listen()
        with pytest.raises(ValidationError, match=f"Port {port} is in use"):
            check_port(f"127.0.0.1:{port}")


def test_each_worker_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    show = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    _, lines = launched(show, None)
    assert sorted(lines) == ["[0] 3", "[1] 5"]
    with pytest.raises(
        ValidationError, match="There are 2 GPUs, and each of 3 workers"
    ):
        launched(show, 3)


def test_interrupt_reaches_all(tmp_path):
    script = tmp_path / "wait.py"
    script.write_text(
        RANK + "\ntry:\n    print('ready'); time.sleep(60)\n"
        "except KeyboardInterrupt:\n    print('interrupted')\n"
    )
    command = [*(sys.executable, "-m", "nengo_dl.launch", "-n", "2", "--local"), script]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    for _ in range(2):
        assert "ready" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    with process:
        rest = process.stdout.read()  # also what `readline` has read in advance
    assert sorted(rest.split()) == ["[0]", "[1]", "interrupted", "interrupted"]
    assert process.returncode == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no such signal")
@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "nohup"])
def test_terminal_that_closes_ends_all_unless_that_is_ignored(ignored, tmp_path):
    script = tmp_path / "wait.py"
    seconds = 0.4 if ignored else 60
    script.write_text(
        f"import time; print('ready'); time.sleep({seconds}); print('done')\n"
    )
    command = [*(sys.executable, "-m", "nengo_dl.launch", "-n", "2", "--local"), script]
    # tests may run under nohup themselves
    action = signal.SIG_IGN if ignored else signal.SIG_DFL
    before = signal.signal(signal.SIGHUP, action)
    try:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    for _ in range(2):
        assert "ready" in process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with process:
        rest = process.stdout.read()  # also what `readline` has read in advance
    assert rest.count("done") == (2 if ignored else 0)
    assert process.returncode == (0 if ignored else 128 + signal.SIGHUP)


def test_launcher_that_is_killed_takes_all_along(tmp_path):
    script = tmp_path / "wait.py"
    script.write_text(
        "import os, subprocess, sys, time\n"
        "wait = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
        "print('pids', os.getpid(), subprocess.Popen(wait).pid); time.sleep(60)\n"
    )
    command = [*(sys.executable, "-m", "nengo_dl.launch", "-n", "2", "--local"), script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        process.kill()
    pids = [int(pid) for line in lines for pid in line.split()[2:]]
    assert len(set(pids)) == 4
    wait_for_end(pids)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.py"], "There is no file 'missing.py'"),
        (["-n", "0", "-m", "this"], "Must be 1 or more (got 0)"),
        ([], "required: script"),
    ],
    ids=["file", "number", "nothing"],
)
def test_command_line_explains(arguments, message, capsys, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err
