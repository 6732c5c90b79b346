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
from typing import Any

from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_integer

from nengo_dl.compiler.signature import Signature
from nengo_dl.program import private_tensorflow
from nengo_dl.program.graph_key import FunctionGraph, graph_of
from nengo_dl.program.lease import Lease, OwnFunction, Recipe, SharedFunction
from nengo_dl.program.program_files import StoredProgram, load_program, save_program
from nengo_dl.support.lazy_imports import tf

__all__ = ["CHECK_VARIABLE", "ProgramPool", "programs"]

#: The environment variable that has signatures checked; for tests of this package.
CHECK_VARIABLE = "NENGO_DL_CHECK_PROGRAMS"


class _Making:
    """Held by the thread that traces the program of a signature."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


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
        How often one had to be traced and compiled.
    loaded : int
        How often one came from the folder of `nengo_dl.cache_compiled`.
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
        self._recent: OrderedDict[str, SharedFunction] = OrderedDict()
        # evicted ones that a simulator still uses can be shared, too
        self._living: weakref.WeakValueDictionary[str, SharedFunction] = (
            weakref.WeakValueDictionary()
        )
        self._signed: weakref.WeakValueDictionary[str, SharedFunction] = (
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
        self.hits = self.misses = self.loaded = 0
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
        more_facts: Sequence[object] = (),
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
        more_facts : sequence of object
            What belongs to the signature besides. Functions that differ in it may have
            the same graph.

        Returns
        -------
        Lease
            To be called with tensors; to be closed when it is not needed any more.
        """
        labels = tuple(labels)
        if signature is None or not private_tensorflow.is_available():
            return self._traced(trace, facts, labels, own_labels)[0]
        key = f"{signature.key} {(*facts, *more_facts)!r}"
        with self._lock:
            making = self._making.setdefault(key, _Making())
        with making.lock:  # if two threads need it, one of them traces it
            program = self._find_signed(key, labels, own_labels)
            recipe = None if program is None else program.recipes.get(key)
            if recipe is None and signature.is_portable:
                program, recipe = self._load(key, signature, labels, own_labels)
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
                if program.is_loaded:
                    program.is_loaded = False
                    self.loaded += 1
                else:
                    self.hits += 1
                self.seconds_saved += program.trace_seconds + program.compile_seconds
                self._use(program)
                self._leases.add(lease)
            return lease

    def _load(
        self, key: str, signature: Signature, labels: tuple[str, ...], own_labels: bool
    ) -> tuple[SharedFunction, Recipe] | tuple[None, None]:
        """Return a program that an earlier process kept, if there is one."""
        stored = load_program(key)
        if stored is None or (own_labels and stored.labels != labels):
            return None, None
        recipe = Recipe(stored.sources, stored.structure, signature)
        with self._lock:
            program = self._living.get(stored.key)
            if program is None:
                graph = FunctionGraph(stored.key, stored.functions, True)
                program = SharedFunction(
                    graph, stored.labels, stored.seconds, stored.key
                )
                program.is_loaded = True
                self._living[stored.key] = program
            program.recipes[key] = recipe
            self._signed[key] = program
        return program, recipe

    def _find_signed(
        self, key: str, labels: tuple[str, ...], own_labels: bool
    ) -> SharedFunction | None:
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
        recipe = Recipe.of(concrete, variables, lease.structure, signature)
        if isinstance(program, SharedFunction) and recipe is not None:
            with self._lock:
                program.recipes[key] = recipe
                self._signed[key] = program
            if signature.is_portable and program.functions:
                save_program(
                    key,
                    StoredProgram(
                        program.key,
                        program.functions,
                        recipe.sources,
                        recipe.structure,
                        program.labels,
                        program.trace_seconds,
                    ),
                )

    def _check(
        self,
        key: str,
        program: SharedFunction,
        trace: Callable[[], Any],
        facts: Sequence,
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
        program: SharedFunction | OwnFunction | None = None
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
            program = OwnFunction(concrete, labels)
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
    ) -> SharedFunction:
        """Return the program of a graph, which may be a new one."""
        with self._lock:
            found = self._living.get(graph.key)
            if found is None:
                self.misses += 1
                found = SharedFunction(graph, labels, seconds, plain_key)
                self._living[graph.key] = found
            else:
                self.hits += 1
                self.seconds_saved += found.compile_seconds
            self._use(found)
            return found

    def _use(self, program: SharedFunction) -> None:
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
