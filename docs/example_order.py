"""The order of the examples, from first steps to work of one's own."""

from pathlib import Path

ORDER = [
    "tutorial",
    "lorenz_attractor",
    "spiking_digits",
    "train_digits",
    "train_mnist",
    "keras_to_spikes",
    "compile_fit",
    "spa_retrieval",
    "spiking_memory",
    "legendre_memory",
    "pes_minibatch",
    "keras_in_a_node",
    "own_neuron_type",
    "save_and_freeze",
    "tensorboard_summaries",
    "to_plain_nengo",
    "nir_exchange",
    "export_onnx",
]


def position(filename):
    """Return the place of an example; new ones come last."""
    name = Path(filename).stem
    return ORDER.index(name) if name in ORDER else len(ORDER)
