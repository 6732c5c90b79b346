"""Memory of GPUs."""

from __future__ import annotations

import tensorflow as tf

__all__ = ["let_memory_grow"]


def let_memory_grow() -> None:
    """Let TensorFlow take memory of GPUs as it is needed, not all of it at once.

    Several processes, and other programs, can then use one GPU. What the user has
    configured before stays as it is, and so does a GPU that is in use.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except (RuntimeError, ValueError):  # in use, or with limits of the user
            return
