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
from nengo_dl.execution.source_rows import Source
from nengo_dl.parameters.file.header import Form
from nengo_dl.parameters.file.messages import shown
from nengo_dl.parameters.parts import Group, SavedBatch
from nengo_dl.parameters.values import ParameterValues
from nengo_dl.support.user_warnings import warn_user

__all__ = [
    "MOST_STEPS",
    "RANDOM_FIELDS",
    "Continuation",
    "random_problem",
    "random_state",
    "set_random_state",
]

#: Up to here, each step number and its time are exact.
MOST_STEPS = 2**53

#: A process that keeps something hidden repeats all that it made, about a million
#: values a second.
_MOST_MADE = 2**31

#: Inputs are made some chunks of 1024 steps ahead.
_MOST_AHEAD = 2**16

#: Entries of one random stream: shape and type.
RANDOM_FIELDS: dict[str, tuple[tuple[int, ...], np.dtype]] = {
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


def random_problem(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Say why arrays are no state of a random stream, or return None.

    From a state of zeros the generator (MT19937) makes zeros for ever, and a normal
    number, which rejects these, never comes. Of the first key only one bit counts.
    """
    position, has_gauss = (int(number) for number in arrays["position"])
    if not (0 <= position <= 624 and has_gauss in (0, 1)):
        return f"has no position {position}"
    keys = np.asarray(arrays["keys"], np.uint32)
    if not (keys[0] >> 31 or keys[1:].any()):
        return "is a random stream that consists of zeros, so it would never go on"
    if not np.isfinite(arrays["gauss"]):
        return "holds a number that is not finite"
    return None


class Continuation:
    """Time and random streams of a simulation, to save and to load.

    Parameters
    ----------
    values : ParameterValues
        Of the simulator.
    """

    prefix = "streams/"
    group: Group = "local"

    def __init__(self, values: ParameterValues):
        self.session = values.session
        named = name_outputs(values.model, name_objects(values.model))
        self._names: dict[Operator | None, str] = {
            **named,
            **{op: named[old] for op, old in self.session.plan.split.origin.items()},
            None: "simulation",
        }
        self.sources = {
            self._names[source.op]: source for source in self.session.sources.sources
        }

    @property
    def streams(self) -> dict[str, list[np.random.RandomState]]:
        """Random streams by name, one for each item of the minibatch."""
        return {
            f"{self._names[op]}/{key}": streams
            for (op, key), streams in self.session.host.streams.items()
        }

    def save(self) -> dict[str, np.ndarray]:
        """Return all of it by name, and warn of what cannot be saved."""
        session, host = self.session, self.session.host
        arrays = {
            "steps": np.array(session.n_steps, dtype=np.int64),
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
            # functions are called again: what they get then may be something else
            n_ahead = 0 if source.root is not None else source.count(session.n_steps)
            if n_ahead:
                rows = source.rows(session.n_steps, n_ahead)
                arrays[f"{name}/ahead"] = np.array(rows)
        self._warn_of_hidden_streams()
        return arrays

    def check_forms(self, forms: Mapping[str, Form], saved: SavedBatch) -> None:
        """Raise a ValidationError if arrays of these forms cannot be loaded."""
        minibatch = self.session.host.minibatch_size
        if saved.item is None and saved.n_items != minibatch:
            raise _refusal(
                f"it is that of {saved.n_items} items of a minibatch, and the "
                f"simulator has {minibatch}; choose one item for all with the argument "
                "'item'"
            )
        expected = dict(self._expected(saved.n_items))
        missing = [name for name in expected if name not in forms]
        if missing:
            raise _refusal(f"{shown(missing[0])} is missing")
        for name, (shape, dtype) in forms.items():
            if name in expected:
                wanted = expected[name]
                fine = shape == wanted.shape
            else:
                owner, _, field = name.rpartition("/")
                source = self.sources.get(owner)
                if source is None or source.root is not None or field != "ahead":
                    raise _refusal(f"the network has no {shown(name)}")
                wanted = Form(source.shape, np.dtype(source.dtype))
                fine = (
                    len(shape) == 2 + len(source.shape)
                    and shape[0] <= _MOST_AHEAD
                    and shape[1] in (1, saved.n_items)
                    and shape[2:] == source.shape
                )
            if not (fine and np.can_cast(dtype, wanted.dtype, "same_kind")):
                raise _refusal(f"{shown(name)} is {dtype} of shape {shown(shape)}")

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise a ValidationError if these values make no sense; change nothing."""
        for name in self.streams:
            fields = {field: arrays[f"{name}/{field}"] for field in RANDOM_FIELDS}
            for row in range(len(fields["gauss"])):
                problem = random_problem({k: v[row] for k, v in fields.items()})
                if problem is not None:
                    raise _refusal(f"{shown(name)} {problem}")
        seeds, steps = arrays["seeds"], int(arrays["steps"])
        made = [int(a) for name, a in arrays.items() if name.endswith("/made")]
        if not ((0 <= seeds) & (seeds < 2**32)).all() or min(made, default=0) < 0:
            raise _refusal("it has impossible seeds or numbers of time steps")
        if not 0 <= steps <= MOST_STEPS or max(made, default=0) > _MOST_MADE:
            raise _refusal(
                f"it has an impossible number of time steps, {steps}, or of values "
                "that a process made"
            )

    def load(self, arrays: Mapping[str, np.ndarray], item: int | None = None) -> None:
        """Continue with these arrays, which were checked before.

        Parameters
        ----------
        arrays : mapping of {str: ndarray}
            What `save` returned.
        item : int, optional
            Which item of a saved minibatch to use for all items here.
        """
        session = self.session
        host = session.host
        rows = [item] * host.minibatch_size if item is not None else slice(None)
        n_steps = int(arrays["steps"])
        session.jump(n_steps, [int(seed) for seed in arrays["seeds"][rows]])
        for name, source in self.sources.items():
            ahead = arrays.get(f"{name}/ahead")
            if self._repeats(source):
                last = n_steps + (0 if ahead is None else len(ahead))
                session.sources.repeat(source, int(arrays[f"{name}/made"]), last)
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

    def _expected(self, n_items: int) -> Iterator[tuple[str, Form]]:
        """Yield the names of entries, with their shapes and types."""
        integer = np.dtype(np.int64)
        yield "steps", Form((), integer)
        yield "seeds", Form((n_items,), integer)
        for name in self.streams:
            for field, (shape, dtype) in RANDOM_FIELDS.items():
                yield f"{name}/{field}", Form((n_items, *shape), dtype)
        for name, source in self.sources.items():
            for number, signal in enumerate(source.op.updates):
                shape = (n_items, *signal.shape)
                yield f"{name}/state[{number}]", Form(shape, signal.dtype)
            if self._repeats(source):
                yield f"{name}/made", Form((), integer)

    def _repeats(self, source: Source) -> bool:
        """Whether a process may keep more than its stream and state."""
        watched = self.session.host.processes.get(source.op, ())
        return any(process.traits.keeps_more for process in watched)

    def _warn_of_hidden_streams(self) -> None:
        sources = {source.op for source in self.session.sources.sources}
        for op, watched in self.session.host.processes.items():
            if op in sources or not any(p.traits.keeps_more for p in watched):
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
