"""The operator behind a TensorNode, and what is known of one after it was built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from nengo.builder.operator import Operator
from nengo.builder.signal import Signal, SignalDict

__all__ = [
    "BuiltTensorNode",
    "NodeFunction",
    "SimTensorNode",
    "StateTraits",
    "state_of_nodes",
]

Arrays = list[np.ndarray]


@dataclass(frozen=True)
class StateTraits:
    """How a value that calls of TensorFlow code replace is treated.

    Attributes
    ----------
    advances : bool
        Whether calls in simulations replace it, too. Otherwise only those in training
        do (moving averages), and it outlives resets of the simulation's state.
    per_item : bool
        Whether it has an axis for the items of a minibatch, as stateful recurrent
        layers have. In training, it starts anew in each minibatch then.
    is_stream : bool
        Whether it is the state of a random generator, which goes on in soft resets.
    is_seeded : bool
        Whether the generator has a seed of its own; otherwise it follows the
        simulator's.
    """

    advances: bool = False
    per_item: bool = False
    is_stream: bool = False
    is_seeded: bool = False


class NodeFunction(Protocol):
    """What the operator and the compiler need to know of TensorFlow code."""

    source: Any
    passes_time: bool

    @property
    def key(self) -> tuple[Any, ...]:
        """Functions with equal keys compute the same from the same arguments."""

    def numpy_step(
        self, dtype: np.dtype
    ) -> Callable[[np.ndarray | None, np.ndarray | None, Arrays], tuple[Any, Arrays]]:
        """Return a function of time, input and weights that runs eagerly.

        It returns the output, and new values of the weights that are state.
        """

    def own_variables(self) -> Mapping[str, Any]:
        """Return the user's variables, by the names of the weights that copy them."""


@dataclass(frozen=True, eq=False)
class BuiltTensorNode:
    """Weights of a TensorNode.

    Attributes
    ----------
    weights : dict of {str: ndarray}
        Values by name, in the order in which the layer, model or object lists them:
        that of Keras's ``get_weights`` and ``set_weights``. Empty for functions.
    signals : dict of {str: Signal}
        The signals that hold them in a simulation, and those of what Keras does not
        count as weights: states of random generators and of metrics.
    trainable : frozenset of str
        Names of the weights that training changes by their gradients.
    state : dict of {str: StateTraits}
        Those that calls replace (moving averages, states of random generators).
    function : NodeFunction
        What is computed.
    """

    weights: Mapping[str, np.ndarray]
    signals: Mapping[str, Signal]
    trainable: frozenset[str]
    state: Mapping[str, StateTraits]
    function: NodeFunction

    def __repr__(self) -> str:
        shapes = ", ".join(f"{k}: {np.shape(v)}" for k, v in self.weights.items())
        return f"<BuiltTensorNode with weights {{{shapes}}}>"


class SimTensorNode(Operator):
    """Compute the output of a TensorNode.

    Parameters
    ----------
    function : NodeFunction
        What it computes.
    output : Signal
        Where the result goes, flattened.
    t : Signal or None
        The time, if the function takes it.
    x : Signal or None
        The input, if there is one.
    weights : sequence of Signal
        What stays the same within a simulation.
    state : mapping of {Signal: StateTraits}
        What calls replace.
    label : str
        Name of the node, for messages.
    tag : str, optional
        A label for debugging.

    Notes
    -----
    1. sets ``[output]``
    2. incs ``[]``
    3. reads ``[t, x, *weights]`` (those that there are)
    4. updates ``[*state]``
    """

    def __init__(
        self,
        function: NodeFunction,
        output: Signal,
        t: Signal | None,
        x: Signal | None,
        weights: Sequence[Signal],
        state: Mapping[Signal, StateTraits],
        label: str,
        tag: str | None = None,
    ):
        super().__init__(tag=tag)
        self.function = function
        self.label = label
        self.has_time = t is not None
        self.has_input = x is not None
        self.sets = [output]
        self.incs: list[Signal] = []
        self.reads = [s for s in (t, x) if s is not None] + list(weights)
        self.updates = list(state)
        self.state = dict(state)

    @property
    def shares_state(self) -> bool:
        """Whether all items of a minibatch have one state that each step changes."""
        return any(t.advances and not t.per_item for t in self.state.values())

    @property
    def output(self) -> Signal:
        """The signal that receives the result."""
        return self.sets[0]

    @property
    def _descstr(self) -> str:
        return self.label

    def make_step(
        self, signals: SignalDict, dt: float, rng: np.random.RandomState
    ) -> Callable[[], None]:
        """Return a step that calls the function eagerly, with a batch of one."""
        output = signals[self.output]
        reads = [signals[signal] for signal in self.reads]
        t = reads.pop(0) if self.has_time else None
        x = reads.pop(0) if self.has_input else None
        state = [signals[signal] for signal in self.updates]
        weights = [*reads, *state]
        # TensorFlow knows too few operations in half precision
        dtype = np.dtype("float64" if output.dtype == np.float64 else "float32")
        function = self.function.numpy_step(dtype)

        def step_tensor_node() -> None:
            output[...], after = function(t, x, weights)
            for live, value in zip(state, after, strict=True):
                live[...] = value

        return step_tensor_node


def state_of_nodes(operators: Iterable[Operator]) -> dict[Signal, StateTraits]:
    """Return what calls of TensorFlow code replace, in the order of the operators."""
    return {
        signal: traits
        for op in operators
        if isinstance(op, SimTensorNode)
        for signal, traits in op.state.items()
    }
