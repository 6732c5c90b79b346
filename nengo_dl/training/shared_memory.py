"""Arrays whose memory tensors can use, instead of copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nengo_dl.support.lazy_imports import tf

__all__ = ["empty_for_tensor", "tensor_of"]

#: Where the memory of tensors begins, in bytes: at multiples of this number.
_ALIGNMENT = 64


def empty_for_tensor(shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Return a new array, to be filled, that `tensor_of` need not copy.

    Parameters
    ----------
    shape : sequence of int
        Its shape.
    dtype : numpy.dtype
        Type of its elements.

    Returns
    -------
    ndarray
        Not initialized.
    """
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + _ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def tensor_of(array: np.ndarray) -> tf.Tensor:
    """Return a tensor with the values of an array that nobody will change.

    Parameters
    ----------
    array : ndarray
        Values.

    Returns
    -------
    tf.Tensor
        On the CPU, in the array's memory if this is aligned, contiguous and writable;
        else a copy. (To copy 20 MB takes 5 ms.)
    """
    flags = array.flags
    if (
        array.size
        and flags.c_contiguous
        and flags.writeable
        and array.ctypes.data % _ALIGNMENT == 0
    ):
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)
