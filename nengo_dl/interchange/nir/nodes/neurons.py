"""Neurons, membranes and thresholds."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

import nengo
import numpy as np
from nengo.neurons import NeuronType

from nengo_dl.interchange.nir.nodes.registry import (
    NodeRow,
    Place,
    Reading,
    reads,
    shared,
)
from nengo_dl.interchange.nir.shapes import Shape, Shapes, same_shape
from nengo_dl.neurons import CubaLIF, Heaviside, LeakyIntegrator, ResetLIF

__all__ = ["MembraneRow"]


class MembraneRow(NodeRow):
    """What works element by element, with parameters for each element.

    The voltages of NIR are those of the neuron types of this package, with the
    resistance as gain and the leak voltage as bias: :math:`J = R I + v_{leak}`. All
    start at zero. The amplitude makes a spike the number 1.
    """

    has_memory = True

    #: Fields of the node that hold numbers for each element.
    fields: ClassVar[tuple[str, ...]]

    def shapes(self, node: Any, taken: Shape | None) -> Shapes | None:
        """Return the shape of the parameters, which are all equal or of size 1."""
        given = {np.shape(getattr(node, name)) for name in self.fields}
        large = {shape for shape in given if prod(shape) != 1}
        if len(large) > 1:
            raise ValueError(f"its parameters have the shapes {sorted(large)}")
        if large:
            return same_shape(large.pop())
        if taken is not None:
            return same_shape(taken)
        return None

    def values(self, node: Any, size: int) -> dict[str, np.ndarray]:
        """Return the parameters, flat, in double precision."""
        return {
            name: np.broadcast_to(
                np.asarray(getattr(node, name), np.float64).ravel(), (size,)
            )
            for name in self.fields
        }

    def ensemble(
        self, neurons: NeuronType, gain: Any, bias: Any, name: str
    ) -> nengo.ensemble.Neurons:
        """Return the neurons of a new ensemble."""
        return nengo.Ensemble(
            len(gain),
            1,
            neuron_type=neurons,
            gain=np.array(gain),
            bias=np.array(bias),
            label=name,
        ).neurons


@reads("LIF")
class _LIFRow(MembraneRow):
    fields = ("tau", "r", "v_leak", "v_threshold", "v_reset")

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        p = self.values(node, prod(shapes.given))
        neurons = ResetLIF(
            shared(p["tau"]),
            shared(p["v_reset"]),
            shared(p["v_threshold"]),
            amplitude=reading.dt,
            method=reading.method,
        )
        made = self.ensemble(neurons, p["r"], p["v_leak"], name)
        return Place(made, made)


@reads("IF")
class _IFRow(MembraneRow):
    fields = ("r", "v_threshold", "v_reset")

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        p = self.values(node, prod(shapes.given))
        neurons = ResetLIF(
            np.inf,
            shared(p["v_reset"]),
            shared(p["v_threshold"]),
            amplitude=reading.dt,
            method=reading.method,
        )
        made = self.ensemble(neurons, p["r"], 0 * p["r"], name)
        return Place(made, made)


@reads("CubaLIF")
class _CubaLIFRow(MembraneRow):
    fields = ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        p = self.values(node, prod(shapes.given))
        # the leak voltage comes through the synapse, too, which therefore starts at it
        start = {"current": p["v_leak"].copy()} if np.any(p["v_leak"]) else None
        neurons = CubaLIF(
            shared(p["tau_syn"]),
            shared(p["tau_mem"]),
            shared(p["v_reset"]),
            shared(p["v_threshold"]),
            amplitude=reading.dt,
            method=reading.method,
            initial_state=start,
        )
        made = self.ensemble(neurons, p["r"] * p["w_in"], p["v_leak"], name)
        return Place(made, made)


@reads("LI")
class _LIRow(MembraneRow):
    fields = ("tau", "r", "v_leak")

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        p = self.values(node, prod(shapes.given))
        neurons = LeakyIntegrator(shared(p["tau"]), method=reading.method)
        made = self.ensemble(neurons, p["r"], p["v_leak"], name)
        return Place(made, made)


@reads("I")
class _IRow(MembraneRow):
    fields = ("r",)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        r = self.values(node, prod(shapes.given))["r"]
        neurons = LeakyIntegrator(np.inf, method=reading.method)
        made = self.ensemble(neurons, r, 0 * r, name)
        return Place(made, made)


@reads("CubaLI")
class _CubaLIRow(MembraneRow):
    fields = ("tau_syn", "tau_mem", "r", "v_leak", "w_in")

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        p = self.values(node, prod(shapes.given))
        synapse, membrane = (
            LeakyIntegrator(shared(p[tau]), method=reading.method)
            for tau in ("tau_syn", "tau_mem")
        )
        current = self.ensemble(synapse, p["w_in"], 0 * p["r"], f"{name} current")
        voltage = self.ensemble(membrane, p["r"], p["v_leak"], name)
        reading.connect(current, voltage)
        return Place(current, voltage)


@reads("Threshold")
class _ThresholdRow(MembraneRow):
    has_memory = False
    fields = ("threshold",)

    def make(self, node: Any, name: str, shapes: Shapes, reading: Reading) -> Place:
        threshold = self.values(node, prod(shapes.given))["threshold"]
        one = np.ones_like(threshold)
        made = self.ensemble(Heaviside(shared(threshold)), one, 0 * one, name)
        return Place(made, made)
