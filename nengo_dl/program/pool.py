"""Compiled programs, shared by simulators whose programs are equal.

A program is a function of tensors and variables. The pool keeps it without the
variables; a simulator takes a lease, which calls it with the variables of that
simulator.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.program import private_tensorflow
from nengo_dl.program.graph_key import FunctionGraph, graph_of

__all__ = ["Lease", "ProgramPool", "programs"]


class _Shared:
    """A function that TensorFlow knows as long as this object lives.

    Parameters
    ----------
    graph : FunctionGraph
        The function.
    labels : tuple of str
        Names of its groups, which profiles show.
    seconds : float
        How long tracing took.
    """

    def __init__(self, graph: FunctionGraph, labels: tuple[str, ...], seconds: float):
        self.name = graph.name
        self.key = graph.key
        self.n_outputs = graph.n_outputs
        self.n_bytes = sum(function.ByteSize() for function in graph.functions)
        self.labels = labels
        self.trace_seconds = seconds
        self.compile_seconds = 0.0
        self.is_compiled = False
        self.lock = threading.Lock()
        private_tensorflow.add_functions(graph.functions)
        names = [function.signature.name for function in graph.functions]
        weakref.finalize(
            self, private_tensorflow.remove_functions, names
        ).atexit = False

    def call(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Call the function with its arguments and captures."""
        return private_tensorflow.call_function(self.name, tensors, self.n_outputs)


class _Own:
    """A traced function that only one lease uses."""

    n_bytes = 0

    def __init__(self, concrete: Any, labels: tuple[str, ...]):
        self.concrete = concrete
        self.n_inputs = len(concrete.inputs) - len(concrete.captured_inputs)
        self.labels = labels
        self.compile_seconds = 0.0
        self.is_compiled = False
        self.lock = threading.Lock()
        self.name, self.n_outputs = concrete.name, len(concrete.outputs)
        if isinstance(self.name, bytes):
            self.name = self.name.decode()

    def call(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Call the function with its arguments and captures."""
        if private_tensorflow.is_available():
            return private_tensorflow.call_function(self.name, tensors, self.n_outputs)
        return tf.nest.flatten(self.concrete(*tensors[: self.n_inputs]))


class Lease:
    """A program, with the variables of one simulator.

    Parameters
    ----------
    program : _Shared or _Own
        The function.
    captures : sequence of tf.Tensor
        Handles of variables, and other tensors, that it takes after its arguments.
    variables : sequence of tf.Variable
        Are kept as long as the lease is.
    structure : nested structure, optional
        How what the function returns is to be put together.
    """

    def __init__(
        self,
        program: _Shared | _Own,
        captures: Sequence[tf.Tensor],
        variables: Sequence[Any],
        structure: Any = None,
    ):
        self.structure = structure
        self._program: _Shared | _Own | None = program
        self._captures = tuple(captures)
        self._variables = tuple(variables)

    @property
    def program(self) -> _Shared | _Own:
        """The function.

        Raises
        ------
        SimulationError
            If the lease was given back.
        """
        if self._program is None:
            raise SimulationError(
                "The compiled program was given back to the pool; it is taken again by "
                "the next run of an open simulator"
            )
        return self._program

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the groups, as they are in the program."""
        return self.program.labels

    @property
    def is_compiled(self) -> bool:
        """Whether the next call will not have to compile."""
        return self._program is not None and self._program.is_compiled

    def __call__(self, *tensors: tf.Tensor) -> list[tf.Tensor]:
        """Call the function; while XLA compiles it, other callers wait.

        Parameters
        ----------
        *tensors : tf.Tensor
            Its arguments, side by side.

        Returns
        -------
        list of tf.Tensor
            What it returns, side by side.
        """
        program = self.program
        if not program.is_compiled:
            with program.lock:
                if not program.is_compiled:
                    began = time.perf_counter()
                    result = program.call((*tensors, *self._captures))
                    program.compile_seconds = time.perf_counter() - began
                    program.is_compiled = True
                    return result
        return program.call((*tensors, *self._captures))

    def call_structured(self, *tensors: tf.Tensor) -> Any:
        """Call the function; return what it returned when it was traced."""
        return tf.nest.pack_sequence_as(self.structure, self(*tensors))

    def close(self) -> None:
        """Give the program back; it stays in the pool for others."""
        self._program, self._captures, self._variables = None, (), ()


class ProgramPool:
    """Programs that simulators share.

    A simulator takes what another one compiled if its program is the same but for the
    values of parameters and state: gains, biases, encoders, decoders, weights. Seeds
    and names make no difference; sizes, connections, time constants, the minibatch
    size and the precision do. Programs that call Python in each time step are never
    shared.

    Parameters
    ----------
    max_size : int
        How many programs are kept when no simulator uses them.

    Attributes
    ----------
    hits : int
        How often a program was found.
    misses : int
        How often one had to be compiled.
    seconds_saved : float
        How long it had taken to make what was found.

    Examples
    --------
    >>> nengo_dl.programs.clear()
    >>> def simulate(seed):
    ...     with nengo.Network(seed=seed) as net:
    ...         ens = nengo.Ensemble(50, 1)
    ...         probe = nengo.Probe(ens)
    ...     with nengo_dl.Simulator(net, jit_compile=True, progress_bar=False) as sim:
    ...         sim.run(0.1)
    >>> simulate(seed=0)
    >>> nengo_dl.programs
    <1 compiled program, 0 in use: 0 hits, 1 misses>
    >>> simulate(seed=1)
    >>> nengo_dl.programs
    <1 compiled program, 0 in use: 1 hits, 1 misses>
    >>> nengo_dl.programs.clear()
    >>> nengo_dl.programs.count
    0
    """

    def __init__(self, max_size: int = 64):
        self._recent: OrderedDict[str, _Shared] = OrderedDict()
        # evicted ones that a simulator still uses can be shared, too
        self._living: weakref.WeakValueDictionary[str, _Shared] = (
            weakref.WeakValueDictionary()
        )
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._max_size = 0
        self._zero_counts()
        self.max_size = max_size

    def _zero_counts(self) -> None:
        self.hits = self.misses = 0
        self.seconds_saved = 0.0

    @property
    def max_size(self) -> int:
        """How many programs are kept when no simulator uses them.

        The one that was not used for longest goes first.
        """
        return self._max_size

    @max_size.setter
    def max_size(self, value: int) -> None:
        if not is_integer(value) or value < 0:
            raise ValidationError(
                f"Must be a whole number of programs, 0 or more (got {value!r})",
                attr="max_size",
                obj=self,
            )
        with self._lock:
            self._max_size = int(value)
            self._evict()

    @property
    def count(self) -> int:
        """Number of programs, whether they are in use or not."""
        with self._lock:
            return len(self._living)

    @property
    def in_use(self) -> int:
        """How many simulators hold a program (twice, if they were trained too)."""
        with self._lock:
            return sum(1 for lease in self._leases if lease._program is not None)

    @property
    def n_bytes(self) -> int:
        """Size of the programs before XLA compiled them, in bytes.

        Machine code is not counted. TensorFlow keeps it until the process ends, even
        after `clear`.
        """
        with self._lock:
            return sum(program.n_bytes for program in self._living.values())

    def clear(self) -> None:
        """Forget all programs, and set the counts to zero.

        Simulators that use one can go on; what they use goes when they are closed.
        """
        with self._lock:
            self._recent.clear()
            self._zero_counts()

    def __repr__(self) -> str:
        """Return the counts."""
        some = "" if self.count == 1 else "s"
        return (
            f"<{self.count} compiled program{some}, {self.in_use} in use: "
            f"{self.hits} hits, {self.misses} misses>"
        )

    def lease(
        self,
        trace: Callable[[], Any],
        facts: Sequence[object] = (),
        labels: Sequence[str] = (),
        own_labels: bool = False,
    ) -> Lease:
        """Return a function to call, compiled by whoever needed it first.

        Parameters
        ----------
        trace : callable
            Returns the traced function (a ``ConcreteFunction``), whose arguments are
            tensors, side by side.
        facts : sequence of object
            What keeps functions apart besides their graphs, such as the device.
        labels : sequence of str
            Names of groups. The program of another simulator shows other ones.
        own_labels : bool
            Whether the names have to be these ones.

        Returns
        -------
        Lease
            To be called with tensors; to be closed when it is not needed any more.
        """
        began = time.perf_counter()
        concrete = trace()
        captures = concrete.captured_inputs
        program: _Shared | _Own = _Own(concrete, tuple(labels))
        if private_tensorflow.is_available():
            shapes = _shapes_of_captures(concrete)
            graph = graph_of(concrete, [*facts, shapes])
            other = self._living.get(graph.key)
            if own_labels and other is not None and other.labels != tuple(labels):
                graph = graph_of(concrete, [*facts, shapes, tuple(labels)])
            if graph.is_sharable:
                seconds = time.perf_counter() - began
                program = self._find(graph, tuple(labels), seconds)
        structure = tf.nest.map_structure(
            lambda tensor: None, concrete.structured_outputs
        )
        lease = Lease(program, captures, concrete.variables, structure)
        with self._lock:
            self._leases.add(lease)
        return lease

    def _find(
        self, graph: FunctionGraph, labels: tuple[str, ...], seconds: float
    ) -> _Shared:
        """Return the program of a graph, which may be a new one."""
        with self._lock:
            found = self._living.get(graph.key)
            if found is None:
                self.misses += 1
                found = self._living[graph.key] = _Shared(graph, labels, seconds)
            else:
                self.hits += 1
                self.seconds_saved += found.compile_seconds
            self._recent[graph.key] = found
            self._recent.move_to_end(graph.key)
            self._evict()
            return found

    def _evict(self) -> None:
        while len(self._recent) > self._max_size:
            self._recent.popitem(last=False)


def _shapes_of_captures(concrete: Any) -> list[tuple[str, tuple[int, ...]]]:
    """Return the types and shapes of what a function captures, through handles, too."""
    behind = {id(variable.handle): variable for variable in concrete.variables}
    found = [behind.get(id(tensor), tensor) for tensor in concrete.captured_inputs]
    return [(value.dtype.name, tuple(value.shape)) for value in found]


#: The pool of this process.
programs = ProgramPool()
