"""Measures how fast and how large simulations are, with this and other simulators.

Used from the command line: ``python -m nengo_dl.benchmarks --help``. Importing nengo_dl
does not import this package.
"""

from nengo_dl.benchmarks.measure import (
    CORE,
    NENGO_DL,
    Backend,
    BackendError,
    Effort,
    Measurement,
    measure,
)
from nengo_dl.benchmarks.training.measure import TrainingMeasurement, measure_training

__all__ = [
    "CORE",
    "NENGO_DL",
    "Backend",
    "BackendError",
    "Effort",
    "Measurement",
    "TrainingMeasurement",
    "measure",
    "measure_training",
]
