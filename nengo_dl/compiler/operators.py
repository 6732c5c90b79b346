"""Nengo operators that the compiler puts in the place of others.

They compute the same numbers, in pieces that suit a compiled simulation better. All
have a NumPy step, so a rewritten model can be compared with the original one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from nengo.builder.neurons import SimNeurons
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal, SignalDict
from nengo.neurons import StochasticSpiking

__all__ = ["RandomSample", "StochasticRounding", "copy_stream", "with_own_stream"]


def copy_stream(rng: np.random.RandomState, item: int = 0) -> np.random.RandomState:
    """Return a stream that starts where another one is, and advances on its own.

    Parameters
    ----------
    rng : numpy.random.RandomState
        The original; it is not advanced.
    item : int
        For items of a minibatch other than the first (0), the copy gives other numbers,
        determined by those that the original would give.
    """
    copy = np.random.RandomState()
    copy.set_state(rng.get_state())
    if item == 0:
        return copy
    words = [int(word) for word in copy.randint(2**31, size=4)]
    seed = np.random.SeedSequence([*words, item]).generate_state(1)
    return np.random.RandomState(int(seed[0]))


def with_own_stream(op: Operator, item: int) -> Operator:
    """Return an operator that draws from a stream of its own.

    Nengo's stochastic neurons keep the stream in the operator, where all items of a
    minibatch (and all simulators of one model) would share it.

    Parameters
    ----------
    op : Operator
        Any operator; those without a stream are returned as they are.
    item : int
        Item of the minibatch.
    """
    if isinstance(op, RandomSample):
        return RandomSample(copy_stream(op.rng, item), op.draws, tag=op.tag)
    if type(op) is SimNeurons and op.state_extra:
        state = dict(op.state)
        state.update(
            (name, copy_stream(rng, item)) for name, rng in op.state_extra.items()
        )
        return SimNeurons(op.neurons, op.J, op.output, state=state, tag=op.tag)
    return op


class RandomSample(Operator):
    """Draw uniform random numbers from a stream, in every step.

    Parameters
    ----------
    rng : numpy.random.RandomState
        The stream; drawing advances it.
    draws : Signal
        Where the numbers, in ``[0, 1)``, are written.
    tag : str, optional
        A label for debugging.

    Notes
    -----
    1. sets ``[draws]``
    2. incs ``[]``
    3. reads ``[]``
    4. updates ``[]``
    """

    def __init__(
        self, rng: np.random.RandomState, draws: Signal, tag: str | None = None
    ):
        super().__init__(tag=tag)
        self.rng = rng
        self.sets = [draws]
        self.incs: list[Signal] = []
        self.reads: list[Signal] = []
        self.updates: list[Signal] = []

    @property
    def draws(self) -> Signal:
        """The signal that receives the random numbers."""
        return self.sets[0]

    @property
    def _descstr(self) -> str:
        return str(self.draws)

    def make_step(
        self, signals: SignalDict, dt: float, rng: np.random.RandomState
    ) -> Callable[[], None]:
        """Return the NumPy step, which draws once per call."""
        # the original stays where it is, so that a reset starts it again
        return self.step_from(copy_stream(self.rng), signals)

    def step_from(
        self, stream: np.random.RandomState, signals: SignalDict
    ) -> Callable[[], None]:
        """Return a step that draws from a given stream."""
        draws = signals[self.draws]

        def step_random_sample() -> None:
            draws[...] = stream.random_sample(size=draws.shape)

        return step_random_sample


class StochasticRounding(Operator):
    r"""Turn rates into spike counts by stochastic rounding, given the random numbers.

    This is the deterministic part of `nengo.StochasticSpiking`; `RandomSample` is the
    rest.

    Parameters
    ----------
    neurons : nengo.StochasticSpiking
        Neuron type, for its amplitude and whether rates may be negative.
    J : Signal
        Firing rates of the base type, in Hz.
    draws : Signal
        Uniform random numbers in ``[0, 1)``, one per neuron.
    output : Signal
        Spikes (``amplitude / dt`` each).
    tag : str, optional
        A label for debugging.

    Notes
    -----
    With :math:`e = J \, dt`, the number of spikes is

    .. math:: n = \lfloor |e| \rfloor + [\,u < |e| - \lfloor |e| \rfloor\,]

    for the uniform number :math:`u`; the output has the sign of the rate.

    1. sets ``[output]``
    2. incs ``[]``
    3. reads ``[J, draws]``
    4. updates ``[]``
    """

    def __init__(
        self,
        neurons: StochasticSpiking,
        J: Signal,
        draws: Signal,
        output: Signal,
        tag: str | None = None,
    ):
        super().__init__(tag=tag)
        self.neurons = neurons
        self.sets = [output]
        self.incs: list[Signal] = []
        self.reads = [J, draws]
        self.updates: list[Signal] = []

    @property
    def J(self) -> Signal:
        """The signal of firing rates."""
        return self.reads[0]

    @property
    def draws(self) -> Signal:
        """The signal of random numbers."""
        return self.reads[1]

    @property
    def output(self) -> Signal:
        """The signal that receives the spikes."""
        return self.sets[0]

    @property
    def _descstr(self) -> str:
        return f"{self.neurons}, {self.J}, {self.output}"

    def make_step(
        self, signals: SignalDict, dt: float, rng: np.random.RandomState
    ) -> Callable[[], None]:
        """Return the NumPy step, which agrees with nengo's to the last bit."""
        rates = signals[self.J]
        draws = signals[self.draws]
        output = signals[self.output]
        scale = self.neurons.amplitude / dt
        negative = self.neurons.negative

        def step_stochastic_rounding() -> None:
            fraction, n_spikes = np.modf(dt * (np.abs(rates) if negative else rates))
            n_spikes += draws < fraction
            spikes = scale * n_spikes
            output[...] = spikes * np.sign(rates) if negative else spikes

        return step_stochastic_rounding
