"""Comparison of the gradients that training uses with differences of outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import SimulationError

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.trainability import name_of_parameter
from nengo_dl.training.data import Minibatch
from nengo_dl.training.differentiated import Differentiated
from nengo_dl.training.trainer import Trainer

__all__ = ["GradientReport", "compare_gradients"]

#: At most so many entries of each array are compared, chosen at random.
_MOST_ENTRIES = 200

#: What rounding in single precision may change of the largest gradient of an array.
_ROUNDING = 0.01


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
    precision : str
        That of the differences: ``"float64"``, unless code in the network has no such
        precision.
    """

    name: str
    analytic: float
    numeric: float
    excess: float
    n_entries: int
    precision: str = "float64"


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
        If a difference is larger than tolerated, or an output or a gradient is not
        finite.

    Notes
    -----
    For weights :math:`w_i` drawn once, :math:`f = \sum_i w_i y_i` over all elements of
    all outputs is differentiated. Differences are computed in double precision, over
    steps that are small compared with the parameter (or those around it). Where the
    two one-sided differences disagree, at a kink, a gradient between them is right.

    The gradients of a simulation in single precision are compared with those that the
    same formulas give in double precision, to one per cent of the largest of an array,
    and these with differences, to what is asked for.
    """
    comparison = _Comparison(trainer, minibatch, nodes, probes)
    return comparison.worst(atol, rtol)


class _Comparison:
    def __init__(self, trainer, minibatch, nodes, probes):
        self.trainer = trainer
        self.nodes = list(nodes)
        self.probes = list(probes)
        dtype = np.dtype(trainer.session.step.config.dtype)
        self.own = self.exact = Differentiated(trainer, minibatch, probes, dtype)
        outputs = self.own.outputs()
        self._check_outputs(outputs)
        if dtype != np.float64:
            self.exact = self._in_double(minibatch) or self.own
        self.eps = float(np.finfo(self.exact.dtype).eps)
        self.rng = np.random.RandomState(0)
        self.weights = [self.rng.randn(*output.shape) for output in outputs]
        self.middle = self._sum(self.exact.outputs())[0]

    def _in_double(self, minibatch) -> Differentiated | None:
        """Return the network in double precision, None if its code has only single."""
        try:
            return Differentiated(
                self.trainer, minibatch, self.probes, np.dtype(np.float64)
            )
        except (TypeError, ValueError, SimulationError):
            return None

    def _check_outputs(self, outputs) -> None:
        for probe, output in zip(self.probes, outputs, strict=True):
            bad = ~np.isfinite(output)
            if bad.any():
                item, step, element = np.unravel_index(np.argmax(bad), bad.shape)
                raise SimulationError(
                    f"{probe} shows {output[item, step, element]} at item {item}, step "
                    f"{step}, element {element}, where there is no gradient to check. "
                    "Give inputs for which outputs are finite"
                )

    def _sum(self, outputs) -> tuple[float, float]:
        """Return the weighted sum of outputs, and that of their sizes."""
        products = [
            w * o.astype(np.float64) for w, o in zip(self.weights, outputs, strict=True)
        ]
        return (
            float(sum(product.sum() for product in products)),
            float(sum(np.abs(product).sum() for product in products)),
        )

    def worst(self, atol: float, rtol: float) -> GradientReport:
        """Compare all entries; return the worst one, or raise."""
        report = GradientReport("nothing", 0.0, 0.0, 0.0, 0)
        count = 0
        for owner, values, gradient, exact in self._arrays():
            largest = float(np.max(np.abs(exact), initial=0.0))
            for index in self._entries(values):
                count += 1
                analytic = float(gradient[index])
                if not np.isfinite(analytic):
                    raise SimulationError(
                        f"The gradient for {self._name(owner, index)} is {analytic}, "
                        "although the outputs are finite: the derivative does "
                        "not exist at this point"
                    )
                excess, numeric = self._compare(
                    values, index, float(exact[index]), atol, rtol
                )
                if self.own is not self.exact and excess <= 1:
                    # a kink apart, both precisions agree
                    slack = _ROUNDING * largest + atol + rtol * abs(numeric)
                    off = abs(analytic - float(exact[index])) / slack
                    if off > 1 and not self._is_between_slopes(
                        values, index, analytic, slack
                    ):
                        excess = max(excess, off)
                if not excess <= report.excess:
                    name = self._name(owner, index)
                    report = GradientReport(name, analytic, numeric, excess, count)
        if not report.excess <= 1:
            raise SimulationError(
                f"Gradients differ most for {report.name}: {report.analytic:.6g} by "
                f"differentiation, {report.numeric:.6g} by differences "
                f"({report.excess:.3g} times the tolerance; atol={atol:g}, "
                f"rtol={rtol:g}; {count} entries were compared). Spikes with surrogate "
                "derivatives, functions in Python, and jumps of outputs cause such "
                "differences"
            )
        return GradientReport(
            report.name,
            report.analytic,
            report.numeric,
            report.excess,
            count,
            self.exact.dtype.name,
        )

    def _arrays(self) -> Iterator[tuple[Any, np.ndarray, np.ndarray, np.ndarray]]:
        """Yield owners, values, and gradients in both precisions."""
        own = self.own.gradients(self.weights)
        exact = own
        if self.exact is not self.own:
            exact = self.exact.gradients(self.weights)
        for place, number in enumerate(self.exact.trained):
            yield (
                self.exact.owners[number],
                self.exact.constants[number],
                own[0][place],
                exact[0][place],
            )
        yield from zip(self.nodes, self.exact.inputs, own[1], exact[1], strict=True)

    def _entries(self, array: np.ndarray) -> Iterator[tuple[int, ...]]:
        chosen = np.arange(array.size)
        if array.size > _MOST_ENTRIES:
            chosen = self.rng.choice(array.size, _MOST_ENTRIES, replace=False)
        for position in chosen:
            yield tuple(int(i) for i in np.unravel_index(position, array.shape))

    def _compare(self, array, index, analytic, atol, rtol) -> tuple[float, float]:
        """Return the error in multiples of the tolerance, and the numeric gradient."""
        best = (np.inf, np.nan)
        typical = _typical(array, index)
        for scale in (1.0, 0.1, 10.0):
            step = scale * self.eps ** (1 / 3) * typical
            slopes, numeric, size = self._slopes(array, index, step)
            if not slopes:
                continue
            rounding = 4 * self.eps * size / step
            tolerated = atol + rtol * abs(numeric) + rounding
            error = abs(analytic - numeric)
            if min(slopes) - tolerated <= analytic <= max(slopes) + tolerated:
                error = min(error, tolerated)
            if not error / tolerated >= best[0]:
                best = (error / tolerated, numeric)
            if best[0] <= 1:
                break
        return best

    def _slopes(self, array, index, step) -> tuple[list[float], float, float]:
        """Return one-sided differences, the gradient, and the size of outputs."""
        original = array[index]
        sums, taken, sizes = [], [], []
        try:
            for sign in (1, -1):
                array[index] = original + sign * step
                change = float(array[index]) - float(original)
                total, size = self._sum(self.exact.outputs())
                if np.isfinite(total):
                    sums.append(total)
                    taken.append(change)
                    sizes.append(size)
        finally:
            array[index] = original
        slopes = [(s - self.middle) / t for s, t in zip(sums, taken, strict=True)]
        if len(slopes) < 2:
            return slopes, sum(slopes), sum(sizes)
        numeric = (sums[0] - sums[1]) / (taken[0] - taken[1])
        return slopes, numeric, max(sizes)

    def _is_between_slopes(self, array, index, analytic, slack) -> bool:
        """Whether a gradient in single precision is one of those close by.

        On which side of a kink a value is, is a matter of rounding there.
        """
        eps = float(np.finfo(self.own.dtype).eps)
        typical = _typical(array, index)
        found = []
        for scale in (1.0, 10.0, 100.0):
            found += self._slopes(array, index, scale * eps * typical)[0]
        return bool(found and min(found) - slack <= analytic <= max(found) + slack)

    def _name(self, owner, index) -> str:
        if isinstance(owner, nengo.Node):
            step, item, element = index
            return f"input of {owner}, item {item}, step {step}, element {element}"
        for parameter in self.trainer.session.plan.trainable:
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


def _typical(array: np.ndarray, index: tuple[int, ...]) -> float:
    """Return the size of a value, or of those around it if it is smaller."""
    around = float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
    return max(abs(float(array[index])), around) or 1.0
