"""The parameters that training changes, as the user sees them.

A step reads blocks: vectors, in which the parameters of many objects lie one after the
other, so that a thousand ensembles are one kernel. Optimizers that look at variables,
and Keras models, need variables of the user's parameters, each in its own shape and
named by its place in the network. These are made when something first asks for them;
from then on blocks and variables follow each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from nengo.builder import Model
from nengo.builder.signal import Signal
from nengo.ensemble import Neurons
from nengo.exceptions import SimulationError

from nengo_dl.compiler.ir import n_values
from nengo_dl.compiler.names import name_objects
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.execution.session import Session
from nengo_dl.support.lazy_imports import keras, tf

__all__ = ["Piece", "TrainedParameters"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Where a parameter lies.

    Attributes
    ----------
    parameter : Parameter
        What it is of.
    name : str
        Its place in the network, such as ``net.ensembles.0.bias``: in graphs of
        TensorFlow, names have no brackets.
    shape : tuple of int
        Its shape; ``(n_values,)`` of sparse weights.
    block : int
        Number of the block.
    start, end : int
        Elements of the block.
    """

    parameter: Parameter
    name: str
    shape: tuple[int, ...]
    block: int
    start: int
    end: int

    @property
    def signal(self) -> Signal:
        """The base signal that holds it."""
        return self.parameter.signal


class TrainedParameters:
    """Blocks that training changes, and the parameters in them.

    Parameters
    ----------
    session : Session
        Runs the simulation.
    model : Model
        What Nengo built.

    Attributes
    ----------
    blocks : list of tf.Variable, shapes (1, size)
        What the step reads.
    block_variables : list of keras.Variable
        The same, not copied, with names that Keras accepts.
    pieces : list of Piece
        The parameters, in the order in which Nengo built them.

    Raises
    ------
    SimulationError
        If this version of Keras copies variables of TensorFlow (below 3.10).
    """

    def __init__(self, session: Session, model: Model):
        self.store = session.store
        self.device = session.placement.device
        self.blocks = self.store.trained_variables
        self.pieces = _find_pieces(session, model, self.blocks)
        self.block_variables = [
            keras.Variable(
                block,
                dtype=block.dtype.name,
                name=f"block_{number}",
                autocast=False,
            )
            for number, block in enumerate(self.blocks)
        ]
        _check_copies(self.blocks, self.block_variables)
        self._variables: list[keras.Variable] | None = None
        # what the variables were last given to show
        self._shown: list[np.ndarray] = []

    # -- variables

    @property
    def variables(self) -> list[keras.Variable]:
        """One variable for each parameter; made when first asked for."""
        if self._variables is None:
            # eagerly, also if an objective asks for them while it is traced
            with tf.init_scope(), tf.device(self.device):
                values = self.split([block.numpy() for block in self.blocks])
                self._variables = [
                    keras.Variable(
                        # few names: TensorFlow makes a kernel for each new one, in 0.4
                        # ms; `remember_names` has optimizers look at Keras's names
                        tf.Variable(value, name=piece.parameter.attribute),
                        dtype=value.dtype.name,
                        name=piece.name,
                        autocast=False,
                    )
                    for piece, value in zip(self.pieces, values, strict=True)
                ]
            self._shown = [np.array(value) for value in values]
            self.store.followers.append(self)
        return self._variables

    def of_optimizer(self, by_parameter: bool) -> list[keras.Variable]:
        """Return the variables that an optimizer sees."""
        return self.variables if by_parameter else self.block_variables

    @property
    def has_variables(self) -> bool:
        """Whether there are variables beside the blocks."""
        return self._variables is not None

    def push(self) -> None:
        """Show the values of blocks in the variables."""
        if self._variables is None:
            return
        values = self.split([block.numpy() for block in self.blocks])
        for number, (value, shown) in enumerate(zip(values, self._shown, strict=True)):
            # comparing takes a tenth of the time, and nothing changed in most calls
            if not np.array_equal(value, shown, equal_nan=True):
                self._variables[number].assign(value)
                self._shown[number] = np.array(value)

    def changed(self) -> dict[Signal, np.ndarray]:
        """Return the values of variables that somebody else has changed.

        In the middle of training, blocks are ahead of what variables show: that is no
        change of the variables.
        """
        if self._variables is None:
            return {}
        values = self.split([block.numpy() for block in self.blocks])
        found = {}
        for piece, variable, value, shown in zip(
            self.pieces, self._variables, values, self._shown, strict=True
        ):
            new = variable.numpy()
            if not any(np.array_equal(new, v, equal_nan=True) for v in (shown, value)):
                found[piece.signal] = new
        return found

    # -- objectives that look at variables

    def accessed(self, seen: Sequence[tf.Variable]) -> dict[int, keras.Variable]:
        """Return which of the variables are among some, by number of the parameter."""
        if self._variables is None:
            return {}
        known = {id(variable) for variable in seen}
        return {
            number: variable
            for number, variable in enumerate(self._variables)
            if id(variable.value) in known
        }

    def added(
        self, gradients: Sequence[tf.Tensor], seen: Mapping[int, keras.Variable]
    ) -> list[tf.Tensor]:
        """Return gradients of blocks, to which those of variables were added.

        Parameters
        ----------
        gradients : sequence of tf.Tensor
            Of all blocks, and of the variables.
        seen : dict of {int: keras.Variable}
            The variables.
        """
        blocks = list(gradients[: len(self.blocks)])
        if not seen:
            return blocks
        parts = self.split(blocks)
        for number, gradient in zip(seen, gradients[len(blocks) :], strict=True):
            parts[number] = parts[number] + gradient
        return self.join(parts)

    def follow(self, seen: Mapping[int, keras.Variable]) -> None:
        """Show the new values of blocks in some variables."""
        if seen:
            values = self.split([tf.convert_to_tensor(block) for block in self.blocks])
            for number, variable in seen.items():
                variable.assign(values[number])

    # -- blocks to parameters, and back

    def split(self, blocks: Sequence) -> list:
        """Return the parts of blocks, arrays or tensors, in the user's shapes."""
        rows = [block[0] for block in blocks]
        shaped = tf.reshape if any(map(tf.is_tensor, rows)) else np.reshape
        return [
            shaped(rows[piece.block][piece.start : piece.end], piece.shape)
            for piece in self.pieces
        ]

    def join(self, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Return the values of blocks, given those of all parameters."""
        found: list[list[tuple[int, tf.Tensor]]] = [[] for _ in self.blocks]
        for piece, value in zip(self.pieces, values, strict=True):
            row = tf.reshape(tf.convert_to_tensor(value), (1, -1))
            found[piece.block].append((piece.start, row))
        return [
            tf.concat([row for _, row in sorted(rows, key=lambda pair: pair[0])], 1)
            for rows in found
        ]

    def mask(self, wanted: Sequence[bool]) -> list[np.ndarray]:
        """Return which elements of the blocks belong to some of the parameters."""
        masks = [np.zeros(block.shape, dtype=bool) for block in self.blocks]
        for piece, is_wanted in zip(self.pieces, wanted, strict=True):
            masks[piece.block][0, piece.start : piece.end] = is_wanted
        return masks


def _check_copies(
    blocks: Sequence[tf.Variable], variables: Sequence[keras.Variable]
) -> None:
    """Raise an error if Keras's variables are not the blocks, but copies of them."""
    if any(v.value is not b for b, v in zip(blocks, variables, strict=True)):
        raise SimulationError(
            f"Keras {keras.__version__} would train copies of the parameters, and the "
            "parameters would stay as they are. Install Keras 3.10 or newer: pip "
            'install --upgrade "keras>=3.10"'
        )


def _legal(name: str) -> str:
    """Return a name that TensorFlow and Keras accept."""
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", name.replace("[", ".").replace("]", ""))


def _find_pieces(
    session: Session, model: Model, blocks: Sequence[tf.Variable]
) -> list[Piece]:
    store, step = session.store, session.step
    number = {id(block): index for index, block in enumerate(blocks)}
    places: dict[Signal, tuple[int, int]] = {}
    for block, variable in zip(
        step.constant_blocks, store.variables.constants, strict=True
    ):
        if id(variable) in number:
            for signal in block.signals:
                places[signal] = (number[id(variable)], block.starts[signal])
    for signal, variable in store.learned.variables.items():
        places[signal] = (number[id(variable)], 0)
    names = name_objects(model)
    found = []
    for parameter in session.plan.trainable:
        signal = parameter.signal
        if signal not in places:
            continue
        block_number, start = places[signal]
        obj = parameter.obj
        obj = obj.ensemble if isinstance(obj, Neurons) else obj
        size = n_values(signal)
        found.append(
            Piece(
                parameter,
                _legal(f"{names[obj]}.{parameter.attribute}"),
                (size,) if signal.sparse else tuple(signal.shape),
                block_number,
                start,
                start + size,
            )
        )
    return found
