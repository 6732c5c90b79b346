"""Kernels of the user's TensorFlow code."""

from nengo_dl.builders.tensor_code import nodes

__all__ = ["nodes"]
