"""Distributions of initial parameters: moments, shapes, and where Nengo takes them."""

import pickle

import keras
import nengo
import numpy as np
import pytest
from nengo.exceptions import ValidationError
from scipy import stats

import nengo_dl
from nengo_dl.dists import Glorot, He, TruncatedNormal, VarianceScaling

SEEDED = [
    TruncatedNormal(0.5, 2, limit=3),
    TruncatedNormal(limit=0.3),
    VarianceScaling(3, "fan_out", "normal"),
    Glorot(),
    He(),
]

#: There are about thirty tests of significance here, whose seeds are fixed.
UNLIKELY = 0.001


def rng(seed=0):
    return np.random.RandomState(seed)


@pytest.mark.parametrize("dist", SEEDED)
def test_samples_depend_on_the_seed_alone(dist):
    first, again, other = (dist.sample(40, 30, rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dist", SEEDED)
def test_samples_have_the_shape_that_was_asked_for(dist):
    assert dist.sample(5, rng=rng()).shape == (5,)
    assert dist.sample(5, 3, rng=rng()).shape == (5, 3)
    assert dist.sample(0, 3, rng=rng()).shape == (0, 3)


@pytest.mark.parametrize("dist", SEEDED)
def test_distributions_are_values(dist):
    assert pickle.loads(pickle.dumps(dist)) == dist
    assert eval(repr(dist), vars(nengo_dl.dists)) == dist
    with pytest.raises(Exception, match=r"read-only|frozen"):
        setattr(dist, "scale" if hasattr(dist, "scale") else "mean", 3)


@pytest.mark.parametrize("limit", [None, 0.05, 1.4, 3, 30])
def test_truncated_normal_samples_are_distributed_as_they_should(limit):
    mean, stddev = -1, 1.5
    dist = TruncatedNormal(mean, stddev, limit)
    samples = dist.sample(4000, 5, rng()).ravel()
    bound = (2 * stddev if limit is None else limit) / stddev
    expected = stats.truncnorm(-bound, bound, mean, stddev)
    assert np.all(np.abs(samples - mean) <= bound * stddev)
    assert stats.kstest(samples, expected.cdf).pvalue > UNLIKELY
    assert np.isclose(samples.mean(), mean, atol=4 * expected.std() / np.sqrt(20000))
    assert np.isclose(samples.std(), expected.std(), rtol=0.02)


@pytest.mark.parametrize(
    "mode, fan", [("fan_in", 100), ("fan_out", 250), ("fan_avg", 175)]
)
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_variance_is_scaled_by_the_fan(mode, fan, distribution):
    dist = VarianceScaling(3, mode, distribution)
    # Nengo draws the weights of a dense transform as (size_out, size_in)
    samples = dist.sample(250, 100, rng()).ravel()
    stddev = np.sqrt(3 / fan)
    assert np.isclose(samples.std(), stddev, rtol=0.02)
    assert np.isclose(samples.mean(), 0, atol=4 * stddev / np.sqrt(samples.size))
    if distribution == "uniform":
        expected = stats.uniform(-np.sqrt(3) * stddev, 2 * np.sqrt(3) * stddev)
    else:
        width = stddev / stats.truncnorm.std(-2, 2)
        expected = stats.truncnorm(-2, 2, 0, width)
    assert stats.kstest(samples, expected.cdf).pvalue > UNLIKELY


@pytest.mark.parametrize(
    "dist, variance",
    [
        (Glorot(), 2 / (300 + 200)),
        (Glorot(2, "normal"), 4 / (300 + 200)),
        (He(), 2 / 200),
        (He(0.5, "uniform"), 1 / 200),
    ],
)
def test_glorot_and_he_have_the_variances_of_the_papers(dist, variance):
    assert np.isclose(dist.sample(300, 200, rng()).var(), variance, rtol=0.03)


@pytest.mark.parametrize("kernel_size", [(5, 3), (7,)])
@pytest.mark.parametrize(
    "dist, initializer",
    [
        (Glorot, keras.initializers.GlorotUniform(0)),
        (He, keras.initializers.HeNormal(0)),
    ],
)
def test_kernels_of_convolutions_have_the_variance_that_keras_gives(
    dist, initializer, kernel_size
):
    shape = (10, 10)[: len(kernel_size)]
    transform = nengo.Convolution(
        n_filters=40,
        input_shape=(*shape, 30),
        kernel_size=kernel_size,
        strides=(1,) * len(kernel_size),
        init=dist(kernel_size=kernel_size),
    )
    kernel = transform.sample(rng())
    expected = np.asarray(initializer(kernel.shape))
    assert kernel.shape == (*kernel_size, 30, 40)
    assert np.isclose(kernel.std(), expected.std(), rtol=0.03)
    assert stats.ks_2samp(kernel.ravel(), expected.ravel()).pvalue > UNLIKELY


def test_vectors_count_as_one_input_for_each_unit():
    assert np.isclose(He().sample(20000, rng=rng()).var(), 2, rtol=0.03)
    samples = VarianceScaling(mode="fan_out").sample(20000, rng=rng())
    assert np.isclose(samples.var(), 1 / 20000, rtol=0.03)


@pytest.mark.parametrize("simulator", [nengo.Simulator, nengo_dl.Simulator])
def test_nengo_takes_them_wherever_it_takes_distributions(simulator):
    with nengo.Network(seed=0) as net:
        a = nengo.Ensemble(
            80,
            4,
            encoders=Glorot(),
            gain=TruncatedNormal(3, 0.5),
            bias=TruncatedNormal(1, 0.1, limit=0.05),
            normalize_encoders=False,
        )
        b = nengo.Ensemble(50, 4, intercepts=TruncatedNormal(0, 0.4))
        dense = nengo.Connection(a.neurons, b.neurons, transform=He())
        noise = nengo.Node(
            nengo.processes.WhiteNoise(TruncatedNormal(0, 0.1), seed=0), size_out=1
        )
        probe = nengo.Probe(noise)
    with simulator(net, seed=1, progress_bar=False) as sim:
        sim.run_steps(20)
        assert np.all(np.abs(sim.data[a].bias - 1) <= 0.05)
        assert np.isclose(sim.data[a].gain.mean(), 3, atol=0.3)
        assert np.isclose(sim.data[a].encoders.var(), 2 / 84, rtol=0.2)
        assert sim.data[dense].weights.shape == (50, 80)
        assert np.isclose(sim.data[dense].weights.var(), 2 / 80, rtol=0.1)
        assert np.all(np.abs(sim.data[b].intercepts) <= 0.8)
        assert sim.data[probe].std() > 0


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TruncatedNormal(stddev=0), "stddev: Value must be greater than 0"),
        (lambda: TruncatedNormal(limit=-1), "limit: Value must be greater than 0"),
        (lambda: VarianceScaling(scale=0), "scale: Value must be greater than 0"),
        (lambda: VarianceScaling(mode="fan"), "mode: .*fan_in"),
        (lambda: He(distribution="cauchy"), "distribution: .*uniform"),
        (lambda: Glorot(scale="big"), "scale: .*number"),
        (lambda: He(kernel_size=(0, 3)), "kernel_size"),
        (lambda: He(kernel_size=3.5), "kernel_size"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(ValidationError, match=message):
        make()
