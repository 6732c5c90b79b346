"""Compiled programs, shared by simulators whose programs are equal.

A program is a function of tensors and variables. The pool keeps it without the
variables; a simulator takes a lease, which calls it with the variables of that
simulator.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from nengo.exceptions import SimulationError, ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.compiler.signature import Signature
from nengo_dl.program import private_tensorflow
from nengo_dl.program.graph_key import FunctionGraph, graph_of

__all__ = ["Lease", "ProgramPool", "programs"]


#: The environment variable that has signatures checked; for tests of this package.
CHECK_VARIABLE = "NENGO_DL_CHECK_PROGRAMS"


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
    plain_key : str
        Key of the graph without labels.
    """

    def __init__(
        self,
        graph: FunctionGraph,
        labels: tuple[str, ...],
        seconds: float,
        plain_key: str,
    ):
        self.name = graph.name
        self.key = graph.key
        self.graph_key = plain_key
        #: by signature, how to call the function with the variables of a simulator
        self.recipes: dict[str, _Recipe] = {}
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


@dataclass(frozen=True, eq=False)
class _Recipe:
    """What to pass to a function besides its arguments.

    Attributes
    ----------
    sources : tuple of int or tf.Tensor
        Positions of variables, and tensors that are the same for all simulators.
    structure : nested structure
        See `Lease`.
    signature : Signature
        Keeps the objects whose identities it depends on.
    """

    sources: tuple[Any, ...]
    structure: Any
    signature: Signature

    @classmethod
    def of(
        cls,
        concrete: Any,
        variables: Sequence[tf.Variable],
        structure: Any,
        signature: Signature,
    ) -> _Recipe | None:
        """Return the recipe of a traced function, if it captures nothing else."""
        positions = {id(v.handle): number for number, v in enumerate(variables)}
        sources = [
            positions.get(id(tensor), tensor) for tensor in concrete.captured_inputs
        ]
        for source in sources:
            if not isinstance(source, int) and source.dtype in (
                tf.resource,
                tf.variant,
            ):
                return None
        return cls(tuple(sources), structure, signature)

    def captures(self, variables: Sequence[tf.Variable]) -> list[tf.Tensor]:
        """Return what to pass for the variables of a simulator."""
        return [
            variables[source].handle if isinstance(source, int) else source
            for source in self.sources
        ]


class _Making:
    """Held by the thread that traces the program of a signature."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


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

    def exchange(self, old: Sequence[tf.Variable], new: Sequence[tf.Variable]) -> bool:
        """Pass other variables, of the same shapes, in the place of some.

        Returns
        -------
        bool
            Whether the program can be called with them.
        """
        if not private_tensorflow.is_available():
            return False
        handles = {id(a.handle): b.handle for a, b in zip(old, new, strict=True)}
        self._captures = tuple(handles.get(id(c), c) for c in self._captures)
        gone = {id(variable) for variable in old}
        kept = [v for v in self._variables if id(v) not in gone]
        self._variables = (*kept, *new)
        return True

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
        self._signed: weakref.WeakValueDictionary[str, _Shared] = (
            weakref.WeakValueDictionary()
        )
        self._making: weakref.WeakValueDictionary[str, _Making] = (
            weakref.WeakValueDictionary()
        )
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._lock = threading.RLock()
        self._max_size = 0
        self._zero_counts()
        self.max_size = max_size
        #: Whether everything is traced nevertheless, to find out if equal signatures
        #: mean equal graphs.
        self.checks = os.environ.get(CHECK_VARIABLE, "") not in ("", "0")

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
        signature: Signature | None = None,
        variables: Sequence[tf.Variable] = (),
    ) -> Lease:
        """Return a function to call, traced and compiled by whoever needed it first.

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
        signature : Signature, optional
            If it is equal (with the facts) to that of a program in the pool, that one
            is used without tracing.
        variables : sequence of tf.Variable
            What the function may capture, in an order that is the same for equal
            signatures.

        Returns
        -------
        Lease
            To be called with tensors; to be closed when it is not needed any more.
        """
        labels = tuple(labels)
        if signature is None or not private_tensorflow.is_available():
            return self._traced(trace, facts, labels, own_labels)[0]
        key = f"{signature.key} {tuple(facts)!r}"
        with self._lock:
            making = self._making.setdefault(key, _Making())
        with making.lock:  # if two threads need it, one of them traces it
            program = self._find_signed(key, labels, own_labels)
            recipe = None if program is None else program.recipes.get(key)
            if program is None or recipe is None:
                lease, found = self._traced(trace, facts, labels, own_labels)
                self._sign(key, signature, lease, found, variables)
                return lease
            if self.checks:
                self._check(key, program, trace, facts)
            lease = Lease(
                program, recipe.captures(variables), variables, recipe.structure
            )
            with self._lock:
                self.hits += 1
                self.seconds_saved += program.trace_seconds + program.compile_seconds
                self._use(program)
                self._leases.add(lease)
            return lease

    def _find_signed(
        self, key: str, labels: tuple[str, ...], own_labels: bool
    ) -> _Shared | None:
        """Return the program of a signature, if there is one."""
        with self._lock:
            program = self._signed.get(key)
        if program is not None and own_labels and program.labels != labels:
            return None
        return program

    def _sign(
        self,
        key: str,
        signature: Signature,
        lease: Lease,
        concrete: Any,
        variables: Sequence[tf.Variable],
    ) -> None:
        """Remember which program a signature stands for."""
        program = lease.program
        recipe = _Recipe.of(concrete, variables, lease.structure, signature)
        if isinstance(program, _Shared) and recipe is not None:
            with self._lock:
                program.recipes[key] = recipe
                self._signed[key] = program

    def _check(
        self, key: str, program: _Shared, trace: Callable[[], Any], facts: Sequence
    ) -> None:
        """Raise if a program is not what tracing gives; see `checks`."""
        concrete = trace()
        graph = graph_of(concrete, [*facts, _shapes_of_captures(concrete)])
        if program.graph_key != graph.key:
            raise AssertionError(
                f"Programs of equal signatures have different graphs ({key}): a "
                "builder's 'baked' or 'compiler/signature.py' leaves something out"
            )

    def _traced(
        self,
        trace: Callable[[], Any],
        facts: Sequence[object],
        labels: tuple[str, ...],
        own_labels: bool,
    ) -> tuple[Lease, Any]:
        """Return a lease of a function that is traced in any case, and the function."""
        began = time.perf_counter()
        concrete = trace()
        captures = concrete.captured_inputs
        program: _Shared | _Own | None = None
        if private_tensorflow.is_available():
            shapes = _shapes_of_captures(concrete)
            graph = graph_of(concrete, [*facts, shapes])
            plain_key = graph.key
            other = self._living.get(graph.key)
            if own_labels and other is not None and other.labels != labels:
                graph = graph_of(concrete, [*facts, shapes, labels])
            if graph.is_sharable:
                seconds = time.perf_counter() - began
                program = self._find(graph, labels, seconds, plain_key)
        if program is None:
            program = _Own(concrete, labels)
        structure = tf.nest.map_structure(
            lambda tensor: None, concrete.structured_outputs
        )
        lease = Lease(program, captures, concrete.variables, structure)
        with self._lock:
            self._leases.add(lease)
        return lease, concrete

    def _find(
        self,
        graph: FunctionGraph,
        labels: tuple[str, ...],
        seconds: float,
        plain_key: str,
    ) -> _Shared:
        """Return the program of a graph, which may be a new one."""
        with self._lock:
            found = self._living.get(graph.key)
            if found is None:
                self.misses += 1
                found = _Shared(graph, labels, seconds, plain_key)
                self._living[graph.key] = found
            else:
                self.hits += 1
                self.seconds_saved += found.compile_seconds
            self._use(found)
            return found

    def _use(self, program: _Shared) -> None:
        self._recent[program.key] = program
        self._recent.move_to_end(program.key)
        self._evict()

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
