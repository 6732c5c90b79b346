"""A simulated network in the form that all formats are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError

from nengo_dl.compiler.labels import ObjectNames, label_blocks
from nengo_dl.execution.learned_weights import keep_learned
from nengo_dl.execution.session import Session
from nengo_dl.exporting.inputs import (
    InputSignal,
    choose_inputs,
    find_inputs,
    used_inputs,
)
from nengo_dl.exporting.interface import Entry, Names
from nengo_dl.exporting.step_function import (
    N_STEPS,
    NEXT,
    Functions,
    OneStep,
    StepOfTensors,
)
from nengo_dl.inspection.obstacles import python_in_steps
from nengo_dl.support.lazy_imports import tf

__all__ = ["ExportedNetwork", "trace"]

#: What the state is called: with numbers, and the number of steps.
_STATE, _COUNT = "state", "state_n_steps"


class ExportedNetwork:
    """What is computed in a step, with names; see `Simulator.export`.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.
    nodes : mapping of {Node: Signal}
        The Nodes that can be fed.
    wanted : collection of Node or None
        Which of them are inputs; None: all.
    state : "initial" or "current"
        Which state is the default.
    n_steps : int or None
        Number of steps of a run.

    Attributes
    ----------
    functions : Functions
        Names and shapes.
    constants : list of tf.Variable
        Those of the simulation.

    Raises
    ------
    ValidationError
        If something is in the way; the message lists it.
    """

    def __init__(
        self,
        session: Session,
        model: Model,
        nodes: Mapping[nengo.Node, Signal],
        wanted: Collection[nengo.Node] | None,
        state: str,
        n_steps: int | None,
    ):
        _check_no_python(session, model)
        self._session, self._model = session, model
        plan, step = session.plan, session.step
        session.store.take_changes()
        self.constants = session.store.variables.constants
        blocks = used_inputs(step)
        count = len(step.state_blocks)
        reserved = [N_STEPS, _COUNT, *(f"{_STATE}_{n}" for n in range(count))]
        names = Names([*reserved, *(NEXT + name for name in reserved)])
        found = find_inputs(
            model, plan, blocks, nodes, session.store.fixed_inputs, names
        )
        fed, kept = choose_inputs(found, wanted)
        clock = None if plan.clock is None else (plan.clock.step, plan.clock.time)
        self._shapes = [model.sig[probe]["in"].shape for probe in model.probes]
        self._step = StepOfTensors(step, blocks, fed, kept, clock, self._shapes)
        self.functions = Functions(
            tuple(self._input(entry) for entry in fed),
            tuple(self._outputs(names)),
            tuple(self._state(state)),
            n_steps,
        )

    def _input(self, found: InputSignal) -> Entry:
        program = self._step.program
        shape = (program.config.minibatch_size, max(found.signal.size, 1))
        dtype = program.dtype_of(program.layout.block_of[found.signal])
        default = found.default
        if default is not None:
            default = np.broadcast_to(np.ravel(default), shape).astype(dtype)
        return Entry(found.name, shape, dtype.name, found.meaning, default)

    def _outputs(self, names: Names) -> list[Entry]:
        """Describe the probes."""
        program, model = self._step.program, self._model
        objects = ObjectNames(model, self._session.plan.parameters)
        found = []
        for probe, shape, dtype in zip(
            model.probes, self._shapes, self._step.output_dtypes(), strict=True
        ):
            of = ".".join(objects.path_of(probe.obj))
            name = names.give(probe.label, "probe")
            shape = (program.config.minibatch_size, *shape)
            found.append(Entry(name, shape, dtype.name, f"{probe.attr} of '{of}'"))
        return found

    def _state(self, which: str) -> list[Entry]:
        """Describe the state, with its values at the start."""
        session, program = self._session, self._step.program
        plan, blocks = session.plan, program.state_blocks
        store = session.store
        values = [np.array(value) for value in store.state_values()]
        if which == "initial":
            start = [np.array(value) for value in store.initial_state]
            keep_learned(plan, blocks, start, values)
            values = start
        meanings = label_blocks(self._model, blocks, plan.parameters)
        found = []
        for number, (block, value) in enumerate(zip(blocks, values, strict=True)):
            dtype = program.dtype_of(block)
            shape = (program.config.minibatch_size, block.size)
            value = np.ascontiguousarray(value, dtype)
            name = f"{_STATE}_{number}"
            found.append(Entry(name, shape, dtype.name, meanings[number], value))
        if self._step.counts:
            count = np.asarray(0 if which == "initial" else session.n_steps, np.int64)
            meaning = "number of steps so far"
            found.append(Entry(_COUNT, (), count.dtype.name, meaning, count))
        return found

    @property
    def n_bytes(self) -> int:
        """How many bytes the constants and the state take."""
        defaults = [e.default for e in self.functions.state if e.default is not None]
        sizes = [variable.shape.num_elements() for variable in self.constants]
        return sum(value.nbytes for value in defaults) + sum(
            size * variable.dtype.size
            for size, variable in zip(sizes, self.constants, strict=True)
        )

    def compute_time_in(self, dtype: tf.DType) -> None:
        """Have times computed in another precision than Nengo's, which is double."""
        self._step.time_dtype = dtype

    def one_step(self, constants: Sequence[Any]) -> OneStep:
        """Return the step of a network with given constants.

        What can be computed of them once is computed in the current graph.

        Parameters
        ----------
        constants : sequence of tf.Variable or ndarray
            Such as `constants`, or their values.
        """
        values = [tf.convert_to_tensor(value) for value in constants]
        fixed = self._step.program.read_fixed(values)

        def one_step(state: Any, inputs: Any) -> Any:
            return self._step(values, fixed, state, inputs)

        return one_step

    def trace_step(self) -> Any:
        """Return a step with literals for constants, as a concrete function.

        Raises
        ------
        ValidationError
            If code of the user calls Python.
        """
        literals = [variable.numpy() for variable in self.constants]
        return trace(
            lambda values: self.functions.step(self.one_step(literals), values),
            self.functions.step_specs(),
        )


def trace(
    function: Callable[[dict[str, tf.Tensor]], Any],
    specs: Mapping[str, tf.TensorSpec],
    jit_compile: bool = False,
) -> Any:
    """Return a concrete function of named tensors, without calls of Python.

    Raises
    ------
    ValidationError
        If code of the user calls Python.
    """
    traced = tf.function(
        lambda **values: function(values),
        autograph=False,
        jit_compile=jit_compile or None,
    ).get_concrete_function(**specs)
    _check_graph(traced)
    return traced


def _check_graph(traced: Any) -> None:
    """Raise if a graph calls Python."""
    definition = traced.graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for f in definition.library.function for node in f.node_def),
    ]
    found = sorted({node.name for node in nodes if "PyFunc" in node.op})
    if found:
        raise ValidationError(
            "Cannot export a network that calls Python in each step: code of "
            f"TensorNodes uses tf.py_function or tf.numpy_function ({found[0]}); "
            "write it with TensorFlow's operations",
            attr="network",
        )


def _check_no_python(session: Session, model: Model) -> None:
    reasons = python_in_steps(
        model,
        session.plan.parameters,
        [bound.group for bound in session.step.layout.groups],
    )
    if reasons:
        lines = "\n".join(f"- {reason}" for reason in reasons)
        raise ValidationError(
            f"Cannot export a network that calls Python in each step:\n{lines}\n"
            "A TensorNode can take the place of a function; what XLA alone cannot "
            "compile is exported by a Simulator made with jit_compile=False",
            attr="network",
        )
