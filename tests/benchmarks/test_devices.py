"""The benchmark of GPUs, on whatever device there is."""

import pytest

from nengo_dl.benchmarks.command_line import main


def test_device_is_measured_next_to_one_that_is_missing(capsys):
    arguments = ["--networks", "integrator", "--cases", "--devices", "cpu", "/gpu:99"]
    assert main(["gpu", "--quick", *arguments]) == 1
    shown = capsys.readouterr().out
    assert "There is no device '/gpu:99'" in shown
    (row,) = (line for line in shown.splitlines() if " cpu " in f" {line} ")
    assert any(part.replace(".", "").isdigit() for part in row.split())


@pytest.mark.gpu
def test_gpu_is_compared_with_the_cpu():
    assert main(["gpu", "--quick"]) == 0
