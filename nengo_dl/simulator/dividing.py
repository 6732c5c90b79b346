"""Simulating some of the items of a minibatch elsewhere, and taking them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nengo.builder.signal import Signal

from nengo_dl.parameters.checkpoint import Checkpoint
from nengo_dl.parameters.items import items_of, joined_items
from nengo_dl.simulator.base import doing
from nengo_dl.simulator.parameters import ParametersFace
from nengo_dl.simulator.running import RunningFace
from nengo_dl.support.arguments import check_feeds

__all__ = ["DividingFace", "Part"]


@dataclass(frozen=True)
class Part:
    """A simulation of some items, which was on its own for a while.

    Attributes
    ----------
    arrays : dict of {str: ndarray}
        All that it is at the end, as `nengo_dl.parameters.checkpoint.Checkpoint` saves
        it.
    data : list of ndarray, shapes (n_kept, n_items, size)
        What each probe recorded meanwhile.
    """

    arrays: dict[str, np.ndarray]
    data: list[np.ndarray]


class DividingFace(RunningFace, ParametersFace):
    """Methods with which `nengo_dl.run_items` divides a simulation."""

    def _options(self) -> dict[str, Any]:
        """Return the arguments of a simulator of some of the items."""
        arguments = self.__getstate__()["arguments"]
        own = ("device", "minibatch_size", "tensorboard", "progress_bar")
        return {name: arguments[name] for name in arguments if name not in own}

    def _item_arrays(self, items: slice) -> dict[str, np.ndarray]:
        """Return all that the simulation of some items is at this moment."""
        checkpoint = Checkpoint(self._parameters)
        return items_of(checkpoint.save(), checkpoint, items)

    def _checked_feeds(self, data: Any, n_steps: int) -> list[np.ndarray | None]:
        """Return values for the nodes that can be fed, in their order."""
        feeds: Mapping[Signal, np.ndarray] = check_feeds(
            data, self._input_signals, n_steps, self.minibatch_size or 1
        )
        return [feeds.get(signal) for signal in self._input_signals.values()]

    @doing("run", ())
    def _run_part(
        self,
        arrays: Mapping[str, np.ndarray],
        n_steps: int,
        feeds: Sequence[np.ndarray | None],
    ) -> Part:
        """Go on from somewhere for some steps; this simulator has these items only."""
        Checkpoint(self._parameters).load(arrays)
        given = {
            signal: values
            for signal, values in zip(self._input_signals.values(), feeds, strict=True)
            if values is not None
        }
        self._run(n_steps, given, False)
        data = []
        for history in self._histories.values():
            values = np.asarray(history.array())
            if values.ndim > 1:  # nothing was recorded, else
                values = np.moveaxis(values, 0, 1)
                values = values.reshape(*values.shape[:2], -1)
            data.append(values)
        return Part(Checkpoint(self._parameters).save(), data)

    @doing("run", ())
    def _take_parts(self, parts: Sequence[Part]) -> None:
        """Go on from where parts with all items have come, and add their data."""
        checkpoint = Checkpoint(self._parameters)
        checkpoint.load(joined_items([part.arrays for part in parts], checkpoint))
        for history, *found in zip(
            self._histories.values(), *(part.data for part in parts), strict=True
        ):
            if len(found[0]):
                history.append(np.concatenate(found, axis=1))
