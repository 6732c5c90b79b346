"""Pooling, and zeros around images, as transforms of Nengo."""

from __future__ import annotations

from math import prod

import nengo
import numpy as np

__all__ = ["Pooling", "ZeroPadding"]

Shape = tuple[int, ...]


class Pooling(nengo.Sparse):
    """Sums or means of windows of an image, as a sparse matrix.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, height and width.
    kernel_size, strides, padding : tuple of int
        Height and width of the windows, their distance, and how many zeros are around
        the image.
    mean : bool
        Whether sums are divided by the size of the window.
    """

    def __init__(
        self,
        image_shape: Shape,
        kernel_size: Shape,
        strides: Shape,
        padding: Shape = (0, 0),
        mean: bool = False,
    ):
        self.image_shape = tuple(image_shape)
        self.kernel_size = tuple(kernel_size)
        self.strides = tuple(strides)
        self.padding = tuple(padding)
        self.mean = mean
        self.output_shape = self.given_shape(
            self.image_shape, self.kernel_size, self.strides, self.padding
        )
        indices = self._windows()
        value = 1 / prod(self.kernel_size) if mean else 1.0
        super().__init__(
            (prod(self.output_shape), prod(self.image_shape)),
            indices=indices,
            init=np.full(len(indices), value),
        )

    @staticmethod
    def given_shape(
        taken: Shape, kernel_size: Shape, strides: Shape, padding: Shape
    ) -> Shape:
        """Return channels, height and width of what is left."""
        if min(kernel_size + strides) < 1 or min(padding) < 0:
            raise ValueError(
                f"windows of {kernel_size}, strides {strides}, padding {padding}"
            )
        if len(taken) != 3:
            raise ValueError(f"it gets the shape {taken}; expected channels and 2 axes")
        return (
            taken[0],
            *(
                (n + 2 * p - k) // s + 1
                for n, k, s, p in zip(taken[1:], kernel_size, strides, padding)
            ),
        )

    def _windows(self) -> np.ndarray:
        """Return rows and columns of the entries, shape ``(n_entries, 2)``."""
        n_channels, height, width = self.image_shape
        axes = []
        for n, out, k, s, p in zip(
            (height, width),
            self.output_shape[1:],
            self.kernel_size,
            self.strides,
            self.padding,
        ):
            places = np.arange(out)[:, None] * s + np.arange(k) - p
            axes.append(np.where((places >= 0) & (places < n), places, -1))
        rows, columns = axes
        pixel = np.where(
            (rows[:, None, :, None] < 0) | (columns[None, :, None, :] < 0),
            -1,
            rows[:, None, :, None] * width + columns[None, :, None, :],
        ).reshape(prod(self.output_shape[1:]), -1)
        window, entry = np.nonzero(pixel >= 0)
        found = np.stack([window, pixel[window, entry]], axis=1)
        steps = np.array([prod(self.output_shape[1:]), height * width])
        offsets = np.arange(n_channels)[:, None, None] * steps
        return (found[None] + offsets).reshape(-1, 2)


class ZeroPadding(nengo.Sparse):
    """Zeros around an image, as a sparse matrix.

    Parameters
    ----------
    image_shape : tuple of int
        Channels, and the lengths of the axes.
    padding : tuple of int
        Zeros before and after, for each axis.
    """

    def __init__(self, image_shape: Shape, padding: Shape):
        self.image_shape = tuple(image_shape)
        self.padding = tuple(padding)
        self.output_shape = (
            image_shape[0],
            *(n + 2 * p for n, p in zip(image_shape[1:], padding)),
        )
        places = np.arange(prod(self.output_shape)).reshape(self.output_shape)
        for axis, (n, p) in enumerate(zip(image_shape[1:], padding), start=1):
            places = np.take(places, np.arange(p, p + n), axis=axis)
        n_entries = prod(self.image_shape)
        super().__init__(
            (prod(self.output_shape), n_entries),
            indices=np.stack([places.ravel(), np.arange(n_entries)], axis=1),
            init=np.ones(n_entries),
        )
