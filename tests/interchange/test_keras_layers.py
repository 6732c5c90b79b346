"""Each type of layer with its options: padding, strides, dilation, groups, axes."""

import keras
import numpy as np
import pytest
from keras import layers as L
from nengo.exceptions import ValidationError

import nengo_dl
from tests.interchange.keras_models import chain, randomized

#: Shapes of sequences, images and volumes, with axes of odd and even lengths.
SHAPES = {1: (9, 4), 2: (7, 6, 4), 3: (5, 4, 3, 4)}


def convolutions(kind, size):
    """Return convolutions: those that become Nengo objects, and those that do not."""
    even = size - 1
    native = [
        kind(4, size, strides=2, activation="relu"),
        kind(2, even, padding="same", strides=2),
        kind(2, size, padding="same", use_bias=False),
        kind(4, size, groups=2, strides=2, padding="same"),
        kind(8, even, groups=4, activation="tanh"),
    ]
    return native, [kind(2, 2, dilation_rate=2, padding="same", activation="relu")]


def transposes(kind):
    native = [
        kind(2, 3, strides=2, activation="relu"),
        kind(3, 2, strides=3),
        kind(2, 4, strides=2, padding="same", use_bias=False),
        kind(2, 3, padding="same"),
    ]
    others = [kind(2, 2, dilation_rate=2)]
    padded = kind(2, 3, strides=2, output_padding=1)
    if "output_padding" in padded.get_config():  # from Keras 3.15 on
        others.append(padded)
    return native, others


def depthwise(kind):
    native = [
        kind(3, strides=2, padding="same"),
        kind(2, depth_multiplier=3, activation="relu"),
        kind(3, use_bias=False),
    ]
    return native, [kind(2, dilation_rate=2)]


def separable(kind):
    native = [
        kind(3, 3, strides=2, padding="same", activation="relu"),
        kind(2, 2, depth_multiplier=2, use_bias=False),
    ]
    return native, [kind(3, 2, dilation_rate=2)]


def pooling(average, maximum):
    native, others = [], []
    for kind, found in ((average, native), (maximum, others)):
        found += [
            kind(2),
            kind(3, strides=2, padding="same"),
            kind(2, strides=1),
            kind(2, strides=3, padding="same"),
        ]
    return native, others


def reducing(average, maximum):
    return [average(), average(keepdims=True)], [maximum(), maximum(keepdims=True)]


#: Number of axes, layers that become Nengo objects, and layers that are TensorNodes.
LAYERS = {
    "Conv1D": lambda: (
        1,
        [*convolutions(L.Conv1D, 3)[0], L.Conv1D(3, 4, strides=2, padding="causal")],
        [
            *convolutions(L.Conv1D, 3)[1],
            L.Conv1D(3, 2, padding="causal", dilation_rate=3),
        ],
    ),
    "Conv2D": lambda: (2, *convolutions(L.Conv2D, 3)),
    "Conv3D": lambda: (3, *convolutions(L.Conv3D, 3)),
    "Conv1DTranspose": lambda: (1, *transposes(L.Conv1DTranspose)),
    "Conv2DTranspose": lambda: (2, *transposes(L.Conv2DTranspose)),
    "Conv3DTranspose": lambda: (3, *transposes(L.Conv3DTranspose)),
    "DepthwiseConv1D": lambda: (1, *depthwise(L.DepthwiseConv1D)),
    "DepthwiseConv2D": lambda: (2, *depthwise(L.DepthwiseConv2D)),
    "SeparableConv1D": lambda: (1, *separable(L.SeparableConv1D)),
    "SeparableConv2D": lambda: (2, *separable(L.SeparableConv2D)),
    "Pooling1D": lambda: (1, *pooling(L.AveragePooling1D, L.MaxPooling1D)),
    "Pooling2D": lambda: (2, *pooling(L.AveragePooling2D, L.MaxPooling2D)),
    "Pooling3D": lambda: (3, *pooling(L.AveragePooling3D, L.MaxPooling3D)),
    "GlobalPooling1D": lambda: (
        1,
        *reducing(L.GlobalAveragePooling1D, L.GlobalMaxPooling1D),
    ),
    "GlobalPooling2D": lambda: (
        2,
        *reducing(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D),
    ),
    "GlobalPooling3D": lambda: (
        3,
        *reducing(L.GlobalAveragePooling3D, L.GlobalMaxPooling3D),
    ),
    "sequences": lambda: (
        1,
        [
            *(L.ZeroPadding1D(width) for width in (2, (0, 1))),
            *(L.Cropping1D(width) for width in (1, (2, 0))),
            L.UpSampling1D(3),
            L.Permute((2, 1)),
            L.Dense(3, "relu"),
            L.TimeDistributed(L.Dense(2)),
        ],
        [
            L.TimeDistributed(L.Reshape((2, 2))),
            L.LSTM(2, return_sequences=True, go_backwards=True),
            L.BatchNormalization(axis=1),
            L.Softmax(axis=1),
        ],
    ),
    "images": lambda: (
        2,
        [
            *(L.ZeroPadding2D(width) for width in (1, (0, 2), ((0, 1), (2, 0)))),
            *(L.Cropping2D(width) for width in (1, (0, 2), ((0, 1), (2, 0)))),
            *(L.UpSampling2D(size) for size in (2, (1, 3))),
            L.Permute((3, 1, 2)),
            L.Reshape((-1, 8)),
            L.BatchNormalization(epsilon=0.1),
        ],
        [
            L.UpSampling2D(2, interpolation="bilinear"),
            L.Rescaling(np.ones((6, 4)) / 2, np.ones((6, 4))),
            L.PReLU(alpha_initializer="normal", shared_axes=(1, 2)),
        ],
    ),
    "volumes": lambda: (
        3,
        [
            *(L.ZeroPadding3D(width) for width in (1, (0, 1, 2))),
            *(L.Cropping3D(width) for width in (1, ((0, 1), (2, 0), (0, 0)))),
            L.UpSampling3D((1, 3, 2)),
            L.Permute((4, 2, 1, 3)),
        ],
        [],
    ),
}


def made(layers, shape):
    """Return a model with all of the layers side by side."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    return randomized(keras.Model(inputs, [layer(inputs) for layer in layers]))


@pytest.mark.parametrize("name", LAYERS)
def test_options_of_layers_are_those_of_keras(name):
    n_axes, native, others = LAYERS[name]()
    model = made([*native, *others], SHAPES[n_axes])
    converter = nengo_dl.Converter(model)
    assert converter.verify(rtol=1e-5)
    assert set(converter.report.fallbacks) == {layer.name for layer in others}


MERGED = {
    "rows": L.Concatenate(axis=1),
    "columns": L.Concatenate(axis=-2),
    "channels": L.Concatenate(),
    "sum": L.Add(),
    "difference": L.Subtract(),
    "mean": L.Average(),
    "product": L.Multiply(),
    "maximum": L.Maximum(),
    "minimum": L.Minimum(),
    "dot": L.Dot(axes=(3, 3)),
}


@pytest.mark.parametrize("name", MERGED)
def test_merged_inputs_are_those_of_keras(name):
    a, b = (keras.Input((3, 2, 4), name=name) for name in "ab")
    model = keras.Model([a, b], L.Activation("relu")(MERGED[name]([a, b])))
    converter = nengo_dl.Converter(model)
    assert converter.verify(rtol=1e-5)
    native = name not in ("product", "maximum", "minimum", "dot")
    assert (converter.report[0].fallback is None) == native


@pytest.mark.parametrize("name", ["sum", "difference", "mean", "product"])
def test_shapes_of_merged_inputs_are_broadcast_as_in_keras(name):
    kind = type(MERGED[name])
    a, b = keras.Input((3, 1, 4)), keras.Input((1, 2, 1))
    model = keras.Model([a, b], kind()([a, b]))
    assert nengo_dl.Converter(model).verify(rtol=1e-5)


FIRST = {"data_format": "channels_first"}
CHANNELS_FIRST = [
    L.Conv2D(2, 3, **FIRST),
    L.Conv3DTranspose(2, 2, **FIRST),
    L.DepthwiseConv1D(2, **FIRST),
    L.SeparableConv2D(2, 2, **FIRST),
    L.AveragePooling2D(2, **FIRST),
    L.GlobalAveragePooling1D(**FIRST),
    L.Flatten(**FIRST),
    L.Cropping2D(1, **FIRST),
    L.UpSampling2D(2, **FIRST),
    L.ZeroPadding3D(1, **FIRST),
]


@pytest.mark.parametrize(
    "layer", CHANNELS_FIRST, ids=lambda layer: type(layer).__name__
)
def test_layers_with_channels_first_are_left_to_keras(layer):
    n_axes = next((n for n in (1, 3) if f"{n}D" in type(layer).__name__), 2)
    shape = (4, 5, 4, 3)[: n_axes + 1]
    model = randomized(chain(layer, shape=shape))
    with pytest.raises(ValidationError, match="its channels come first"):
        nengo_dl.Converter(model, allow_fallback=False)
    assert nengo_dl.Converter(model).verify()
