"""What a simulation needs to go on besides parameters and state: time and randomness.

``steps`` is the number of time steps, ``seeds`` the seed of each item of the minibatch.
``net.nodes[0].out/random/keys``, ``position`` and ``gauss`` are the random stream that
makes an output (see `numpy.random.RandomState.get_state`), one row for each item.
``net.nodes[0].out/state[0]`` is the state of a process without input, and ``/ahead``
values that were made, but not simulated since something else failed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from nengo.builder.operator import Operator
from nengo.exceptions import ValidationError

from nengo_dl.compiler.names import name_objects, name_outputs
from nengo_dl.execution.sources import Source
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.support.user_warnings import warn_user

__all__ = ["RANDOM_FIELDS", "Continuation", "random_state", "set_random_state"]

#: Entries of one random stream: shape and type.
RANDOM_FIELDS = {
    "keys": ((624,), np.dtype(np.uint32)),
    "position": ((2,), np.dtype(np.int64)),
    "gauss": ((), np.dtype(np.float64)),
}


def random_state(stream: np.random.RandomState) -> dict[str, np.ndarray]:
    """Return the state of a random stream as arrays."""
    _, keys, position, has_gauss, gauss = stream.get_state()
    return {
        "keys": np.array(keys, dtype=np.uint32),
        "position": np.array([position, has_gauss], dtype=np.int64),
        "gauss": np.array(gauss, dtype=np.float64),
    }


def set_random_state(
    stream: np.random.RandomState, arrays: Mapping[str, np.ndarray]
) -> None:
    """Continue a random stream where `random_state` found it."""
    position, has_gauss = arrays["position"]
    stream.set_state(
        (
            *("MT19937", arrays["keys"], int(position), int(has_gauss)),
            float(arrays["gauss"]),
        )
    )


class Continuation:
    """Time and random streams of a simulation, to save and to load.

    Parameters
    ----------
    values : ParameterValues
        Of the simulator.
    """

    def __init__(self, values: ParameterValues):
        self.engine = values.engine
        named = name_outputs(values.model, name_objects(values.model))
        self._names: dict[Operator | None, str] = {
            **named,
            **{op: named[old] for op, old in self.engine.plan.split.origin.items()},
            None: "simulation",
        }
        self.sources = {
            self._names[source.op]: source for source in self.engine.sources.sources
        }

    @property
    def streams(self) -> dict[str, list[np.random.RandomState]]:
        """Random streams by name, one for each item of the minibatch."""
        return {
            f"{self._names[op]}/{key}": streams
            for (op, key), streams in self.engine.host.streams.items()
        }

    def save(self) -> dict[str, np.ndarray]:
        """Return all of it by name, and warn of what cannot be saved."""
        engine, host = self.engine, self.engine.host
        arrays = {
            "steps": np.array(engine.n_steps, dtype=np.int64),
            "seeds": np.array(host.item_seeds, dtype=np.int64),
        }
        # of values that all items share, only the first item's are made
        shared = {name for name, source in self.sources.items() if source.shared}
        for name, streams in self.streams.items():
            if name.removesuffix("/random") in shared:
                streams = streams[:1] * len(streams)
            states = [random_state(stream) for stream in streams]
            for field in RANDOM_FIELDS:
                arrays[f"{name}/{field}"] = np.stack([s[field] for s in states])
        for name, source in self.sources.items():
            for number, signal in enumerate(source.op.updates):
                items = host.signals
                if source.shared:
                    items = items[:1] * len(items)
                live = [signals[signal] for signals in items]
                arrays[f"{name}/state[{number}]"] = np.stack(live)
            if self._repeats(source):
                arrays[f"{name}/made"] = np.array(source.n_made, dtype=np.int64)
            n_ahead = source.count(engine.n_steps)
            if n_ahead:
                rows = source.rows(engine.n_steps, n_ahead)
                arrays[f"{name}/ahead"] = np.array(rows)
        self._warn_of_hidden_streams()
        return arrays

    def check(
        self, arrays: Mapping[str, np.ndarray], n_items: int, item: int | None = None
    ) -> None:
        """Raise a ValidationError if these arrays cannot be loaded; change nothing.

        Parameters
        ----------
        arrays : mapping of {str: ndarray}
            What `save` returned.
        n_items : int
            Size of the minibatch that was saved.
        item : int, optional
            Which item of it to use for all items here.
        """
        minibatch = self.engine.host.minibatch_size
        if item is None and n_items != minibatch:
            raise _refusal(
                f"it is that of {n_items} items of a minibatch, and the simulator has "
                f"{minibatch}; choose one item for all with the argument 'item'"
            )
        expected = dict(self._expected(n_items))
        missing = [name for name in expected if name not in arrays]
        if missing:
            raise _refusal(f"{missing[0]!r} is missing")
        for name, array in arrays.items():
            if name in expected:
                shape, dtype = expected[name]
                fine = array.shape == shape and np.can_cast(
                    array.dtype, dtype, "same_kind"
                )
            else:
                owner, _, field = name.rpartition("/")
                source = self.sources.get(owner)
                fine = (
                    field == "ahead"
                    and source is not None
                    and array.ndim == 2 + len(source.shape)
                    and array.shape[1] in (1, n_items)
                    and array.shape[2:] == source.shape
                    and np.can_cast(array.dtype, source.dtype, "same_kind")
                )
                if not fine and field != "ahead":
                    raise _refusal(f"the network has no {name!r}")
            if not fine:
                raise _refusal(f"{name!r} is {array.dtype} of shape {array.shape}")
        for name in self.streams:
            position, has_gauss = arrays[f"{name}/position"].T
            if (
                not ((0 <= position) & (position <= 624)).all()
                or not np.isin(has_gauss, (0, 1)).all()
            ):
                raise _refusal(f"{name!r} has no such position")
        seeds, counts = arrays["seeds"], [arrays["steps"]]
        counts += [array for name, array in arrays.items() if name.endswith("/made")]
        if min(counts) < 0 or not ((0 <= seeds) & (seeds < 2**32)).all():
            raise _refusal("it has impossible seeds or numbers of time steps")

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Continue with these arrays, which were checked before."""
        engine = self.engine
        host = engine.host
        rows = [item] * host.minibatch_size if item is not None else slice(None)
        n_steps = int(arrays["steps"])
        engine.jump(n_steps, [int(seed) for seed in arrays["seeds"][rows]])
        for name, source in self.sources.items():
            ahead = arrays.get(f"{name}/ahead")
            if self._repeats(source):
                last = n_steps + (0 if ahead is None else len(ahead))
                engine.sources.repeat(source, int(arrays[f"{name}/made"]), last)
            for number, signal in enumerate(source.op.updates):
                saved = arrays[f"{name}/state[{number}]"][rows]
                for signals, value in zip(host.signals, saved, strict=True):
                    signals[signal] = value
            source.first = n_steps
            if ahead is not None:
                if ahead.shape[1] > 1:
                    ahead = ahead[:, rows]
                items = 1 if source.shared else host.minibatch_size
                shape = (len(ahead), items, *source.shape)
                source.ahead = np.broadcast_to(ahead[:, :items], shape).astype(
                    source.dtype
                )
        # the streams of the new step functions
        for name, streams in self.streams.items():
            for row, stream in enumerate(streams):
                fields = {f: arrays[f"{name}/{f}"][rows][row] for f in RANDOM_FIELDS}
                set_random_state(stream, fields)

    def _expected(
        self, n_items: int
    ) -> Iterator[tuple[str, tuple[tuple[int, ...], np.dtype]]]:
        """Yield the names of entries, with their shapes and types."""
        integer = np.dtype(np.int64)
        yield "steps", ((), integer)
        yield "seeds", ((n_items,), integer)
        for name in self.streams:
            for field, (shape, dtype) in RANDOM_FIELDS.items():
                yield f"{name}/{field}", ((n_items, *shape), dtype)
        for name, source in self.sources.items():
            for number, signal in enumerate(source.op.updates):
                shape = (n_items, *signal.shape)
                yield f"{name}/state[{number}]", (shape, signal.dtype)
            if self._repeats(source):
                yield f"{name}/made", ((), integer)

    def _repeats(self, source: Source) -> bool:
        """Whether a process may keep more than its stream and state."""
        watched = self.engine.host.processes.get(source.op, ())
        return any(process.keeps_more for process in watched)

    def _warn_of_hidden_streams(self) -> None:
        sources = {source.op for source in self.engine.sources.sources}
        for op, watched in self.engine.host.processes.items():
            if op in sources or not any(p.keeps_more for p in watched):
                continue  # those without input repeat what they did
            if any(p.stream is not s for p in watched for s in _streams_in(p.step)):
                warn_user(
                    f"The process {watched[0].process} ({self._names[op]}) draws from "
                    "a random stream of its own, which cannot be saved and starts "
                    "again. Let its make_step draw from the 'rng' that it gets.",
                )


def _streams_in(function: Any) -> list[Any]:
    """Return the random streams that a function, or its object, holds."""
    cells = getattr(function, "__closure__", None) or ()
    held = [cell.cell_contents for cell in cells]
    for owner in (function, getattr(function, "__self__", None)):
        held += getattr(owner, "__dict__", {}).values()
    kinds = np.random.RandomState | np.random.Generator
    return [value for value in held if isinstance(value, kinds)]


def _refusal(reason: str) -> ValidationError:
    return ValidationError(
        f"Cannot load the time and the random streams: {reason}. Nothing was changed",
        attr="path",
    )
