"""The benchmark of GPUs, on whatever device there is."""

import pytest

from nengo_dl.benchmarks.command_line import main


def test_missing_device_is_an_error_before_anything_is_measured(capsys):
    assert main(["gpu", "--devices", "/cpu:0", "/gpu:99"]) == 2
    shown = capsys.readouterr()
    assert "There is no device '/gpu:99'; TensorFlow finds /CPU:0" in shown.err
    assert not shown.out


def test_devices_are_measured_next_to_each_other(capsys):
    arguments = ["--networks", "integrator", "--cases", "--devices", "cpu", "/cpu:0"]
    assert main(["gpu", "--quick", *arguments]) == 0
    rows = [f" {line} " for line in capsys.readouterr().out.splitlines()]
    for device in ("cpu", "/cpu:0"):
        (row,) = (row for row in rows if f" {device} " in row)
        assert any(part.replace(".", "").isdigit() for part in row.split())


@pytest.mark.gpu
def test_gpu_is_compared_with_the_cpu():
    assert main(["gpu", "--quick"]) == 0
