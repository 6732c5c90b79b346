"""What training needs to continue, under names that do not depend on compilation.

``random/...`` is the random stream that puts minibatches in order, ``updates`` the
number of updates, from which summaries are counted. What the optimizers
remember is under their number and class: ``0-Adam/own[0]`` (the number of updates),
``0-Adam/momentum/net.ensembles[0].bias`` (a value for each trained parameter).
``lasting/net.nodes[0].state[1]...`` is what training has of its own of the state of
TensorNodes, such as random generators.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.compiler.ir import n_values
from nengo_dl.parameters.continuation import (
    MOST_STEPS,
    RANDOM_FIELDS,
    random_problem,
    random_state,
    set_random_state,
)
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.file.messages import shown
from nengo_dl.parameters.parts import Group, SavedBatch
from nengo_dl.parameters.places import STATE_PREFIX, Places
from nengo_dl.parameters.values import ParameterValues

if TYPE_CHECKING:
    from nengo_dl.training.optimizers import SavedOptimizer
    from nengo_dl.training.trainer import Trainer

__all__ = ["TrainingState"]

_OPTIMIZER = re.compile(r"(\d{1,6})-(\w+)/(?:own\[(\d{1,6})\]|(\w+)/(.+))", re.DOTALL)
_UPDATES = "updates"
_LASTING = "lasting/"
_RANDOM = {f"random/{name}": field for name, field in RANDOM_FIELDS.items()}


#: Values of an optimizer itself are few; so many are none of ours.
_MOST_OWN = 2**20


class TrainingState:
    """State of optimizers and of the order of minibatches, to save and to load.

    Parameters
    ----------
    values : ParameterValues
        The simulated parameters.
    trainer : Trainer or None
        What was trained so far (None: nothing).
    make_trainer : callable
        Returns a trainer when one is needed.
    all_optimizers : bool
        Whether to save all optimizers that can still be used, not the last one only.
    """

    prefix = "optimizer/"
    group: Group = "global"

    def __init__(
        self,
        values: ParameterValues,
        trainer: Trainer | None,
        make_trainer: Callable[[], Trainer],
        all_optimizers: bool = False,
    ):
        self.values = values
        self.trainer = trainer
        self.make_trainer = make_trainer
        self.all_optimizers = all_optimizers

    def save(self) -> dict[str, np.ndarray]:
        """Return all of it by name; nothing if nothing was trained."""
        if self.trainer is None:
            return {}
        state = random_state(self.trainer.rng)
        arrays = {f"random/{name}": array for name, array in state.items()}
        arrays[_UPDATES] = np.array(self.trainer.n_updates, dtype=np.int64)
        lasting = self.values.session.store.lasting
        for name, number in self._lasting().items():
            if number in lasting.own:  # one for all items
                arrays[_LASTING + name] = lasting.own[number][0]
        optimizers = self.trainer.optimizers
        updates = optimizers.updates if self.all_optimizers else [optimizers.last]
        for number, update in enumerate(filter(None, updates)):
            prefix = f"{number}-{update.state.kind}"
            pieces = self.trainer.parameters.pieces
            self._save_optimizer(prefix, update.state, pieces, arrays)
        return arrays

    def _save_optimizer(self, prefix, state, pieces, arrays) -> None:
        from nengo_dl.training.updates import array_of

        for position, variable in enumerate(state.own):
            arrays[f"{prefix}/own[{position}]"] = array_of(variable)
        flat = {key: array_of(v).reshape(-1) for key, v in state.slots.items()}
        names = self._names()
        for index, piece in enumerate(pieces):
            where = slice(piece.start, piece.end)
            number = piece.block
            if state.by_parameter:
                where, number = slice(None), index
            for (slot, found), values in flat.items():
                if found == number:
                    arrays[f"{prefix}/{slot}/{names[piece.signal]}"] = values[where]

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Raise a ValidationError if arrays of these forms are no state of training."""
        missing = [name for name in _RANDOM if name not in forms]
        if forms and missing:
            raise ValidationError(
                f"The state of training is incomplete: {missing[0]!r} is missing",
                attr="path",
            )
        sizes = self._sizes() if forms else {}
        blocks = self.values.session.step.state_blocks
        lasting = {_LASTING + n: blocks[i] for n, i in self._lasting().items()}
        for name, (shape, dtype) in forms.items():
            if name in _RANDOM:
                fine = (shape, dtype) == _RANDOM[name]
            elif name == _UPDATES:
                fine = (shape, dtype) == ((), np.int64)
            elif name.startswith(_LASTING):
                known = lasting.get(name)
                fine = dtype.kind in "fiub" and math.prod(shape) <= _MOST_OWN
                if known is not None:
                    fine = (shape, dtype.kind) == ((known.size,), known.kind)
            else:
                match = _OPTIMIZER.fullmatch(name)
                fine = match is not None and dtype.kind in "fiu"
                if fine and match is not None and match[5] in sizes:
                    fine = shape == (sizes[match[5]],)
                elif fine:
                    fine = math.prod(shape) <= _MOST_OWN
            if not fine:
                raise ValidationError(
                    f"The state of training is unusable: {shown(name)} is {dtype} of "
                    f"shape {shown(shape)}",
                    attr="path",
                )

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValidationError if these values are no state of training."""
        if not arrays:
            return
        problem = random_problem({n: arrays[f"random/{n}"] for n in RANDOM_FIELDS})
        if problem is None and not 0 <= int(arrays.get(_UPDATES, 0)) <= MOST_STEPS:
            problem = f"has an impossible number of updates, {int(arrays[_UPDATES])}"
        if problem is not None:
            raise ValidationError(
                f"The state of training is unusable: it {problem}", attr="path"
            )

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Continue from there; what is not about parameters trained here is left."""
        if not arrays:
            return
        from nengo_dl.training.optimizers import SavedOptimizer

        trainer = self.make_trainer()
        state = {name: arrays[f"random/{name}"] for name in RANDOM_FIELDS}
        set_random_state(trainer.rng, state)
        trainer.n_updates = int(arrays.get(_UPDATES, 0))
        names = self._names()
        pieces = {names[p.signal]: p for p in trainer.parameters.pieces}
        saved: dict[int, SavedOptimizer] = {}
        for name, array in arrays.items():
            match = _OPTIMIZER.fullmatch(name)
            if match is None:
                continue
            number, kind, own, slot, parameter = match.groups()
            found = saved.setdefault(int(number), SavedOptimizer(kind))
            if own is not None:
                found.own[int(own)] = array
            elif parameter in pieces:
                found.slots[slot, pieces[parameter].name] = array
        trainer.optimizers.restore([saved[number] for number in sorted(saved)])
        session = self.values.session
        session.store.lasting.continue_training(
            {
                number: np.tile(
                    arrays[_LASTING + name], (session.host.minibatch_size, 1)
                )
                for name, number in self._lasting().items()
                if _LASTING + name in arrays
            }
        )

    def _lasting(self) -> dict[str, int]:
        """Return the state blocks of which training has a value of its own."""
        step, lasting = self.values.session.step, self.values.session.store.lasting
        signals = {
            step.state_blocks[number].signals[0]: number for number in lasting.carried
        }
        return {
            name.removeprefix(STATE_PREFIX): signals[place.signal]
            for name, place in Places(self.values).state.items()
            if place.signal in signals
        }

    def _names(self) -> dict[Any, str]:
        """Return the names that parameters have in files."""
        return {
            place.signal: name
            for name, place in Places(self.values).parameters.items()
            if place.signal is not None
        }

    def _sizes(self) -> dict[str, int]:
        trained = {p.signal for p in self.values.session.plan.trainable}
        return {
            name: n_values(signal)
            for signal, name in self._names().items()
            if signal in trained
        }
