"""Compiled functions without variables, and leases: such a function with variables."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nengo.exceptions import SimulationError

from nengo_dl.compiler.signature import Signature
from nengo_dl.program import private_tensorflow
from nengo_dl.program.compile_cache import programs_folder
from nengo_dl.program.graph_key import FunctionGraph
from nengo_dl.program.program_files import MachineCode
from nengo_dl.support.lazy_imports import tf

__all__ = ["Lease", "OwnFunction", "Recipe", "SharedFunction"]


class SharedFunction:
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
        #: whether it came from a file, and nobody used it since
        self.is_loaded = False
        #: to be saved; None if nothing is kept for other processes
        self.functions = None if programs_folder() is None else graph.functions
        #: by signature, how to call the function with the variables of a simulator
        self.recipes: dict[str, Recipe] = {}
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

    def compile(self, tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Call the function for the first time: XLA compiles it, or loads its code."""
        code = MachineCode(self.key)
        code.remove_damaged()
        result = self.call(tensors)
        code.note()
        return result


@dataclass(frozen=True, eq=False)
class Recipe:
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
    ) -> Recipe | None:
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


class OwnFunction:
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

    compile = call


class Lease:
    """A program, with the variables of one simulator.

    Parameters
    ----------
    program : SharedFunction or OwnFunction
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
        program: SharedFunction | OwnFunction,
        captures: Sequence[tf.Tensor],
        variables: Sequence[Any],
        structure: Any = None,
    ):
        self.structure = structure
        self._program: SharedFunction | OwnFunction | None = program
        self._captures = tuple(captures)
        self._variables = tuple(variables)

    @property
    def program(self) -> SharedFunction | OwnFunction:
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
                    result = program.compile((*tensors, *self._captures))
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
