"""The life of a simulator: made, compiled, closed."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import nengo
import numpy as np
from nengo.builder import Model
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal
from nengo.exceptions import ReadonlyError, SimulatorClosed, ValidationError
from nengo.utils.numpy import is_array_like
from nengo.utils.progress import ProgressBar

from nengo_dl.builders.lookup import make_builder_lookup
from nengo_dl.compiler.compile import compile_model
from nengo_dl.config import NetworkSettings, Settings
from nengo_dl.distribution.workers import is_first_process
from nengo_dl.execution.opening import open_session
from nengo_dl.inspection.data import ProbeRows, SimulationData
from nengo_dl.inspection.histories import make_histories
from nengo_dl.inspection.signals import SignalValues
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.program.placement import Placement
from nengo_dl.simulator.old_names import OldNames
from nengo_dl.simulator.options import check_memory, check_options, choose_seed
from nengo_dl.support.arguments import check_seed
from nengo_dl.support.errors import ErrorsOf, errors_of_self
from nengo_dl.support.forks import PROCESS, check_not_forked, tensorflow_runs
from nengo_dl.support.garbage import rare_collections
from nengo_dl.support.gpus import let_memory_grow
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.occupation import Occupation
from nengo_dl.support.progress import track
from nengo_dl.support.surroundings import check_surroundings
from nengo_dl.tensor_node import TensorNode

if TYPE_CHECKING:
    from nengo_dl.tensorboard.board import Board
    from nengo_dl.training.face import Training

__all__ = ["TRAINING", "SimulatorBase", "doing"]

#: Actions that call functions of the user, which may use the simulator meanwhile
#: (callbacks of Keras save parameters, or run the network that is trained).
TRAINING = ("train", "evaluate", "predict", "compute a loss", "check gradients")

_P = ParamSpec("_P")
_R = TypeVar("_R")


def doing(
    action: str, within: Collection[str] = TRAINING
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator of methods, during which a simulator does nothing else.

    Parameters
    ----------
    action : str
        What the method does, as it reads after "Cannot".
    within : collection of str
        Actions that may call it.
    """

    def decorate(method: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(method)
        def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            simulator: Any = args[0]
            with simulator._doing(action, within):
                return method(*args, **kwargs)

        return wrapped

    return decorate


class SimulatorBase(OldNames):
    """Makes what all faces of the simulator work on; see `nengo_dl.Simulator`."""

    @errors_of_self
    def __init__(
        self,
        network: nengo.Network | None,
        dt: float = 0.001,
        seed: int | None = None,
        model: Model | None = None,
        dtype: Any = None,
        device: str | None = None,
        unroll_simulation: int | None = None,
        minibatch_size: int | None = None,
        tensorboard: str | os.PathLike | None = None,
        progress_bar: bool | ProgressBar = True,
        jit_compile: bool | None = None,
        optimize: bool = True,
    ):
        self.closed = True  # until everything below has gone well
        check_not_forked()
        self._occupation = Occupation()
        check_surroundings("make a simulator")
        let_memory_grow()
        options = check_options(
            network,
            dt,
            model,
            dtype,
            device,
            unroll_simulation,
            minibatch_size,
            tensorboard,
            progress_bar,
            jit_compile,
            optimize,
        )
        self.model = options.model
        self.dtype = options.dtype
        self.device = options.device
        self.unroll_simulation = options.unroll_simulation
        self.minibatch_size = options.minibatch_size
        self.tensorboard = options.tensorboard
        self.progress_bar = options.progress_bar
        self.jit_compile = options.jit_compile
        self.optimize = options.optimize
        if seed is not None:
            check_seed(seed)
        self._training: Training | None = None
        self._keras_training: Any = None
        # values of inputs for the next call of `step`, if it is part of a run
        self._step_feeds: dict[Signal, np.ndarray] | None = None
        # whether time and data are those of a run apart from the simulation
        self._is_excursion = False

        with (
            rare_collections(),
            track(progress_bar, "Building", "Build") as tracker,
        ):
            if network is not None:
                self.model.build(network, progress=tracker.next_stage("Building"))
            # after the network's, as in Nengo: both may come from one stream
            self.seed = choose_seed(seed, network)
            with tracker.next_stage("Compiling", "Compilation"):
                self._compile(options.settings)
        tensorflow_runs()
        self._board = self._open_board()
        self.closed = False
        self.reset()

    def _open_board(self) -> Board | None:
        """Show the graph in TensorBoard, if there is a folder for it."""
        if self.tensorboard is None or not is_first_process():
            return None
        from nengo_dl.tensorboard.board import Board
        from nengo_dl.tensorboard.step_graph import step_graph

        board = Board(self.tensorboard)
        board.graph(step_graph(self._session.step, self.model))
        return board

    def _compile(self, settings: NetworkSettings) -> None:
        """Compile the built model, and open a session that runs it."""
        model = self.model
        check_memory(model.operators, self.dtype, self.minibatch_size or 1)
        self._input_signals = self._find_input_nodes()
        fixed = {
            signal: signal.initial_value
            for node, signal in self._input_signals.items()
            if node.output is None or is_array_like(node.output)
        }
        placement = Placement.choose(
            self.device, self.jit_compile, self.minibatch_size or 1
        )
        minibatch = placement.minibatch_size
        plan = compile_model(
            model,
            make_builder_lookup(self.dtype, minibatch, placement.uses_xla),
            list(fixed),
            settings,
            minibatch,
            placement.large,
        )
        if not model.operators:
            raise ValidationError(
                "The model has no operators, so there is nothing to simulate",
                attr="model",
            )
        self._session = open_session(
            plan,
            placement,
            self.dtype,
            self.unroll_simulation,
            fixed,
            shows_state=True,
        )
        self._stateful = settings.stateful
        self._show_session()

    def _show_session(self) -> None:
        """Make what users read: probe data, parameters, signals."""
        model, plan = self.model, self._session.plan
        self._histories = make_histories(
            model, plan.sampling, self.minibatch_size is not None
        )
        for probe, history in self._histories.items():
            history.before_reading = functools.partial(self._session.note_reading, True)
            # where Nengo's simulator has its data
            model.params[probe] = ProbeRows(history)
        self._parameters = ParameterValues(
            self._session, model, self.minibatch_size is not None
        )
        self.data = SimulationData(self._parameters, self._histories)
        self.signals: SignalValues | None = SignalValues(
            self._session, model, self.minibatch_size is not None
        )

    def _find_input_nodes(self) -> dict[nengo.Node, Signal]:
        """Return the nodes whose output can be replaced, with their signals."""
        network = self.model.toplevel
        if network is None:
            return {}
        targets = {conn.post_obj for conn in network.all_connections}
        settings = Settings(network)
        return {
            node: self.model.sig[node]["out"]
            for node in network.all_nodes
            if node not in targets
            and _can_be_fed(node)
            and settings.value(node, "can_be_fed", True)
            and self.model.sig[node].get("out") is not None
        }

    @property
    def dt(self) -> float:
        """Length of a time step, in seconds."""
        return self.model.dt

    @dt.setter
    def dt(self, value: float) -> None:
        raise ReadonlyError(attr="dt", obj=self)

    @property
    def n_steps(self) -> int:
        """Number of time steps simulated since the last reset."""
        return self._session.shown_steps

    @n_steps.setter
    def n_steps(self, value: int) -> None:
        raise ReadonlyError(attr="n_steps", obj=self)

    @property
    def time(self) -> float:
        """Simulated time since the last reset, in seconds."""
        return self._session.shown_steps * self.model.dt

    @time.setter
    def time(self, value: float) -> None:
        raise ReadonlyError(attr="time", obj=self)

    @property
    def step_order(self) -> list[Operator]:
        """The model's operators in the order of Nengo's reference simulator."""
        return list(self._session.plan.order)

    def _come_back(self) -> None:
        """Show time and data of the simulation again, after a run apart from it."""
        self._is_excursion = False
        self._session.come_back()
        for history in self._histories.values():
            history.take_back()

    def clear_probes(self) -> None:
        """Forget all probe data.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     sim.clear_probes()
        ...     print(sim.n_steps, len(sim.data[probe]))
        5 0
        """
        for history in self._histories.values():
            history.clear()

    def close(self) -> None:
        """Free what the simulation holds; data stays readable.

        Any further `run`, `step` or `reset` raises `nengo.exceptions.SimulatorClosed`.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]))
        >>> sim = nengo_dl.Simulator(net, progress_bar=False)
        >>> sim.run_steps(2)
        >>> sim.close()
        >>> sim.data[probe].shape
        (2, 1)
        """
        with self._occupation.during("close"):
            self.closed = True
            self.signals = None
            self._session.compiled.close()
            self._close_training()
            if self._board is not None:
                self._board.close()

    def _close_training(self) -> None:
        """Forget optimizers and what else training keeps; give its programs back."""
        if self._training is not None:
            self._training.trainer.functions.close()
            self._training = None

    def _check_open(self, action: str) -> None:
        if self.closed:
            raise SimulatorClosed(f"Cannot {action}: the simulator is closed")
        if PROCESS.lost_threads:
            check_not_forked()

    @contextlib.contextmanager
    def _doing(self, action: str, within: Collection[str] = TRAINING) -> Iterator[None]:
        """Return a context in which nothing else is done, and Ctrl-C waits.

        Validation errors in it are errors of the simulator.
        """
        self._check_open(action)
        occupied = self._occupation.during(action, within)
        with ErrorsOf(self), occupied, DeferredInterrupt():
            yield

    def __enter__(self) -> Self:
        if self.closed:
            raise SimulatorClosed("Cannot re-open: the simulator is closed")
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __del__(self) -> None:
        """Warn if the simulator was not closed."""
        if not getattr(self, "closed", True):
            warnings.warn(
                f"Simulator with model={self.model} was deallocated while open. "
                "Close it with sim.close(), or use it in a with statement.",
                ResourceWarning,
                stacklevel=2,
            )


def _can_be_fed(node: nengo.Node) -> bool:
    """Whether the output of a node without connections to it can be replaced."""
    if isinstance(node, TensorNode):
        return False
    if node.size_in == 0:
        return node.output is not None
    # a process with an input is an operator of the device
    return node.output is None or not isinstance(node.output, nengo.Process)
