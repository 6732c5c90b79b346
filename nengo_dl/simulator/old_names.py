"""What took the place of attributes of the older library's simulator."""

from __future__ import annotations

from typing import Any

__all__ = ["OldNames"]

_INSTEAD = {
    "sess": "there are no sessions in TensorFlow 2; values are in sim.data, "
    "sim.signals and sim.trainable_variables",
    "tensor_graph": "there is no graph to look at; see sim.summary(), sim.data and "
    "sim.trainable_parameters",
    "graph": "there is no graph to look at; see sim.summary(), or tensorboard=",
    "summary_writer": "pass tensorboard=folder to the simulator, summaries= to train",
    "rng": "streams come from sim.seed",
    "n_inputs": "see sim.model.toplevel.nodes",
    "optimizer": "pass the optimizer to sim.train",
    "unroll": "see sim.unroll_simulation",
}


class OldNames:
    """Errors about attributes of the older library say what took their place."""

    def __getattr__(self, name: str) -> Any:
        instead = _INSTEAD.get(name)
        raise AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}"
            + ("" if instead is None else f": {instead}")
        )
