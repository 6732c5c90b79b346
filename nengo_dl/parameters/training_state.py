"""What training needs to continue, under names that do not depend on compilation.

``random/...`` is the random stream that puts minibatches in order, ``updates`` the
number of updates, from which summaries are counted. What the optimizers
remember is under their number and class: ``0-Adam/own[0]`` (the number of updates),
``0-Adam/momentum/net.ensembles[0].bias`` (a value for each trained parameter).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from nengo.exceptions import ValidationError

from nengo_dl.parameters.continuation import (
    RANDOM_FIELDS,
    random_state,
    set_random_state,
)
from nengo_dl.parameters.places import Places
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.training.optimizers import SavedOptimizer, array_of
from nengo_dl.training.trainer import Trainer

__all__ = ["TrainingState"]

_OPTIMIZER = re.compile(r"(\d{1,6})-(\w+)/(?:own\[(\d{1,6})\]|(\w+)/(.+))", re.DOTALL)
_UPDATES = "updates"
_RANDOM = {f"random/{name}": field for name, field in RANDOM_FIELDS.items()}


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

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValidationError if these arrays are no state of training."""
        missing = [name for name in _RANDOM if name not in arrays]
        if arrays and missing:
            raise ValidationError(
                f"The state of training is incomplete: {missing[0]!r} is missing",
                attr="path",
            )
        parts = self._all_parts() if arrays else {}
        for name, array in arrays.items():
            if name in _RANDOM:
                shape, dtype = _RANDOM[name]
                fine = array.shape == shape and array.dtype == dtype
            elif name == _UPDATES:
                fine = array.shape == () and array.dtype == np.int64 and array >= 0
            else:
                match = _OPTIMIZER.fullmatch(name)
                fine = match is not None and array.dtype.kind in "fiu"
                if fine and match[5] in parts:
                    fine = array.shape == (parts[match[5]][2],)
            if not fine:
                raise ValidationError(
                    f"The state of training is unusable: {name!r} is {array.dtype} of "
                    f"shape {array.shape}",
                    attr="path",
                )
        if arrays:
            position, has_gauss = arrays["random/position"]
            if not (0 <= position <= 624 and has_gauss in (0, 1)):
                raise ValidationError(
                    "The state of training is unusable: there is no position "
                    f"{position} in a random stream",
                    attr="path",
                )

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
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
