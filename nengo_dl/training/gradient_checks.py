"""Comparison of the gradients that training uses with differences of outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import nengo
import numpy as np
import tensorflow as tf
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.trainability import name_of_parameter
from nengo_dl.program.schedule import Stages
from nengo_dl.training.data import Minibatch
from nengo_dl.training.trainer import Trainer

__all__ = ["GradientReport", "compare_gradients"]

#: At most so many entries of each array are compared, chosen at random.
_MOST_ENTRIES = 200


@dataclass(frozen=True)
class GradientReport:
    """The entry at which two gradients differ most.

    Attributes
    ----------
    name : str
        Parameter or input, and position in it.
    analytic, numeric : float
        The gradients.
    excess : float
        Difference in multiples of what is tolerated.
    n_entries : int
        Number of entries that were compared.
    """

    name: str
    analytic: float
    numeric: float
    excess: float
    n_entries: int


def compare_gradients(
    trainer: Trainer,
    minibatch: Minibatch,
    nodes: Sequence[nengo.Node],
    probes: Sequence[nengo.Probe],
    atol: float,
    rtol: float,
) -> GradientReport:
    r"""Compare gradients of a random combination of outputs.

    Parameters
    ----------
    trainer : Trainer
        Holds the program; nothing of it is changed.
    minibatch : Minibatch
        Values of inputs.
    nodes : sequence of Node
        The nodes of the inputs, in their order.
    probes : sequence of Probe
        Outputs.
    atol, rtol : float
        Tolerance.

    Returns
    -------
    GradientReport
        The worst entry.

    Raises
    ------
    SimulationError
        If a difference is larger than tolerated.

    Notes
    -----
    For weights :math:`w_i` drawn once, :math:`f = \sum_i w_i y_i` over all elements of
    all outputs is differentiated. Its central differences are summed in double
    precision, and what rounding of the outputs can contribute is tolerated as well.
    Where the two one-sided differences disagree (at a kink), a gradient between them
    is right.
    """
    return _Comparison(trainer, minibatch, nodes, probes).worst(atol, rtol)


class _Comparison:
    def __init__(self, trainer, minibatch, nodes, probes):
        self.trainer = trainer
        self.minibatch = minibatch
        self.nodes = list(nodes)
        storage = trainer.engine.storage
        self.blocks = trainer.engine.step.constant_blocks
        self.constants = [v.numpy() for v in storage.variables.constants]
        self.trained = [i for i, b in enumerate(self.blocks) if b.trainable and b.size]
        # initial values of weights that learning rules change come last
        self.n_constants = len(self.constants)
        self.constants += storage.learned.values()
        self.trained += range(self.n_constants, len(self.constants))
        self.owners = [*self.blocks, *storage.learned.variables]
        self.made = trainer.inputs.host_inputs(minibatch, trainer.observing_rng())
        program = trainer.functions.program(True)
        pieces = trainer.inputs.pieces(minibatch, self.made, 0, minibatch.n_steps)
        moving = [any(p.shape[0] > 1 for p in parts) for parts in pieces]
        self.stages = Stages(program, moving)
        self.numbers = [trainer.probes.index(probe) for probe in probes]
        self.jit = trainer.functions.compiles(self.stages)
        self.rng = np.random.RandomState(0)
        self.forward = self._compile_forward()
        self.weights = [self.rng.randn(*o.shape) for o in self._outputs()]

    def _simulate(self, constants, pieces):
        state = self.trainer.engine.storage.learned.put_tensors(
            self.trainer.state, constants[self.n_constants :]
        )
        return self.trainer.functions.simulate(
            self.stages,
            constants[: self.n_constants],
            state,
            pieces,
            self.minibatch.n_steps,
            self.numbers,
            True,
        )[1]

    def _compile_forward(self):
        @tf.function(jit_compile=self.jit, autograph=False)
        def forward(constants, pieces):
            return self._simulate(constants, pieces)

        constants = [tf.convert_to_tensor(c) for c in self.constants]
        return forward.get_concrete_function(constants, self._pieces())

    def _pieces(self):
        if self.stages.program.has_callbacks:
            self.trainer.inputs.host.reset(0)
            self.trainer.inputs.start_chunk(self.minibatch, 0)
        return self.trainer.inputs.pieces(
            self.minibatch, self.made, 0, self.minibatch.n_steps
        )

    def _outputs(self) -> list[np.ndarray]:
        constants = [tf.convert_to_tensor(c) for c in self.constants]
        return [o.numpy() for o in self.forward(constants, self._pieces())]

    def _sum(self, outputs) -> float:
        return sum(
            float(np.sum(w * o.astype(np.float64)))
            for w, o in zip(self.weights, outputs, strict=True)
        )

    def analytic(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return gradients for trainable constants, and for inputs."""
        signals = list(self.minibatch.inputs)
        blocks = self.stages.program.input_blocks
        where = [
            (b, block.signals.index(signal))
            for signal in signals
            for b, block in enumerate(blocks)
            if signal in block.starts
        ]
        weights = [tf.constant(w, self._dtype()) for w in self.weights]

        @tf.function(jit_compile=self.jit, autograph=False)
        def gradients(constants, pieces):
            sources = [constants[i] for i in self.trained]
            sources += [pieces[b][i] for b, i in where]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                outputs = self._simulate(constants, pieces)
                total = tf.add_n(
                    [tf.reduce_sum(w * o) for w, o in zip(weights, outputs)]
                )
            return tape.gradient(
                total, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )

        constants = [tf.convert_to_tensor(c) for c in self.constants]
        # a concrete function, since TensorFlow warns of functions defined repeatedly
        gradients = gradients.get_concrete_function(constants, self._pieces())
        found = [
            tf.convert_to_tensor(g).numpy()
            for g in gradients(constants, self._pieces())
        ]
        count = len(self.trained)
        inputs = iter(found[count:])
        read = {signals_of(blocks, place) for place in where}
        return found[:count], [
            next(inputs) if signal in read else np.zeros_like(values)
            for signal, values in self.minibatch.inputs.items()
        ]

    def _dtype(self):
        return self.stages.program.config.dtype

    def worst(self, atol: float, rtol: float) -> GradientReport:
        """Compare all entries; return the worst one, or raise."""
        for_constants, for_inputs = self.analytic()
        report = GradientReport("nothing", 0.0, 0.0, 0.0, 0)
        count = 0
        arrays: list[tuple[np.ndarray, np.ndarray, object]] = []
        for number, gradient in zip(self.trained, for_constants, strict=True):
            arrays.append((self.constants[number], gradient, self.owners[number]))
        values = list(self.minibatch.inputs.values())
        for node, value, gradient in zip(self.nodes, values, for_inputs, strict=True):
            arrays.append((value, gradient, node))
        for array, gradient, owner in arrays:
            for index in self._entries(array):
                count += 1
                analytic = float(gradient[index])
                excess, numeric = self._compare(array, index, analytic, atol, rtol)
                if not excess <= report.excess:
                    name = self._name(owner, index)
                    report = GradientReport(name, analytic, numeric, excess, count)
        if not report.excess <= 1:
            raise SimulationError(
                f"Gradients differ most for {report.name}: {report.analytic:.6g} by "
                f"differentiation, {report.numeric:.6g} by differences "
                f"({report.excess:.3g} times what is tolerated; atol={atol:g}, "
                f"rtol={rtol:g}; {count} entries were compared). Spikes with surrogate "
                "derivatives, functions in Python, and jumps of outputs cause such "
                "differences"
            )
        return GradientReport(
            report.name, report.analytic, report.numeric, report.excess, count
        )

    def _entries(self, array: np.ndarray) -> Iterator[tuple[int, ...]]:
        chosen = np.arange(array.size)
        if array.size > _MOST_ENTRIES:
            chosen = self.rng.choice(array.size, _MOST_ENTRIES, replace=False)
        for position in chosen:
            yield tuple(int(i) for i in np.unravel_index(position, array.shape))

    def _compare(self, array, index, analytic, atol, rtol) -> tuple[float, float]:
        """Return the error in multiples of the tolerance, and the numeric gradient."""
        eps = float(np.finfo(self._dtype()).eps)
        original = array[index]
        best = (np.inf, np.nan)
        middle = None
        for scale in (1.0, 0.1, 10.0):
            step = scale * eps ** (1 / 3) * max(1.0, abs(float(original)))
            sums, taken = [], []
            try:
                for sign in (1, -1):
                    array[index] = original + sign * step
                    taken.append(float(array[index]) - float(original))
                    outputs = self._outputs()
                    sums.append(self._sum(outputs))
            finally:
                array[index] = original
            size = sum(np.abs(w * o).sum() for w, o in zip(self.weights, outputs))
            numeric = (sums[0] - sums[1]) / (taken[0] - taken[1])
            tolerated = atol + rtol * abs(numeric) + 4 * eps * float(size) / step
            error = abs(analytic - numeric)
            if error > tolerated:
                if middle is None:
                    middle = self._sum(self._outputs())
                slopes = [(s - middle) / t for s, t in zip(sums, taken, strict=True)]
                if min(slopes) <= analytic <= max(slopes):
                    error = 0.0
            if not error / tolerated >= best[0]:
                best = (error / tolerated, numeric)
            if best[0] <= 1:
                break
        return best

    def _name(self, owner, index) -> str:
        if isinstance(owner, nengo.Node):
            step, item, element = index
            return f"input of {owner}, item {item}, step {step}, element {element}"
        for parameter in self.trainer.engine.plan.trainable:
            signal = parameter.signal.base
            start = 0 if signal is owner else None
            if not isinstance(owner, Signal):
                start = owner.starts.get(signal)
            if start is not None and start <= index[1] < start + n_values(signal):
                position = index[1] - start
                shape = signal.shape
                if not signal.sparse and shape:
                    position = tuple(int(i) for i in np.unravel_index(position, shape))
                return f"{name_of_parameter(parameter)}, element {position}"
        return f"element {index}"


def signals_of(blocks, place):
    """Return the signal at a position of the input blocks."""
    block, number = place
    return blocks[block].signals[number]
