"""Simulators with other defaults; pytest_nengo takes a class path and no arguments."""

import tensorflow as tf

import nengo_dl


class Float64(nengo_dl.Simulator):
    """In double precision, like nengo's own simulator."""

    default_dtype = tf.float64
    default_jit = None

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("dtype", self.default_dtype)
        kwargs.setdefault("jit_compile", self.default_jit)
        super().__init__(*args, **kwargs)


class Float64Compiled(Float64):
    default_jit = True


class Float64Graph(Float64):
    default_jit = False


class Float32Compiled(Float64):
    default_dtype = tf.float32
    default_jit = True


class Float32Graph(Float64):
    default_dtype = tf.float32
    default_jit = False
