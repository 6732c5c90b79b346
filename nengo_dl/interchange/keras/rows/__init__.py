"""Converters of layers, one row for each type."""

from nengo_dl.interchange.keras.rows import (  # noqa: F401 (they register themselves)
    activation,
    convolutions,
    dense,
    merging,
    normalization,
    pooling,
    reshaping,
    sequences,
)
