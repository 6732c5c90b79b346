"""Networks of Keras models."""

from nengo_dl.interchange.keras.converter import Converter
from nengo_dl.interchange.keras.layer_converter import LayerConverter
from nengo_dl.interchange.keras.scales import firing_rate_scales

__all__ = ["Converter", "LayerConverter", "firing_rate_scales"]
