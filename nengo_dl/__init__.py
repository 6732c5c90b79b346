"""Run and train Nengo networks with TensorFlow.

Names are imported when they are first used, because that imports TensorFlow: it reads
some settings only then, and `cache_compiled` must come before.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nengo_dl.program.compile_cache import cache_compiled, use_environment
from nengo_dl.version import __version__

if TYPE_CHECKING:
    from nengo_dl import builders, callbacks, dists, losses, objectives
    from nengo_dl.config import Surrogate, configure_settings, get_setting
    from nengo_dl.distribution.workers import Workers
    from nengo_dl.events import EventArray, bin_events, spike_times
    from nengo_dl.interchange.keras import Converter
    from nengo_dl.interchange.nir.reading import from_nir
    from nengo_dl.interchange.nir.writing import to_nir
    from nengo_dl.interchange.plain_nengo import export_network
    from nengo_dl.layers import Layer, reshaped, tensor_layer
    from nengo_dl.neurons import (
        CubaLIF,
        Heaviside,
        LeakyIntegrator,
        LeakyReLU,
        ResetLIF,
        SoftLIFRate,
        SpikingLeakyReLU,
    )
    from nengo_dl.program.pool import programs
    from nengo_dl.simulator import Simulator
    from nengo_dl.support.travel import check_travels
    from nengo_dl.sweeps.items import run_items
    from nengo_dl.sweeps.running import sweep
    from nengo_dl.synapses import Delay
    from nengo_dl.tensor_node import TensorNode

__all__ = [
    "Converter",
    "CubaLIF",
    "Delay",
    "EventArray",
    "Heaviside",
    "Layer",
    "LeakyIntegrator",
    "LeakyReLU",
    "ResetLIF",
    "Simulator",
    "SoftLIFRate",
    "SpikingLeakyReLU",
    "Surrogate",
    "TensorNode",
    "Workers",
    "__version__",
    "bin_events",
    "builders",
    "cache_compiled",
    "callbacks",
    "check_travels",
    "configure_settings",
    "dists",
    "export_network",
    "from_nir",
    "get_setting",
    "losses",
    "objectives",
    "programs",
    "reshaped",
    "run_items",
    "spike_times",
    "sweep",
    "tensor_layer",
    "to_nir",
]

#: The modules of the names that are no modules themselves.
_MODULES = {
    "Converter": "interchange.keras",
    "CubaLIF": "neurons",
    "Delay": "synapses",
    "EventArray": "events",
    "Heaviside": "neurons",
    "Layer": "layers",
    "LeakyIntegrator": "neurons",
    "LeakyReLU": "neurons",
    "ResetLIF": "neurons",
    "Simulator": "simulator",
    "SoftLIFRate": "neurons",
    "SpikingLeakyReLU": "neurons",
    "Surrogate": "config",
    "TensorNode": "tensor_node",
    "bin_events": "events",
    "Workers": "distribution.workers",
    "check_travels": "support.travel",
    "configure_settings": "config",
    "export_network": "interchange.plain_nengo",
    "from_nir": "interchange.nir.reading",
    "get_setting": "config",
    "programs": "program.pool",
    "reshaped": "layers",
    "run_items": "sweeps.items",
    "spike_times": "events",
    "sweep": "sweeps.running",
    "tensor_layer": "layers",
    "to_nir": "interchange.nir.writing",
}


#: What took the place of modules of the older library.
_INSTEAD = {
    "graph_optimizer": "nengo_dl.configure_settings(planner=..., simplifications=...)",
    "learning_rule_builders": "nengo_dl.builders",
    "op_builders": "nengo_dl.builders",
    "process_builders": "nengo_dl.builders",
    "tensor_graph": "sim.summary()",
    "transform_builders": "nengo_dl.builders",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    instead = f"; see {_INSTEAD[name]}" if name in _INSTEAD else ""
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{instead}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


use_environment()
