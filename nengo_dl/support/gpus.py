"""GPUs: whether there are any, and their memory."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from nengo_dl.support.lazy_imports import is_imported, tf

__all__ = ["finds_gpu", "let_memory_grow"]

#: What drivers of GPUs that TensorFlow can use show of them: NVIDIA's, AMD's, and those
#: of Linux within Windows.
_DEVICE_FILES = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/kfd", "/dev/dxg")

#: Folder in which packages put devices of other makers for TensorFlow.
_PLUGINS = "tensorflow-plugins"


def finds_gpu() -> bool:
    """Whether TensorFlow finds a GPU.

    It is not imported to find out where there cannot be one.
    """
    if not is_imported() and not _may_be_one():
        return False
    return bool(tf.config.list_logical_devices("GPU"))


@functools.cache
def _may_be_one() -> bool:
    return any(os.path.exists(path) for path in _DEVICE_FILES) or any(
        (Path(folder) / _PLUGINS).is_dir() for folder in sys.path
    )


def let_memory_grow() -> None:
    """Let TensorFlow take memory of GPUs as it is needed, not all of it at once.

    Several processes, and other programs, can then use one GPU. What the user has
    configured before stays as it is, and so does a GPU that is in use.
    """
    if not is_imported() and not _may_be_one():
        return
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except (RuntimeError, ValueError):  # in use, or with limits of the user
            return
