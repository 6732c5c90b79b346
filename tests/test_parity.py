"""What `nengo_dl.Simulator` records equals what `nengo.Simulator` records.

In float64 up to rounding: 1e-9 of a value plus 1e-10 of the largest magnitude that the
probe saw, and spikes in exactly the same steps. In float32 only for networks that do
not amplify rounding errors: 1e-3 of the largest magnitude.
"""

import nengo
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nengo.builder import operator as core_operators
from nengo.builder import transforms as core_transforms
from nengo.builder.learning_rules import SimBCM, SimOja, SimPES, SimRLS, SimVoja
from nengo.builder.neurons import SimNeurons
from nengo.builder.probe import SimProbe
from nengo.builder.processes import SimProcess

import nengo_dl
from nengo_dl.support import tuning
from tests import networks
from tests.networks import (
    FIXED,
    assert_equal_data,
    calls_python,
    generated_networks,
    random_network,
    recorded,
    reference_data,
)

pytestmark = pytest.mark.filterwarnings(
    # user-defined processes run their NumPy step, and say so
    "ignore::UserWarning"
)

SEED = 1
SHORT_RUN = 40
LONG_RUN = 300
#: Izhikevich neurons with little input are chaotic: a change in the last bit of the
#: parameters grows to visible size in core itself within 110 steps.
LONGEST_RUN = {"spiking_neurons": 80}

#: A quarter of the examples of the profile in use: 25 by default.
generated = settings(
    max_examples=max(settings.default.max_examples // 4, 1),
    derandomize=settings.default.max_examples <= 100,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module", autouse=True)
def no_decoder_cache():
    before = nengo.rc.get("decoder_cache", "enabled")
    nengo.rc.set("decoder_cache", "enabled", "False")
    yield
    nengo.rc.set("decoder_cache", "enabled", before)


def simulate(case, n_steps, dtype=tf.float64, **kwargs):
    with nengo_dl.Simulator(
        case.net, seed=SEED, dtype=dtype, progress_bar=False, **kwargs
    ) as sim:
        return recorded(sim, case, n_steps)


# -- the networks themselves


def test_fixed_networks_contain_every_operator_of_core():
    operators = {
        core_operators.TimeUpdate,
        core_operators.Reset,
        core_operators.Copy,
        core_operators.ElementwiseInc,
        core_operators.DotInc,
        core_operators.SparseDotInc,
        core_operators.SimPyFunc,
        core_transforms.ConvInc,
        core_transforms.ConvTransposeInc,
        SimBCM,
        SimOja,
        SimPES,
        SimRLS,
        SimVoja,
        SimNeurons,
        SimProbe,
        SimProcess,
    }
    built = set()
    for build in FIXED.values():
        model = nengo.builder.Model()
        model.build(build().net)
        built |= {type(op) for op in model.operators}
    assert built == operators


def test_fixed_networks_contain_every_neuron_type_of_core():
    def concrete(neuron_type):
        below = neuron_type.__subclasses__()
        return {neuron_type}.union(*map(concrete, below))

    abstract = {nengo.neurons.NeuronType, nengo.neurons.RatesToSpikesNeuronType}
    core = {
        type_
        for type_ in concrete(nengo.neurons.NeuronType) - abstract
        if type_.__module__ == "nengo.neurons"
    }
    used = {
        type(ens.neuron_type)
        for build in FIXED.values()
        for ens in build().net.all_ensembles
    }
    assert core <= used


@pytest.mark.parametrize("name", ["everything", "python_in_the_loop", *FIXED])
def test_fixed_network_probes_see_something(name):
    case = FIXED.get(name, getattr(networks, name))()
    for probe, data in zip(case.probes, reference_data(case, 60), strict=True):
        assert np.all(np.isfinite(data)), f"{probe.obj}.{probe.attr}"
        assert np.any(data), f"{probe.obj}.{probe.attr} is always zero"


@pytest.mark.parametrize("smooth", [False, True])
def test_random_networks_are_reproducible(smooth):
    for seed in range(3):
        first, second = (random_network(seed, smooth) for _ in range(2))
        assert first.description == second.description
        assert_equal_data(
            first, reference_data(first, 10), reference_data(second, 10), rtol=0, atol=0
        )


# -- float64


@pytest.mark.parametrize("name", FIXED)
def test_fixed_network_equals_core_in_float64(name):
    case = FIXED[name]()
    assert_equal_data(
        case, simulate(case, SHORT_RUN), reference_data(case, SHORT_RUN, SEED)
    )


@pytest.mark.parametrize(
    "name", [name for name, build in FIXED.items() if not calls_python(build())]
)
def test_compiled_fixed_network_equals_core_in_float64(name):
    case = FIXED[name]()
    n_steps = LONGEST_RUN.get(name, LONG_RUN)
    actual = simulate(case, n_steps, jit_compile=True)
    assert_equal_data(case, actual, reference_data(case, n_steps, SEED))


@pytest.mark.parametrize("name", ["transforms", "everything", "input_processes"])
def test_what_is_computed_once_for_equal_inputs_equals_core(name, monkeypatch):
    monkeypatch.setattr(tuning, "WORTH_HOISTING", 1)
    case = getattr(networks, name)()
    actual = simulate(case, LONG_RUN, jit_compile=True)
    assert_equal_data(case, actual, reference_data(case, LONG_RUN, SEED))


@given(case=generated_networks(), compiled=st.booleans(), hoisted=st.booleans())
@generated
def test_generated_network_equals_core_in_float64(case, compiled, hoisted):
    compiled = compiled and not calls_python(case)
    n_steps = 2 * SHORT_RUN if compiled else SHORT_RUN
    with pytest.MonkeyPatch.context() as patch:
        if hoisted:  # products of any size
            patch.setattr(tuning, "WORTH_HOISTING", 1)
        actual = simulate(case, n_steps, jit_compile=True if compiled else None)
    assert_equal_data(case, actual, reference_data(case, n_steps, SEED))


@pytest.mark.parametrize("dt", [0.0005, 0.003])
def test_other_time_steps_equal_core_in_float64(dt):
    case = networks.everything()
    actual = simulate(case, SHORT_RUN, dt=dt)
    assert_equal_data(case, actual, reference_data(case, SHORT_RUN, SEED, dt=dt))


# -- float32


def assert_close_in_float32(case, actual, expected):
    assert_equal_data(case, actual, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["rate_neurons", "synapses", "sampling"])
def test_fixed_network_is_close_to_core_in_float32(name):
    case = FIXED[name]()
    # spikes may shift by a step, all else is feed-forward
    case.probes = [
        probe
        for probe in case.probes
        if isinstance(probe.obj, nengo.Node) or name == "rate_neurons"
    ]
    with case.net:
        for ens in case.net.all_ensembles:
            if ens.neuron_type.spiking:
                ens.neuron_type = nengo.LIFRate()
    actual = simulate(case, SHORT_RUN, dtype=tf.float32)
    assert_close_in_float32(case, actual, reference_data(case, SHORT_RUN, SEED))


@given(case=generated_networks(smooth=True))
@settings(generated, max_examples=max(generated.max_examples // 2, 1))
def test_generated_smooth_network_is_close_to_core_in_float32(case):
    actual = simulate(case, SHORT_RUN, dtype=tf.float32)
    assert_close_in_float32(case, actual, reference_data(case, SHORT_RUN, SEED))
