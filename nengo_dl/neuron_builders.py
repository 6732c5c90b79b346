"""Where the older library kept builders of neurons; see `nengo_dl.builder`."""

from __future__ import annotations

from typing import Any, ClassVar

from nengo_dl.builder import OpBuilder, say_unused

__all__ = [
    "GenericNeuronBuilder",
    "LIFBuilder",
    "LIFRateBuilder",
    "RectifiedLinearBuilder",
    "SigmoidBuilder",
    "SimNeuronsBuilder",
    "SoftLIFRateBuilder",
    "SpikingRectifiedLinearBuilder",
    "TFNeuronBuilder",
]


class _Registry(dict):
    """Keeps builders by neuron type, and warns that they are not used."""

    def __setitem__(self, neuron_type: type, builder: Any) -> None:
        if neuron_type not in self:
            say_unused(neuron_type.__name__)
        super().__setitem__(neuron_type, builder)


class TFNeuronBuilder(OpBuilder):
    """Base of builders of neurons."""


class GenericNeuronBuilder(TFNeuronBuilder):
    """Name of the older library's builder for neurons without one."""


class RectifiedLinearBuilder(TFNeuronBuilder):
    """Name of the older library's builder for `nengo.RectifiedLinear`."""


class SpikingRectifiedLinearBuilder(RectifiedLinearBuilder):
    """Name of the older library's builder for `nengo.SpikingRectifiedLinear`."""


class SigmoidBuilder(TFNeuronBuilder):
    """Name of the older library's builder for `nengo.Sigmoid`."""


class LIFRateBuilder(TFNeuronBuilder):
    """Name of the older library's builder for `nengo.LIFRate`."""


class SoftLIFRateBuilder(LIFRateBuilder):
    """Name of the older library's builder for `nengo_dl.SoftLIFRate`."""


class LIFBuilder(SoftLIFRateBuilder):
    """Name of the older library's builder for `nengo.LIF`."""


class SimNeuronsBuilder(OpBuilder):
    """Name of the older library's builder for all neurons.

    Attributes
    ----------
    TF_NEURON_IMPL : dict of {type: type}
        Builders by neuron type.
    """

    TF_NEURON_IMPL: ClassVar[dict[type, type]] = _Registry()
