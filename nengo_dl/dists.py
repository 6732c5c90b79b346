"""Distributions for initial parameters that Nengo does not have.

They are Nengo distributions: drawn with the network's seed, and usable wherever one is
(the transform of a connection, encoders, gains, ...), in any Nengo simulator.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from nengo.dists import Distribution
from nengo.params import EnumParam, ShapeParam

from nengo_dl.support.finite import FiniteParam

__all__ = ["Glorot", "He", "TruncatedNormal", "VarianceScaling"]

#: Standard deviation of a standard normal distribution that is cut off at two.
_STDDEV_WITHIN_TWO = 0.87962566103423978

#: Limit below which too many samples of a normal distribution would be drawn in vain.
_NARROW = 1.0


def _truncated(n_samples: int, limit: float, rng: np.random.RandomState) -> np.ndarray:
    """Draw from a standard normal distribution within some distance of zero."""
    found = np.empty(n_samples)
    n_found = 0
    while n_found < n_samples:
        missing = n_samples - n_found
        if limit < _NARROW:
            proposed = rng.uniform(-limit, limit, missing)
            # kept with a probability that is proportional to the density
            keep = rng.uniform(0, 1, missing) < np.exp(-0.5 * proposed**2)
        else:
            proposed = rng.standard_normal(missing)
            keep = np.abs(proposed) <= limit
        proposed = proposed[keep]
        found[n_found : n_found + len(proposed)] = proposed
        n_found += len(proposed)
    return found


class TruncatedNormal(Distribution):
    r"""A normal distribution without its tails.

    Parameters
    ----------
    mean : float
        Mean.
    stddev : float
        Standard deviation that the distribution would have with its tails; positive.
    limit : float, optional
        Samples lie within this distance of the mean. Default: two standard deviations
        (what is left then has a standard deviation of :math:`0.8796 \sigma`).

    Examples
    --------
    >>> dist = nengo_dl.dists.TruncatedNormal(stddev=0.1)
    >>> samples = dist.sample(1000, rng=np.random.RandomState(0))
    >>> bool(np.abs(samples).max() <= 0.2)
    True
    """

    mean: Any = FiniteParam("mean")
    stddev: Any = FiniteParam("stddev", low=0, low_open=True)
    limit: Any = FiniteParam("limit", low=0, low_open=True, optional=True)

    def __init__(
        self, mean: float = 0.0, stddev: float = 1.0, limit: float | None = None
    ):
        super().__init__()
        self.mean = mean
        self.stddev = stddev
        self.limit = limit

    def sample(self, n, d=None, rng=np.random):
        """Draw samples.

        Parameters
        ----------
        n : int
            Number of samples.
        d : int, optional
            Number of dimensions of each.
        rng : numpy.random.RandomState
            Random stream.

        Returns
        -------
        (n,) or (n, d) ndarray
            Samples.
        """
        shape = self._sample_shape(n, d)
        limit = 2.0 if self.limit is None else self.limit / self.stddev
        found = _truncated(int(np.prod(shape)), limit, rng).reshape(shape)
        return self.mean + self.stddev * found


class VarianceScaling(Distribution):
    r"""A distribution whose variance depends on the shape of what is drawn.

    It keeps activity, or gradients, of the same size from layer to layer.

    Parameters
    ----------
    scale : float
        Factor of the variance; positive.
    mode : "fan_in" or "fan_out" or "fan_avg"
        What the variance is divided by: the number of inputs of a unit, the number of
        outputs, or the mean of both.
    distribution : "uniform" or "normal"
        Shape of the distribution. The normal distribution is cut off at two standard
        deviations, and widened so that its variance is as given below.
    kernel_size : tuple of int, optional
        Size of the kernel of a convolution; must be given where a
        `nengo.Convolution` or `nengo.ConvolutionTranspose` is initialized with this,
        and only there.

    Notes
    -----
    The mean is zero, and the variance [1]_ [2]_

    .. math:: \sigma^2 = \frac{scale}{n}

    where :math:`n` follows from the arguments with which Nengo calls `sample`:

    - Matrices (dense transforms, encoders) are drawn as ``sample(size_out, size_in)``:
      ``fan_in`` is ``d``, and ``fan_out`` is ``n``.
    - Vectors (gains, biases) are drawn as ``sample(size)``: ``fan_in`` is 1, and
      ``fan_out`` is ``n``.
    - Kernels of convolutions are drawn as ``sample(channels, n_filters)``, once for
      each of their elements: with ``kernel_size``, ``fan_in`` is ``n`` times the number
      of elements, and ``fan_out`` is ``d`` times that number.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio. Understanding the difficulty of training deep
       feedforward neural networks. AISTATS 2010, 249-256.
    .. [2] K. He, X. Zhang, S. Ren, J. Sun. Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification. ICCV 2015, 1026-1034.

    Examples
    --------
    >>> dist = nengo_dl.dists.VarianceScaling(mode="fan_in")
    >>> weights = dist.sample(200, 100, rng=np.random.RandomState(0))
    >>> bool(np.isclose(weights.std(), 0.1, rtol=0.01))
    True
    """

    scale: Any = FiniteParam("scale", low=0, low_open=True)
    mode = EnumParam("mode", values=("fan_in", "fan_out", "fan_avg"))
    distribution = EnumParam("distribution", values=("uniform", "normal"))
    kernel_size = ShapeParam("kernel_size", low=1, optional=True)

    #: Variance times fan for a scale of 1.
    _gain: ClassVar[float] = 1.0

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_avg",
        distribution: str = "uniform",
        kernel_size: tuple[int, ...] | None = None,
    ):
        super().__init__()
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.kernel_size = kernel_size

    def _fans(self, n: int, d: int | None) -> tuple[float, float]:
        """Return the numbers of inputs and outputs of a unit."""
        if self.kernel_size is not None:
            n_elements = float(np.prod(self.kernel_size))
            return n * n_elements, (1 if d is None else d) * n_elements
        return 1.0 if d is None else float(d), float(n)

    def sample(self, n, d=None, rng=np.random):
        """Draw samples.

        Parameters
        ----------
        n : int
            Number of samples; for weights, the number of outputs.
        d : int, optional
            Number of dimensions of each; for weights, the number of inputs.
        rng : numpy.random.RandomState
            Random stream.

        Returns
        -------
        (n,) or (n, d) ndarray
            Samples.
        """
        shape = self._sample_shape(n, d)
        fan_in, fan_out = self._fans(n, d)
        divisor = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
        }[self.mode]
        stddev = np.sqrt(self._gain * self.scale / max(divisor, 1.0))
        if self.distribution == "uniform":
            limit = np.sqrt(3.0) * stddev
            return rng.uniform(-limit, limit, size=shape)
        found = _truncated(int(np.prod(shape)), 2.0, rng).reshape(shape)
        return found * (stddev / _STDDEV_WITHIN_TWO)


class Glorot(VarianceScaling):
    r"""Initial weights for layers of units that are linear around zero.

    Also known as Xavier initialization: `VarianceScaling` by the mean of the numbers of
    inputs and outputs, a compromise between activity and gradients of equal size.

    Parameters
    ----------
    scale : float
        Factor of the variance; positive.
    distribution : "uniform" or "normal"
        Shape of the distribution.
    kernel_size : tuple of int, optional
        For convolutions; see `VarianceScaling`.

    Notes
    -----
    .. math:: \sigma^2 = \frac{2 \, scale}{fan_{in} + fan_{out}}

    References
    ----------
    .. [1] X. Glorot, Y. Bengio. Understanding the difficulty of training deep
       feedforward neural networks. AISTATS 2010, 249-256.

    Examples
    --------
    >>> with nengo.Network(seed=0) as net:
    ...     a, b = nengo.Ensemble(50, 1), nengo.Ensemble(30, 1)
    ...     conn = nengo.Connection(
    ...         a.neurons, b.neurons, transform=nengo_dl.dists.Glorot())
    """

    def __init__(
        self,
        scale: float = 1.0,
        distribution: str = "uniform",
        kernel_size: tuple[int, ...] | None = None,
    ):
        super().__init__(scale, "fan_avg", distribution, kernel_size)


class He(VarianceScaling):
    r"""Initial weights for layers of rectified linear units.

    `VarianceScaling` by the number of inputs, and twice as large since half of the
    units are silent.

    Parameters
    ----------
    scale : float
        Factor of the variance; positive.
    distribution : "uniform" or "normal"
        Shape of the distribution.
    kernel_size : tuple of int, optional
        For convolutions; see `VarianceScaling`.

    Notes
    -----
    .. math:: \sigma^2 = \frac{2 \, scale}{fan_{in}}

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren, J. Sun. Delving deep into rectifiers: Surpassing
       human-level performance on ImageNet classification. ICCV 2015, 1026-1034.

    Examples
    --------
    >>> transform = nengo.Convolution(
    ...     n_filters=8, input_shape=(28, 28, 1), kernel_size=(3, 3),
    ...     init=nengo_dl.dists.He(kernel_size=(3, 3)))
    """

    _gain = 2.0

    def __init__(
        self,
        scale: float = 1.0,
        distribution: str = "normal",
        kernel_size: tuple[int, ...] | None = None,
    ):
        super().__init__(scale, "fan_in", distribution, kernel_size)
