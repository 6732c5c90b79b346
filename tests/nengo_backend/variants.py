"""Simulators with other defaults; pytest_nengo takes a class path and no arguments."""

import tensorflow as tf

import nengo_dl


class Float64(nengo_dl.Simulator):
    """Like nengo core, which computes in double precision."""

    defaults = {"dtype": tf.float64}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **self.defaults | kwargs)


class Float64Compiled(Float64):
    defaults = {"dtype": tf.float64, "jit_compile": True}


class Float64Graph(Float64):
    defaults = {"dtype": tf.float64, "jit_compile": False}


class Float32Compiled(Float64):
    defaults = {"dtype": tf.float32, "jit_compile": True}


class Float32Graph(Float64):
    defaults = {"dtype": tf.float32, "jit_compile": False}
