"""Resets, and the times of probed data."""

from __future__ import annotations

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.compiler.sampling import Sampling
from nengo_dl.simulator.base import SimulatorBase
from nengo_dl.support.arguments import check_flag, check_seconds, check_seed
from nengo_dl.support.errors import errors_of_self
from nengo_dl.support.user_warnings import warn_user

__all__ = ["ResettingFace"]


class ResettingFace(SimulatorBase):
    """Methods that return to an earlier state, and tell the time."""

    def reset(
        self,
        seed: int | None = None,
        include_trainable: bool = True,
        include_probes: bool = True,
        include_processes: bool = True,
    ) -> None:
        """Return to the state in which the simulator was made.

        Parameters
        ----------
        seed : int, optional
            New seed of random processes; it stays the simulator's seed.
        include_trainable : bool
            Undo changes by training and learning rules, and reset optimizers. With
            False, all of this is kept.
        include_probes : bool
            Clear probe data.
        include_processes : bool
            Restart random streams. With False, they continue.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.
        ValidationError
            If ``seed`` is given with ``include_processes=False``.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(nengo.processes.WhiteNoise()))
        >>> with nengo_dl.Simulator(net, seed=1, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     first = sim.data[probe].copy()
        ...     sim.reset()
        ...     sim.run_steps(5)
        ...     print(np.array_equal(first, sim.data[probe]))
        True
        """
        with self._doing("reset", ()):
            check_flag(include_trainable, "include_trainable")
            check_flag(include_probes, "include_probes")
            check_flag(include_processes, "include_processes")
            if seed is not None:
                if not include_processes:
                    raise ValidationError(
                        "Random streams that continue cannot get a new seed; leave out "
                        "seed or include_processes=False",
                        attr="seed",
                        obj=self,
                    )
                self.seed = check_seed(seed)
            self._come_back()
            if include_trainable:
                self._session.store.reset_parameters()
                self._parameters.forget()
            self._session.reset(
                self.seed if include_processes else None,
                keeps_learned=not include_trainable,
            )
            if self._training is not None:
                trainer = self._training.trainer
                if include_trainable:
                    trainer.forget_updates()
                if include_processes:
                    trainer.restart_streams(self.seed)
            if include_probes:
                self.clear_probes()

    def soft_reset(
        self, include_trainable: bool = False, include_probes: bool = False
    ) -> None:
        """Reset the state and the time, but not random streams and parameters.

        Weights that learning rules changed are part of the state. To keep them, too,
        use ``reset(include_trainable=False, include_processes=False)``.

        Parameters
        ----------
        include_trainable : bool
            Also undo what training changed.
        include_probes : bool
            Also clear probe data.

        Raises
        ------
        SimulatorClosed
            If the simulator was closed.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node(lambda t: t))
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(5)
        ...     sim.soft_reset()
        ...     print(sim.n_steps, len(sim.data[probe]))
        ...     sim.soft_reset(include_probes=True)
        ...     print(len(sim.data[probe]))
        0 5
        0
        """
        with self._doing("reset"):
            check_flag(include_trainable, "include_trainable")
            check_flag(include_probes, "include_probes")
            self._come_back()
            if include_trainable:
                self._session.store.reset_parameters()
                self._parameters.forget()
            self._session.soft_reset()
            if include_probes:
                self.clear_probes()

    @errors_of_self
    def trange(
        self, sample_every: float | None = None, dt: float | None = None
    ) -> np.ndarray:
        """Return the times of probed data; the first is ``dt``, not 0.

        Parameters
        ----------
        sample_every : float, optional
            Sampling period of a probe, in seconds. Default: every time step.
        dt : float, optional
            Deprecated name of ``sample_every``.

        Returns
        -------
        (n_samples,) ndarray
            Times in seconds.

        Raises
        ------
        ValidationError
            If both arguments are given.

        Examples
        --------
        >>> with nengo.Network() as net:
        ...     probe = nengo.Probe(nengo.Node([1]), sample_every=0.002)
        >>> with nengo_dl.Simulator(net, progress_bar=False) as sim:
        ...     sim.run_steps(4)
        ...     print(sim.trange(), sim.trange(sample_every=0.002))
        [0.001 0.002 0.003 0.004] [0.002 0.004]
        """
        if dt is not None:
            if sample_every is not None:
                raise ValidationError(
                    "Cannot specify both `dt` and `sample_every`. "
                    "Use `sample_every` only.",
                    attr="dt",
                )
            warn_user(
                "`dt` is deprecated. Use `sample_every` instead.", DeprecationWarning
            )
            sample_every = dt
        if sample_every is None:
            sampling = Sampling()
        else:
            period = check_seconds(sample_every, "sample_every")
            sampling = Sampling.every(period, self.dt)
        steps = np.arange(1, self.n_steps + 1)
        return self.dt * steps[sampling.mask(0, self.n_steps)]
