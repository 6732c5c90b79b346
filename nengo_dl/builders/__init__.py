"""TensorFlow versions of Nengo's operators; modules are named as Nengo's."""

from nengo_dl.builders import (
    callbacks,
    learning_rules,
    lif_neurons,
    neurons,
    operators,
    processes,
    sparse_products,
    spiking_neurons,
    tensor_nodes,
    transforms,
)
from nengo_dl.builders.base import (
    BuildConfig,
    OpBuilder,
    Writes,
    find_builder,
    register,
)

__all__ = [
    "BuildConfig",
    "OpBuilder",
    "Writes",
    "callbacks",
    "find_builder",
    "learning_rules",
    "lif_neurons",
    "neurons",
    "operators",
    "processes",
    "register",
    "sparse_products",
    "spiking_neurons",
    "tensor_nodes",
    "transforms",
]
