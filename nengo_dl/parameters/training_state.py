"""What training needs to continue, under names that do not depend on compilation.

``random/...`` is the random stream that puts minibatches in order, ``updates`` the
number of updates, from which summaries are counted. What the optimizers
remember is under their number and class: ``0-Adam/own[0]`` (the number of updates),
``0-Adam/momentum/net.ensembles[0].bias`` (a value for each trained parameter).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.continuation import (
    MOST_STEPS,
    RANDOM_FIELDS,
    random_problem,
    random_state,
    set_random_state,
)
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.file.messages import shown
from nengo_dl.parameters.parts import SavedBatch
from nengo_dl.parameters.places import Places
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.training.optimizers import SavedOptimizer, array_of
from nengo_dl.training.trainer import Trainer

__all__ = ["TrainingState"]

_OPTIMIZER = re.compile(r"(\d{1,6})-(\w+)/(?:own\[(\d{1,6})\]|(\w+)/(.+))", re.DOTALL)
_UPDATES = "updates"
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
    """

    prefix = "optimizer/"
    group = "global"

    def __init__(
        self,
        values: ParameterValues,
        trainer: Trainer | None,
        make_trainer: Callable[[], Trainer],
    ):
        self.values = values
        self.trainer = trainer
        self.make_trainer = make_trainer

    def save(self) -> dict[str, np.ndarray]:
        """Return all of it by name; nothing if nothing was trained."""
        if self.trainer is None:
            return {}
        state = random_state(self.trainer.rng)
        arrays = {f"random/{name}": array for name, array in state.items()}
        arrays[_UPDATES] = np.array(self.trainer.n_updates, dtype=np.int64)
        parts = [list(found) for found in self._parts()]
        for number, state in enumerate(self.trainer.optimizers.states):
            prefix = f"{number}-{state.kind}"
            for position, variable in enumerate(state.own):
                arrays[f"{prefix}/own[{position}]"] = array_of(variable)
            for (slot, index), variable in state.slots.items():
                flat = array_of(variable).reshape(-1)
                for name, start, size in parts[index]:
                    arrays[f"{prefix}/{slot}/{name}"] = flat[start : start + size]
        return arrays

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Raise a ValidationError if arrays of these forms are no state of training."""
        missing = [name for name in _RANDOM if name not in forms]
        if forms and missing:
            raise ValidationError(
                f"The state of training is incomplete: {missing[0]!r} is missing",
                attr="path",
            )
        parts = self._all_parts() if forms else {}
        for name, (shape, dtype) in forms.items():
            if name in _RANDOM:
                fine = (shape, dtype) == _RANDOM[name]
            elif name == _UPDATES:
                fine = (shape, dtype) == ((), np.int64)
            else:
                match = _OPTIMIZER.fullmatch(name)
                fine = match is not None and dtype.kind in "fiu"
                if fine and match[5] in parts:
                    fine = shape == (parts[match[5]][2],)
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
        trainer = self.make_trainer()
        state = {name: arrays[f"random/{name}"] for name in RANDOM_FIELDS}
        set_random_state(trainer.rng, state)
        trainer.n_updates = int(arrays.get(_UPDATES, 0))
        parts = self._all_parts()
        saved: dict[int, SavedOptimizer] = {}
        for name, array in arrays.items():
            match = _OPTIMIZER.fullmatch(name)
            if match is None:
                continue
            number, kind, own, slot, parameter = match.groups()
            found = saved.setdefault(int(number), SavedOptimizer(kind))
            if own is not None:
                found.own[int(own)] = array
            elif parameter in parts:
                index, start, _ = parts[parameter]
                found.slots.setdefault((slot, index), []).append((start, array))
        trainer.optimizers.restore([saved[number] for number in sorted(saved)])

    def _all_parts(self) -> dict[str, tuple[int, int, int]]:
        return {
            name: (index, start, size)
            for index, found in enumerate(self._parts())
            for name, start, size in found
        }

    def _parts(self) -> Iterator[list[tuple[str, int, int]]]:
        """Yield which parameters each trained variable holds: name, start, size."""
        engine = self.values.engine
        blocks = {
            id(variable): block
            for variable, block in zip(
                engine.storage.variables.constants,
                engine.step.constant_blocks,
                strict=True,
            )
        }
        names: dict[Any, tuple[str, int]] = {
            place.signal: (name, int(np.prod(place.shape)))
            for name, place in Places(self.values).parameters.items()
            if place.signal is not None
        }
        learned = {
            id(v): signal for signal, v in engine.storage.learned.variables.items()
        }
        for index, variable in enumerate(engine.storage.trained_variables):
            if id(variable) in learned:
                name, size = names[learned[id(variable)]]
                yield [(name, 0, size)]
                continue
            block = blocks.get(id(variable))
            if block is None:  # of a TensorNode
                yield [(f"variables[{index}]", 0, int(np.prod(variable.shape)))]
                continue
            found = []
            for signal in block.signals:
                name, size = names[signal]
                found.append((name, block.starts[signal], size))
            yield found
