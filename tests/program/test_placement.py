"""The one answer to the question where a simulation runs."""

import numpy as np
import pytest

from nengo_dl.program.placement import Placement


@pytest.mark.parametrize(
    "device, processor",
    [("/device:CPU:0", "CPU"), ("/cpu:0", "CPU"), ("/device:GPU:1", "GPU")],
)
def test_processor_is_that_of_the_device(device, processor):
    placement = Placement.choose(device)
    assert (placement.device, placement.processor) == (device, processor)
    assert placement.on_cpu is (processor == "CPU")


def test_large_operators_are_larger_on_gpus():
    assert Placement("/gpu:0", "GPU").large > Placement().large


@pytest.mark.parametrize(
    "jit_compile, has_callbacks, avoids_xla, compiles",
    [
        (None, False, False, True),
        (None, False, True, False),
        (None, True, False, False),
        (True, False, True, True),
        (True, True, False, False),
        (False, False, False, False),
        (np.bool_(False), False, False, False),
    ],
)
def test_xla_compiles_what_it_can_unless_that_does_not_pay(
    jit_compile, has_callbacks, avoids_xla, compiles
):
    placement = Placement.choose("/cpu:0", jit_compile)
    assert placement.compiles(has_callbacks, avoids_xla) is compiles


def test_routines_that_avoid_xla_on_cpus_are_compiled_on_gpus():
    assert Placement("/gpu:0", "GPU").compiles(False, avoids_xla=True)


@pytest.mark.parametrize("jit_compile", [None, True, False])
@pytest.mark.parametrize("processor", ["CPU", "GPU"])
def test_steps_run_with_numpy_only_on_cpus_and_where_nothing_is_demanded(
    jit_compile, processor
):
    chooses = Placement(None, processor, jit_compile).chooses
    assert chooses is (jit_compile is None and processor == "CPU")
