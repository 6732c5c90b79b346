"""Convolutions: parity with nengo's steps, and gradients."""

import itertools

import nengo
import numpy as np
import pytest
import tensorflow as tf
from nengo.builder.signal import Signal
from nengo.builder.transforms import ConvInc, ConvTransposeInc

from nengo_dl.builders import BuildConfig, find_builder
from nengo_dl.builders.products import convolutions as transforms
from nengo_dl.support import tuning
from tests.builders.harness import check_parity, random_inputs

F64 = np.dtype(np.float64)


@pytest.fixture(params=["fused", "routines", "transposed"])
def transposed(request, monkeypatch):
    """Whether to transpose; if not, apply kernels of any size in one of two ways."""
    taps = 10**9 if request.param == "fused" else 0
    monkeypatch.setattr(tuning, "MOST_FUSED_TAPS", taps)
    return request.param == "transposed"


def make_conv(transposed=False, n_filters=4, seed=0, **kwargs):
    rng = np.random.RandomState(seed)
    transform_type = nengo.ConvolutionTranspose if transposed else nengo.Convolution
    conv = transform_type(n_filters, **kwargs)
    op_type = ConvTransposeInc if transposed else ConvInc
    return op_type(
        Signal(conv.sample(rng=rng), readonly=True),
        Signal(shape=(conv.size_in,)),
        Signal(shape=(conv.size_out,)),
        conv,
    )


def convolve(W, X, conv):
    """Convolve by loops over positions; the reference where nengo has none."""
    transposed = isinstance(conv, nengo.ConvolutionTranspose)
    X = X.reshape(conv.input_shape.shape)
    if not conv.channels_last:
        X = np.moveaxis(X, 0, -1)
    sizes = [conv.input_shape.spatial_shape, conv.output_shape.spatial_shape]
    Y = np.zeros((*sizes[1], conv.n_filters))
    large, small = sizes[::-1] if transposed else sizes
    first = [0] * conv.dimensions
    if conv.padding == "same":
        first = [
            max((n - 1) * s + k - m, 0) // 2
            for m, n, k, s in zip(large, small, conv.kernel_size, conv.strides)
        ]
    c, k = W.shape[-2], W.shape[-1] // conv.groups
    for o in np.ndindex(*small):
        for i in np.ndindex(*conv.kernel_size):
            at = tuple(np.array(o) * conv.strides + i - first)
            if not all(0 <= a < m for a, m in zip(at, large)):
                continue
            for g in range(conv.groups):
                weights = W[i][:, g * k : (g + 1) * k]
                source, target = (o, at) if transposed else (at, o)
                Y[target][g * k : (g + 1) * k] += (
                    X[source][g * c : (g + 1) * c] @ weights
                )
    return Y if conv.channels_last else np.moveaxis(Y, -1, 0)


CONVS = {
    "1d": dict(input_shape=(11, 2), kernel_size=(3,), strides=(1,)),
    "1d_long_stride": dict(input_shape=(11, 2), kernel_size=(2,), strides=(3,)),
    "2d": dict(input_shape=(6, 7, 3), kernel_size=(3, 2), strides=(1, 2)),
    "2d_pointwise": dict(input_shape=(4, 4, 3), kernel_size=(1, 1), strides=(2, 2)),
}


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_match_nengo(name, padding, channels_last, transposed):
    kwargs = dict(CONVS[name], padding=padding, channels_last=channels_last)
    if not channels_last:
        *space, channels = kwargs["input_shape"]
        kwargs["input_shape"] = (channels, *space)
    ops = [make_conv(transposed, seed=seed, **kwargs) for seed in range(2)]
    check_parity(ops, random_inputs(), n_steps=2, batch=3)
    check_parity(ops[:1], random_inputs(), n_steps=2, jit_compile=False)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("name", CONVS)
def test_convolutions_as_one_product_match_nengo(name, padding, channels_last):
    kwargs = dict(CONVS[name], padding=padding, channels_last=channels_last)
    if not channels_last:
        *space, channels = kwargs["input_shape"]
        kwargs["input_shape"] = (channels, *space)
    op = make_conv(n_filters=tuning.FEWEST_PATCH_FILTERS, **kwargs)
    check_parity([op], random_inputs(), n_steps=2, batch=3)
    check_parity([op], random_inputs(), n_steps=2, jit_compile=False)


@pytest.mark.parametrize(
    "expected, n_ops, settings",
    [
        ("_by_patches", 1, dict(n_filters=8, input_shape=(9, 9, 1))),
        (
            "_by_patches",
            1,
            dict(n_filters=8, input_shape=(9, 9, 3), kernel_size=(5, 5)),
        ),
        ("_per_group", 1, dict(n_filters=8, input_shape=(9, 9, 5))),
        ("_fused", 1, dict(n_filters=7, input_shape=(9, 9, 3))),
        ("_per_group", 1, dict(n_filters=7, input_shape=(9, 9, 5))),
        ("_fused", 2, dict(n_filters=8, input_shape=(9, 9, 5))),
        ("_per_group", 2, dict(n_filters=8, input_shape=(9, 9, 9))),
    ],
)
def test_formulation_of_convolutions_follows_their_sizes(expected, n_ops, settings):
    ops = [make_conv(seed=seed, **settings) for seed in range(n_ops)]
    config = BuildConfig(0.001, np.dtype(np.float32))
    builder = transforms.ConvIncBuilder(ops, config)
    assert builder._apply.__name__ == expected
    assert builder.avoids_xla == (expected == "_per_group")


@pytest.mark.parametrize("max_fused_taps", [0, 100])
@pytest.mark.parametrize("groups, padding", [(2, "same"), (4, "valid")])
def test_grouped_convolutions_match_nengo(padding, groups, max_fused_taps, monkeypatch):
    monkeypatch.setattr(tuning, "MOST_FUSED_TAPS", max_fused_taps)
    ops = [
        make_conv(
            seed=seed,
            n_filters=8,
            input_shape=(5, 6, 4),
            padding=padding,
            groups=groups,
            strides=(2, 1),
        )
        for seed in range(2)
    ]
    check_parity(ops, random_inputs(), n_steps=2, batch=3)
    check_parity(ops, random_inputs(), n_steps=2, jit_compile=False)


def test_convolutions_match_nengo_in_single_precision(transposed):
    ops = [make_conv(transposed, input_shape=(5, 6, 3))]
    check_parity(
        ops, random_inputs(), n_steps=2, dtype=np.float32, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("transposed", [False, True])
def test_padding_matches_nengo_for_all_small_sizes(transposed, padding):
    """Even kernels, strides beyond the kernel, and every possible output size."""
    rng = np.random.RandomState(0)
    n_checked = 0
    for size, kernel, stride in itertools.product(range(1, 7), range(1, 6), (1, 2, 3)):
        if padding == "valid" and size < kernel and not transposed:
            continue
        kwargs = dict(
            n_filters=2,
            input_shape=(size, 1),
            kernel_size=(kernel,),
            strides=(stride,),
            padding=padding,
        )
        shapes = [None]
        if transposed:
            smallest = nengo.ConvolutionTranspose(**kwargs).output_shape.shape[0]
            shapes = [(smallest + extra, 2) for extra in range(stride)]
        for shape in shapes:
            extra = {} if shape is None else {"output_shape": shape}
            op = make_conv(transposed, **kwargs, **extra)
            signals = nengo.builder.signal.SignalDict()
            op.init_signals(signals)
            x = rng.uniform(-1, 1, size=op.X.shape)
            signals[op.X][...] = x
            op.make_step(signals, 0.001, rng)()
            builder = find_builder(op)([op], BuildConfig(0.001, F64))
            W = op.W.initial_value
            reads = [tf.constant(W[None, None]), tf.constant(x[None, None])]
            y = builder.step(reads, []).incs[0]
            np.testing.assert_allclose(y[0, 0], signals[op.Y], atol=1e-14)
            n_checked += 1
    assert n_checked >= 60


@pytest.mark.parametrize("jit_compile", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("groups, channels_last", [(1, True), (1, False), (2, False)])
def test_three_dimensional_convolutions_match_loops(
    groups, channels_last, padding, jit_compile, transposed
):
    if transposed and groups > 1:
        pytest.skip("nengo has no groups in transposed convolutions")
    kwargs = dict(
        input_shape=(4, 5, 3, 4) if channels_last else (4, 4, 5, 3),
        kernel_size=(2, 3, 2),
        strides=(1, 2, 1),
        padding=padding,
        channels_last=channels_last,
    )
    if not transposed:
        kwargs["groups"] = groups
    ops = [make_conv(transposed, seed=seed, **kwargs) for seed in range(2)]
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(3, 2, *ops[0].X.shape))
    W = np.stack([op.W.initial_value for op in ops])[None]
    builder = find_builder(ops[0])(ops, BuildConfig(0.001, F64, minibatch_size=3))
    step = tf.function(
        lambda *reads: builder.step(reads, []).incs, jit_compile=jit_compile
    )
    (actual,) = step(tf.constant(W), tf.constant(X))
    for b, i in np.ndindex(3, 2):
        expected = convolve(W[0, i], X[b, i], ops[i].conv)
        np.testing.assert_allclose(actual[b, i], expected.ravel(), atol=1e-13)


def test_gradients_of_convolutions_match_finite_differences(transposed):
    op = make_conv(
        transposed, 2, input_shape=(3, 4, 2), kernel_size=(2, 3), padding="same"
    )
    builder = find_builder(op)([op], BuildConfig(0.001, F64))
    X = np.random.RandomState(0).uniform(size=(2, 1, *op.X.shape))
    theoretical, numerical = tf.test.compute_gradient(
        tf.function(lambda *reads: tf.sin(builder.step(reads, []).incs[0])),
        [tf.constant(op.W.initial_value[None, None]), tf.constant(X)],
    )
    for one, other in zip(theoretical, numerical, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_different_convolutions_do_not_merge():
    key = transforms.ConvIncBuilder.merge_key
    ops = [
        make_conv(input_shape=(6, 6, 4), **kwargs)
        for kwargs in [
            {},
            {"padding": "same"},
            {"strides": (2, 2)},
            {"groups": 2},
            {"channels_last": False},
        ]
    ]
    assert len({key(op) for op in ops}) == len(ops)
    assert key(ops[0]) == key(make_conv(input_shape=(6, 6, 4), seed=1))
