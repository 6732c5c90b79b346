"""Small Keras models, of which together every layer that is converted is part."""

import keras
import numpy as np
from keras import layers as L


def chain(*layers, shape=(6, 6, 3)):
    return keras.Sequential([keras.Input(shape), *layers])


def conv_bn_relu(x, filters, strides=1, size=3, activate=True):
    x = L.Conv2D(filters, size, strides=strides, padding="same", use_bias=False)(x)
    x = L.BatchNormalization()(x)
    return L.Activation("relu")(x) if activate else x


def resnet20(width=2, side=8):
    """ResNet-20 for small images (He et al., 2016), with few channels."""
    inputs = keras.Input((side, side, 3))
    x = conv_bn_relu(inputs, width)
    for stage, filters in enumerate((width, 2 * width, 4 * width)):
        for block in range(3):
            strides = 2 if stage and not block else 1
            y = conv_bn_relu(x, filters, strides)
            y = conv_bn_relu(y, filters, activate=False)
            if x.shape[1:] != y.shape[1:]:
                x = conv_bn_relu(x, filters, strides, size=1, activate=False)
            x = L.Activation("relu")(L.Add()([x, y]))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(10)(x))


def mobilenet(side=8):
    """Depthwise-separable blocks, with rectifiers that end at 6."""
    inputs = keras.Input((side, side, 3))
    x = conv_bn_relu(inputs, 4, 2)
    for filters, strides in ((6, 1), (8, 2)):
        x = L.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
        x = L.ReLU(6.0)(L.BatchNormalization()(x))
        x = L.ReLU(6.0)(conv_bn_relu(x, filters, size=1, activate=False))
    x = L.GlobalAveragePooling2D(keepdims=True)(x)
    x = L.Conv2D(5, 1)(L.Dropout(0.1)(x))
    return keras.Model(inputs, L.Softmax()(L.Reshape((5,))(x)))


def unet(side=8):
    inputs = keras.Input((side, side, 2))
    down = [L.Conv2D(4, 3, padding="same", activation="relu")(inputs)]
    for filters in (6, 8):
        x = L.MaxPooling2D(2)(down[-1])
        down.append(L.Conv2D(filters, 3, padding="same", activation="relu")(x))
    x = down.pop()
    x = L.Conv2DTranspose(6, 2, strides=2, padding="same")(x)
    x = L.Concatenate()([x, down.pop()])
    x = L.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = L.UpSampling2D(2)(x)
    x = L.Concatenate()([x, L.Cropping2D(0)(down.pop())])
    return keras.Model(inputs, L.Conv2D(1, 1, activation="sigmoid")(x))


def inception():
    inputs = keras.Input((6, 6, 4))

    def conv(x, filters, size):
        return L.Conv2D(filters, size, padding="same", activation="relu")(x)

    branches = [
        conv(inputs, 2, 1),
        conv(conv(inputs, 2, 1), 3, 3),
        conv(conv(inputs, 1, 1), 2, 5),
        conv(L.MaxPooling2D(3, strides=1, padding="same")(inputs), 2, 1),
        conv(L.AveragePooling2D(3, strides=1, padding="same")(inputs), 2, 1),
    ]
    x = L.GlobalMaxPooling2D()(L.Concatenate()(branches))
    return keras.Model(inputs, L.Dense(3, activation="softmax")(x))


def text_cnn():
    inputs = keras.Input((12,), dtype="int32")
    x = L.SpatialDropout1D(0.2)(L.Embedding(20, 5)(inputs))
    branches = []
    for size in (2, 3, 4):
        y = L.Conv1D(4, size, activation="relu", padding="causal")(x)
        branches.append(L.GlobalMaxPooling1D()(y))
    x = L.Concatenate()(branches)
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(L.Dropout(0.5)(x)))


def several_ends():
    a, b = keras.Input((5,), name="left"), keras.Input((5,), name="right")
    shared = L.Dense(4, activation="tanh")
    x, y = shared(a), shared(b)
    z = L.Subtract()([x, y])
    merged = L.Average()([x, y, z])
    product = L.Multiply()([x, y])
    return keras.Model([a, b], [merged, L.Concatenate()([z, product]), x])


def nested():
    inner = keras.Sequential(
        [keras.Input((4,)), L.Dense(3, activation="relu"), L.Dense(4)], name="inner"
    )
    start = keras.Input((4,))
    middle = keras.Model(start, inner(inner(start)) + start, name="middle")
    inputs = keras.Input((4,))
    return keras.Model(inputs, L.Add()([middle(inputs), inputs]))


def attention():
    inputs = keras.Input((4, 6))
    x = L.MultiHeadAttention(2, 3)(inputs, inputs, use_causal_mask=True)
    x = L.LayerNormalization()(L.Add()([inputs, x]))
    x, state = L.GRU(3, return_state=True)(x)
    return keras.Model(inputs, [x, L.Dense(2)(state)])


def sequence(**kwargs):
    return chain(
        L.TimeDistributed(L.Dense(5, activation="relu")),
        L.Dense(4),
        L.BatchNormalization(),
        L.SimpleRNN(3, return_sequences=True, **kwargs),
        L.Dropout(0.5),
        L.Dense(2),
        shape=(7, 3),
    )


def normalization():
    layer = L.Normalization()
    layer.adapt(np.random.RandomState(0).uniform(1, 3, (50, 4)))
    return chain(layer, L.Rescaling(0.5, offset=1.0), L.ReLU(), shape=(4,))


MODELS = {
    "dense": lambda: chain(
        L.Dense(8, "relu"), L.GaussianNoise(0.1), L.Dense(3, "softmax"), shape=(5,)
    ),
    "dense along images": lambda: chain(L.Dense(4, "relu"), L.Dense(2)),
    "conv1d": lambda: chain(
        L.Conv1D(4, 3, activation="relu"),
        L.Conv1D(4, 3, strides=2, padding="causal"),
        L.AveragePooling1D(2),
        L.Conv1DTranspose(2, 3, strides=2, activation="tanh"),
        shape=(12, 2),
    ),
    "conv2d": lambda: chain(
        L.Conv2D(4, (3, 2), strides=(1, 2), padding="same"),
        L.ReLU(),
        L.Conv2D(4, 3, groups=2, activation="sigmoid"),
    ),
    "dilated": lambda: chain(L.Conv2D(3, 2, dilation_rate=2, activation="relu")),
    "conv3d": lambda: chain(
        L.ZeroPadding3D((1, 0, 0)),
        L.Conv3D(3, 2, activation="relu"),
        L.AveragePooling3D(2),
        L.Conv3DTranspose(2, 2),
        shape=(3, 4, 5, 2),
    ),
    "transpose": lambda: chain(
        L.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu"),
        L.BatchNormalization(),
        L.Conv2DTranspose(2, 2, strides=3),
        shape=(3, 3, 2),
    ),
    "depthwise": lambda: chain(
        L.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        L.DepthwiseConv2D(2, strides=2, padding="same"),
        L.BatchNormalization(),
        L.LeakyReLU(0.1),
    ),
    "depthwise 1d": lambda: chain(
        L.DepthwiseConv1D(3, padding="same"), L.SeparableConv1D(3, 3), shape=(8, 2)
    ),
    "separable": lambda: chain(
        L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same"),
        L.BatchNormalization(),
        L.Activation("relu"),
        L.SeparableConv2D(3, 2, strides=2, activation="tanh"),
    ),
    "batch normalization": lambda: chain(
        L.BatchNormalization(scale=False),
        L.Activation("tanh"),
        L.BatchNormalization(center=False),
        L.Flatten(),
        L.Dense(4, use_bias=False),
        L.BatchNormalization(),
        L.Dropout(0.5),
        L.ReLU(),
    ),
    "normalization": normalization,
    "activations": lambda: chain(
        L.Dense(6, "leaky_relu"),
        L.LeakyReLU(0.3),
        L.ReLU(negative_slope=0.2),
        L.ELU(),
        L.PReLU(),
        L.Dense(4, "gelu"),
        L.Activation("swish"),
        L.Activation("linear"),
        L.ReLU(1.0, threshold=0.1),
        shape=(5,),
    ),
    "average pooling": lambda: chain(
        L.AveragePooling2D(2),
        L.AveragePooling2D(2, strides=1, padding="same"),
        L.Activation("relu"),
        L.GlobalAveragePooling2D(),
    ),
    "max pooling": lambda: chain(
        L.SpatialDropout2D(0.5), L.MaxPooling2D(2, strides=1), L.Conv2D(2, 2)
    ),
    "max pooling of volumes": lambda: chain(
        L.SpatialDropout3D(0.5),
        L.MaxPooling3D(2, strides=1),
        L.GlobalMaxPooling3D(keepdims=True),
        L.Reshape((2, 1)),
        L.MaxPooling1D(2, padding="same"),
        shape=(3, 3, 3, 2),
    ),
    "moves": lambda: chain(
        L.ZeroPadding2D(((1, 0), (0, 2))),
        L.Cropping2D(((0, 1), (1, 1))),
        L.Permute((2, 3, 1)),
        L.UpSampling2D((2, 1)),
        L.Reshape((-1, 3)),
        L.Cropping1D(2),
        L.ZeroPadding1D(1),
        L.UpSampling1D(2),
        L.Flatten(),
        L.RepeatVector(2),
        L.Dense(3),
    ),
    "moves in volumes": lambda: chain(
        L.Cropping3D(((0, 1), (1, 0), (0, 0))),
        L.UpSampling3D((1, 2, 1)),
        L.GlobalAveragePooling3D(),
        shape=(3, 3, 2, 2),
    ),
    "several ends": several_ends,
    "nested": nested,
    "time distributed": lambda: chain(
        L.TimeDistributed(L.Dense(3, "relu")),
        L.TimeDistributed(L.Dense(2)),
        L.GlobalAveragePooling1D(),
        shape=(4, 5),
    ),
    "recurrent": sequence,
    "attention": attention,
    "text": text_cnn,
    "inception": inception,
    "unet": unet,
    "mobilenet": mobilenet,
    "resnet20": resnet20,
}


def make(name, seed=0):
    """Return a model with weights that are not those of the beginning."""
    keras.utils.set_random_seed(seed)
    return randomized(MODELS[name](), seed)


def randomized(model, seed=0):
    """Give biases and statistics of batches values that show."""
    rng = np.random.RandomState(seed)
    for variable in model.variables:
        kind = variable.path.rpartition("/")[2]
        if kind in ("bias", "beta", "moving_mean"):
            variable.assign(0.3 * rng.randn(*variable.shape))
        elif kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model
