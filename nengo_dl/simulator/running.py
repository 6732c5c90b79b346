"""Running: step by step, for some time, or for some steps."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import nengo
import numpy as np
from nengo.builder.signal import Signal
from nengo.exceptions import ValidationError
from nengo.utils.numpy import is_number
from nengo.utils.progress import ProgressBar

from nengo_dl.execution.apart import apart
from nengo_dl.execution.fed_weights import fed_weights
from nengo_dl.execution.slow_start import SHORT_RUNS, SLOW_START, kind_of
from nengo_dl.profiling.profiler import check_profile, recorded
from nengo_dl.simulator.base import TRAINING, SimulatorBase
from nengo_dl.support.arguments import (
    check_extra_feeds,
    check_feeds,
    check_flag,
    check_positive,
    temporary_values,
)
from nengo_dl.support.errors import errors_of_self
from nengo_dl.support.interrupts import DeferredInterrupt
from nengo_dl.support.lazy_imports import tf
from nengo_dl.support.progress import is_silent, track
from nengo_dl.support.surroundings import check_surroundings
from nengo_dl.support.user_warnings import warn_user

__all__ = ["RunningFace"]

#: Longest run, in steps: more would take years.
_MOST_STEPS = 1e12

logger = logging.getLogger(__name__)


class RunningFace(SimulatorBase):
    """Methods that advance the simulation."""

    @functools.cached_property
    def _kind(self) -> int:
        """Equal for networks that differ in values only."""
        return kind_of(self._session.plan)

    def step(self, **kwargs: Any) -> None:
        """Simulate one time step.

        Parameters
        ----------
        **kwargs
            See `run_steps`. The progress bar is off by default.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.step()
        ...     print(sim.n_steps, sim.data[probe])
        1 [[0.001]]
        """
        self._check_open("run")
        if kwargs:
            kwargs.setdefault("progress_bar", False)
            self._run_steps(1, **kwargs)
            return
        # taken without a call in the usual case: a step of a small network is short
        lock = self._occupation.lock
        taken = lock.acquire(blocking=False)
        if not taken:  # it is a part of training, or an error
            self._occupation.begin("run", TRAINING)
        try:
            if (
                self._step_feeds is not None
                or self._is_excursion
                or not self._stateful
                or not self._take_single_step()
            ):
                with self._where(None):
                    self._run(1, self._step_feeds or {}, False)
        finally:
            if taken:
                lock.release()

    def _take_single_step(self) -> bool:
        """Simulate one step with as little around it as possible.

        Returns
        -------
        bool
            False, and nothing was done, if there is no such way.
        """
        session = self._session
        before = session.n_steps
        try:
            outputs = session.run_one()
            if outputs is not None:
                self._record(outputs)
        except BaseException:
            # Ctrl-C, at any moment: a step is recorded if it counts
            with DeferredInterrupt():
                if session.n_steps > before:
                    self._record_missing(session.last_outputs)
            raise
        return outputs is not None

    def run(self, time_in_seconds: float, **kwargs: Any) -> None:
        """Simulate for some time.

        Parameters
        ----------
        time_in_seconds : float
            Simulated time; rounded to the nearest number of time steps.
        **kwargs
            See `run_steps`.

        Raises
        ------
        ValidationError
            If the time is negative.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run(0.005)
        ...     sim.run(0.005)  # goes on
        ...     print(sim.data[probe].shape)
        (10, 1)
        """
        fine = is_number(time_in_seconds) and not isinstance(time_in_seconds, bool)
        if not fine or not 0 <= time_in_seconds / self.dt <= _MOST_STEPS:
            raise ValidationError(
                "Must be a positive number of seconds, or 0, and at most "
                f"{_MOST_STEPS:g} time steps (got {time_in_seconds!r})",
                attr="time_in_seconds",
                obj=self,
            )
        n_steps = int(np.round(float(time_in_seconds) / self.dt))
        if n_steps == 0:
            self._check_open("run")
            warn_user(
                f"{time_in_seconds} results in running for 0 timesteps. Simulator "
                f"still at time {self.time}."
            )
            return
        logger.info(
            "Running %s for %f seconds, or %d steps",
            self.model.label,
            time_in_seconds,
            n_steps,
        )
        self.run_steps(n_steps, **kwargs)

    def run_steps(
        self,
        n_steps: int,
        input_feeds: Mapping[nengo.Node, np.ndarray] | None = None,
        profile: bool | Mapping[str, Any] = False,
        progress_bar: bool | ProgressBar | None = None,
        extra_feeds: Mapping[tf.Variable, np.ndarray] | None = None,
        stateful: bool | None = None,
        data: Mapping[nengo.Node | str, np.ndarray] | None = None,
    ) -> None:
        """Simulate exactly this number of time steps.

        Parameters
        ----------
        n_steps : int
            Number of time steps.
        input_feeds : dict of {Node or str: ndarray}, optional
            Values that replace the output of Nodes without incoming connections, by
            Node or label, of shape ``(minibatch_size, n_steps, node.size_out)``. If the
            first axis has length 1, all items of the minibatch get the same values.
        profile : bool or dict
            Record how long each part of the run takes, in a Chrome trace named
            ``nengo_dl_profile.json_-1``, or ``profile["path"]``. With ``"table"``:
            True, also print a table. Other entries are options of
            `tf.profiler.experimental.ProfilerOptions`. The compiled loop is used even
            for few steps, and runs more slowly while it is recorded.
        progress_bar : bool or nengo.utils.progress.ProgressBar, optional
            Whether to show progress. Default: as given to the simulator.
        extra_feeds : dict of {reference of tf.Variable: ndarray}, optional
            Values that variables have during this run only; the keys are
            ``variable.ref()``, since variables cannot be keys of a dict.
        stateful : bool, optional
            Whether to continue from the current state. With False, the run begins at
            time 0 in the initial state, and leaves time and state as they were. Until
            the next call, the time and the data of probes are those of this run. Random
            streams continue, and weights that learning rules changed are those of the
            simulation. Default: the setting ``stateful`` of the network.
        data : dict of {Node or str: ndarray}, optional
            Another name of ``input_feeds``.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If an argument is of the wrong kind or shape.
        SimulationError
            If a function of the model fails or returns an invalid value. The simulator
            is then at the end of the last chunk of steps that succeeded, and can still
            be used.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     node = nengo.Node([0])
        ...     probe = nengo.Probe(node)
        >>> feeds = {node: np.arange(6).reshape(2, 3, 1)}  # items, steps, size
        >>> with nengo_dl.Simulator(net, minibatch_size=2, progress_bar=False) as sim:
        ...     sim.run_steps(3, input_feeds=feeds)
        ...     print(sim.data[probe][..., 0])
        [[0. 1. 2.]
         [3. 4. 5.]]
        """
        self._run_steps(
            n_steps,
            input_feeds,
            profile,
            progress_bar,
            extra_feeds,
            stateful,
            data,
            step_by_step=True,
        )

    @errors_of_self
    def _run_steps(
        self,
        n_steps,
        input_feeds=None,
        profile=False,
        progress_bar=None,
        extra_feeds=None,
        stateful=None,
        data=None,
        step_by_step=False,
    ) -> None:
        """Do what `run_steps` does; it may be a part of `step`."""
        self._check_open("run")
        check_surroundings("run")
        n_steps = check_positive(n_steps, "n_steps", 0, int(_MOST_STEPS))
        stateful = check_flag(stateful, "stateful", or_none=True)
        input_feeds = self._one_of(input_feeds, data)
        feeds = check_feeds(
            input_feeds, self._input_signals, n_steps, self.minibatch_size or 1
        )
        given, profile = profile, check_profile(profile)
        if extra_feeds is not None:
            checked = check_extra_feeds(extra_feeds)
            with (
                temporary_values(checked),
                fed_weights(self._session.store, self.model, checked),
            ):
                return self._run_steps(
                    n_steps,
                    input_feeds,
                    given,
                    progress_bar,
                    None,
                    stateful,
                    None,
                    step_by_step,
                )
        if n_steps == 0:
            warn_user(f"Running for 0 timesteps. Simulator still at time {self.time}.")
            return
        if progress_bar is None:
            progress_bar = self.progress_bar
        if (
            step_by_step
            and getattr(self.step, "__func__", None) is not RunningFace.step
        ):
            with self._where(stateful):
                self._call_step(n_steps, feeds, progress_bar)
            return
        with self._occupation.during("run", TRAINING), contextlib.ExitStack() as stack:
            if profile is not None:
                self._session.compiled.show_labels()
                stack.enter_context(recorded(profile, self._session.step.labels))
            stack.enter_context(self._where(stateful))
            self._run(n_steps, feeds, progress_bar, compiled=profile is not None)

    def _call_step(
        self, n_steps: int, feeds: Mapping[Signal, np.ndarray], progress_bar: Any
    ) -> None:
        """Run by calls of `step`, which a subclass has overridden."""
        with contextlib.ExitStack() as stack:
            advance = None
            if progress_bar is not False:
                bar = track(progress_bar, "Simulating", "Simulation", n_steps)
                advance = stack.enter_context(bar).total_progress.step
            for n in range(n_steps):
                self._step_feeds = {
                    signal: rows[n : n + 1] for signal, rows in feeds.items()
                } or None
                try:
                    self.step()
                finally:
                    self._step_feeds = None
                if advance is not None:
                    advance(1)

    @contextlib.contextmanager
    def _where(self, stateful: bool | None) -> Iterator[None]:
        """Return a context of a run: of the simulation, or apart from it."""
        session = self._session
        if session.is_apart:  # a step of a run that is
            yield
            return
        if self._stateful if stateful is None else stateful:
            if self._is_excursion:
                self._come_back()
            yield
            return
        for history in self._histories.values():
            history.set_aside()
        self._is_excursion = True
        with apart(session):
            yield

    def _one_of(self, input_feeds: Any, data: Any) -> Any:
        if data is None:
            return input_feeds
        if input_feeds is not None:
            raise ValidationError(
                "Is another name of input_feeds; pass one of them",
                attr="data",
                obj=self,
            )
        return data

    def _run(self, n_steps, feeds, progress_bar, compiled=False) -> None:
        with contextlib.ExitStack() as stack:
            advance = None
            if progress_bar is not False:
                bar = track(progress_bar, "Simulating", "Simulation", n_steps)
                advance = stack.enter_context(bar).total_progress.step
            interrupt = stack.enter_context(DeferredInterrupt())
            session = self._session
            choice = session.executors
            numpy = not compiled and choice.uses_numpy(n_steps, session.n_steps)
            if numpy and not choice.callbacks and not is_silent(progress_bar):
                seconds = n_steps * session.numpy.estimated_seconds
                SHORT_RUNS.note(self._kind, seconds, choice.compile_seconds)
            begins = not numpy and not session.compiled.is_warm
            has_begun = stack.enter_context(
                SLOW_START.watched(begins and not is_silent(progress_bar))
            )
            # closed in any case, so that what a run puts back at its end is put back
            chunks = stack.enter_context(
                contextlib.closing(session.run(n_steps, feeds, compiled))
            )
            for chunk in chunks:
                has_begun()
                self._record(chunk.outputs)
                if advance is not None:
                    advance(chunk.n_steps)
                interrupt.check()

    def _record(self, outputs: Sequence[np.ndarray]) -> None:
        for history, values in zip(self._histories.values(), outputs, strict=True):
            history.append(values)

    def _record_missing(self, outputs: Sequence[np.ndarray]) -> None:
        """Record what an interrupted call of `_record` did not."""
        for history, values in zip(self._histories.values(), outputs, strict=True):
            history.append_missing(values)
