"""A profile as a timeline: events of threads, named after the user's objects.

It can be written as a Chrome trace (the "trace event format"), which Perfetto
and chrome://tracing open, and summed up in a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from nengo_dl.profiling.xplane import Kernel, read_kernels

__all__ = ["Event", "Thread", "Timeline", "make_timeline"]

#: Events that have no duration and mark ends and hand-overs only.
_MARKS = ("end: ", "ThreadpoolListener::")

#: Lines of devices that repeat what their streams show.
_DERIVED_LINES = frozenset(
    {
        "Framework Name Scope",
        "Framework Ops",
        "Source code",
        "Steps",
        "TensorFlow Name Scope",
        "TensorFlow Ops",
        "XLA Modules",
        "XLA Ops",
        "XLA TraceMe",
    }
)

#: Viewers become slow, or give up, with more events; the longest are kept.
MOST_EVENTS = 1_000_000

#: A kernel is named after the first groups that it computes.
_MOST_LABELS = 3

#: Names of events that the simulator itself records start with this.
PREFIX = "nengo_dl: "

# rows of the table that are no group
COMPILING = "compiling (XLA)"
BUILDING = "building graphs (Python)"
DISPATCH = "between kernels: loop, dispatch"
OTHER_KERNELS = "other kernels: copies, inputs, outputs"
WAITING = "waiting for other threads"
OTHER = "TensorFlow around it"

_PHASES = (
    (re.compile(r"tf\.function-graph_building"), BUILDING),
    (re.compile(r"(Cpu|Gpu)Compiler::|HLO passes|FusionCompiler|TaskDisp"), COMPILING),
    (re.compile(r"sharding-removal|hlo normalization|JitCompiler"), COMPILING),
    (re.compile(r"BlockUntilReady|::Await|^Wait"), WAITING),
    (re.compile(r"Executable::Execute|ThunkExecutor|ExecutorState::"), DISPATCH),
)


@dataclass(frozen=True)
class Event:
    """Something that took time.

    Attributes
    ----------
    start, duration : float
        In microseconds; from the first event on.
    name : str
        Kernels are named after the groups that they compute.
    row : str or None
        Row of the table that it belongs to (None: that of the event around it).
    category : str
        ``"kernel"``, ``"op"`` or ``"host"``.
    details : dict of {str: str}
        More about it.
    """

    start: float
    duration: float
    name: str
    row: str | None
    category: str
    details: dict[str, str]


@dataclass(frozen=True)
class Thread:
    """The events of a thread or stream, in order.

    Attributes
    ----------
    process, name : str
        Device, and name of the thread.
    events : list of Event
        Sorted by start, an event before those within it.
    """

    process: str
    name: str
    events: list[Event]


@dataclass(frozen=True)
class Timeline:
    """All threads of a profile.

    Attributes
    ----------
    threads : list of Thread
        Those with events.
    n_dropped : int
        Number of events that were left out because there were too many.
    """

    threads: list[Thread]
    n_dropped: int = 0

    def write(self, file: TextIO) -> None:
        """Write a Chrome trace."""
        file.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
        for number, line in enumerate(self._lines()):
            file.write(",\n" if number else "")
            file.write(line)
        other = {"dropped_events": self.n_dropped}
        file.write('\n], "otherData": ' + json.dumps(other) + "}\n")

    def _lines(self) -> Iterator[str]:
        processes = list(dict.fromkeys(thread.process for thread in self.threads))
        for pid, name in enumerate(processes, 1):
            yield _metadata("process_name", pid, 0, name)
        rows = (row for thread in self.threads for row in _nested_rows(thread))
        for tid, thread in enumerate(rows, 1):
            pid = processes.index(thread.process) + 1
            yield _metadata("thread_name", pid, tid, thread.name)
            described: dict[Any, str] = {}
            for event in thread.events:
                key = (event.name, id(event.details))
                if key not in described:
                    described[key] = (
                        f'"name": {json.dumps(event.name)}, "cat": "{event.category}", '
                        f'"args": {json.dumps(event.details)}'
                    )
                yield (
                    f'{{"ph": "X", "pid": {pid}, "tid": {tid}, '
                    f'"ts": {event.start:.6f}, "dur": {event.duration:.6f}, '
                    f"{described[key]}}}"
                )

    def times(self) -> dict[str, tuple[float, int]]:
        """Return how much time was spent on what.

        Returns
        -------
        dict of {str: (float, int)}
            Microseconds, summed over all threads, and number of events, by row of the
            table. Time of an event within another one counts for the inner one.
        """
        times: dict[str, float] = {}
        counts: dict[str, int] = {}
        for thread in self.threads:
            open_events: list[tuple[float, str]] = []
            for event in thread.events:
                while open_events and open_events[-1][0] <= event.start:
                    open_events.pop()
                outer = open_events[-1][1] if open_events else OTHER
                row = outer if event.row is None else event.row
                times[row] = times.get(row, 0.0) + event.duration
                if event.row is not None:
                    counts[row] = counts.get(row, 0) + 1
                if open_events:
                    inside = min(event.duration, open_events[-1][0] - event.start)
                    times[outer] -= inside
                open_events.append((event.start + event.duration, row))
        order = sorted(times, key=times.__getitem__, reverse=True)
        return {row: (times[row], counts.get(row, 0)) for row in order}

    def table(self, most: int = 25) -> str:
        """Return where the time went, in lines of text.

        Parameters
        ----------
        most : int
            Number of lines; the rest is summed up.
        """
        times = self.times()
        once = [(row, *times.pop(row)) for row in (BUILDING, COMPILING) if row in times]
        total = sum(time for time, _ in times.values()) or 1.0
        rows = [(row, *found) for row, found in times.items()]
        rest = rows[most:]
        if rest:
            label = f"{len(rest)} others"
            rows[most:] = [(label, sum(r[1] for r in rest), sum(r[2] for r in rest))]
        title = "Where the time of all threads went"
        width = max(len(row[0]) for row in [*rows, *once, (title, 0.0, 0)])
        lines = [f"{title:{width}}  {'ms':>10}  {'share':>6}  {'events':>8}"]
        for row, time, count in rows:
            share = f"{time / total:6.1%}"
            lines.append(f"{row:{width}}  {time / 1e3:10.3f}  {share}  {count:8d}")
        for row, time, count in once:
            lines.append(f"{row:{width}}  {time / 1e3:10.3f}  {'once':>6}  {count:8d}")
        return "\n".join(lines)


def _nested_rows(thread: Thread) -> list[Thread]:
    """Divide a thread into rows whose events lie within each other or apart.

    Viewers need that. Asynchronous work that changes threads does not keep to it.
    """
    rows: list[list[Event]] = []
    ends: list[list[float]] = []  # of the events that are open, by row
    for event in thread.events:
        end = event.start + event.duration
        for number in range(len(rows) + 1):
            if number == len(rows):
                rows.append([])
                ends.append([])
            while ends[number] and ends[number][-1] <= event.start:
                ends[number].pop()
            if not ends[number] or end <= ends[number][-1]:
                break
        rows[number].append(event)
        ends[number].append(end)
    names = [thread.name, *(f"{thread.name} ({n})" for n in range(2, len(rows) + 1))]
    return [Thread(thread.process, *named) for named in zip(names, rows, strict=True)]


def _metadata(kind: str, pid: int, tid: int, name: str) -> str:
    return json.dumps(
        {
            "ph": "M",
            "name": kind,
            "pid": pid,
            "tid": tid,
            "ts": 0,
            "args": {"name": name},
        }
    )


def make_timeline(space: Any, labels: Sequence[str]) -> Timeline:
    """Read a profile.

    Parameters
    ----------
    space : message
        Result of `nengo_dl.profiling.xplane.read_space`.
    labels : sequence of str
        Scopes of groups, to be found in the names of operations.

    Returns
    -------
    Timeline
        With times that start at zero.
    """
    namer = _Namer(labels, read_kernels(space))
    lines = [
        (plane, line)
        for plane in space.planes
        for line in plane.lines
        if line.events and line.name not in _DERIVED_LINES
    ]
    begin = min(
        (
            line.timestamp_ns * 1000 + min(event.offset_ps for event in line.events)
            for _, line in lines
        ),
        default=0,
    )
    found = []
    for plane, line in lines:
        names = {entry.key: entry.value.name for entry in plane.events}
        stats = {entry.key: entry.value.name for entry in plane.stats}
        shift = line.timestamp_ns * 1000 - begin
        events = []
        for event in line.events:
            name = names[event.metadata_id]
            if not name.startswith(_MARKS):
                start = (shift + event.offset_ps) / 1e6
                duration = event.duration_ps / 1e6
                what = namer.describe(name, event, stats)
                events.append(Event(start, duration, *what))
        if events:
            thread = line.display_name or line.name
            found.append((plane.name, thread.rpartition("/")[0] or thread, events))
    return _trimmed(found)


class _Namer:
    """Finds out what events are about."""

    def __init__(
        self, labels: Sequence[str], kernels: Mapping[str, Mapping[int, Kernel]]
    ):
        self._kernels = kernels
        longest_first = sorted({*labels}, key=len, reverse=True)
        either = "|".join(re.escape(label) for label in longest_first)
        # TensorFlow numbers scopes that it meets again
        self._label = re.compile(rf"(?:^|/)({either})(?:_\d+)?(?=[/:]|$)")
        self._has_labels = bool(labels)
        self._known: dict[Any, tuple[str, str | None, str, dict[str, str]]] = {}

    def describe(self, name: str, event: Any, stats: Mapping[int, str]) -> Any:
        """Return name, row, category and details of an event."""
        programs = self._kernels.get(name, {})
        program: Any = None
        if len(programs) > 1:  # several compiled functions have a kernel of this name
            program = next(
                (
                    stat.int64_value or stat.uint64_value
                    for stat in event.stats
                    if stats.get(stat.metadata_id) == "program_id"
                ),
                None,
            )
        key = (name, program)
        if key not in self._known:
            kernel = programs.get(program, next(iter(programs.values()), None))
            self._known[key] = (
                self._host_event(name) if kernel is None else self._kernel(name, kernel)
            )
        return self._known[key]

    def _labels(self, scopes: Iterable[str]) -> list[str]:
        found = []
        for scope in scopes if self._has_labels else ():
            match = self._label.search(scope)
            if match:
                found.append(match[1])
        return list(dict.fromkeys(found))[:_MOST_LABELS]

    def _kernel(self, name: str, kernel: Kernel) -> Any:
        labels = self._labels(kernel.scopes)
        details = {"kernel": name, "opcode": kernel.opcode}
        if kernel.scopes:
            details["op"] = kernel.scopes[0]
        if labels:
            row = " + ".join(labels)
            return f"{row}: {name}", row, "kernel", details
        is_loop = kernel.opcode in ("while", "call", "conditional")
        return name, DISPATCH if is_loop else OTHER_KERNELS, "kernel", details

    def _host_event(self, name: str) -> Any:
        labels = self._labels([name])
        if labels:
            return name, labels[0], "op", {}
        row = next((row for pattern, row in _PHASES if pattern.search(name)), None)
        if name.startswith(PREFIX):
            row = name.removeprefix(PREFIX)
        return name, row, "host", {}


def _trimmed(found: list[tuple[str, str, list[Event]]]) -> Timeline:
    n_events = sum(len(events) for _, _, events in found)
    shortest = -1.0
    if n_events > MOST_EVENTS:
        durations = sorted(e.duration for _, _, events in found for e in events)
        shortest = durations[n_events - MOST_EVENTS - 1]
    threads = []
    for process, name, events in found:
        kept = [event for event in events if event.duration > shortest]
        kept.sort(key=lambda event: (event.start, -event.duration))
        if kept:
            threads.append(Thread(process, name, kept))
    return Timeline(threads, n_events - sum(len(thread.events) for thread in threads))
