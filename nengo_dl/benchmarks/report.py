"""Tables and charts of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nengo_dl.benchmarks.measure import Measurement
from nengo_dl.benchmarks.training.measure import TrainingMeasurement
from nengo_dl.support.tables import aligned

__all__ = ["bar_chart", "scaling_chart", "scaling_table", "table", "training_table"]

_MEGABYTE = 2**20


def table(measurements: Sequence[Measurement]) -> str:
    """Return a table in reStructuredText.

    Parameters
    ----------
    measurements : sequence of Measurement
        Those of one benchmark follow each other; all but the first are compared with
        the first.

    Returns
    -------
    str
        A simple table with one row for each measurement.
    """
    header = (
        "benchmark",
        "simulator",
        "import",
        "build",
        "first run",
        "1 s in all",
        "ratio",
        "step",
        "spread",
        "ratio",
        "memory",
    )
    units = ("", "", "s", "s", "s", "s", "", "µs", "µs", "", "MB")
    rows: list[tuple[str, ...]] = [header, units]
    failures: list[str] = []
    first: dict[str, Measurement] = {}
    for one in measurements:
        base = first.setdefault(_title(one), one)
        if one.error is not None:
            rows.append((_title(one), one.simulator, *["failed"] + [""] * 8))
            failures.append(f"{_title(one)} with {one.simulator}: {one.error}")
            continue
        total = base.total / one.total if base.total and one.total else None
        rows.append(
            (
                _title(one) if base is one else "",
                one.simulator,
                _number(one.import_seconds),
                _number(one.build_seconds),
                _number(one.first_seconds),
                _number(one.total),
                "" if base is one else _ratio(total),
                _number(one.step, 1e6),
                _number(one.spread, 1e6),
                "" if base is one else _ratio(one.faster_than(base)),
                _number(one.peak_bytes, 1 / _MEGABYTE),
            )
        )
    return "\n".join([_simple_table(rows), *failures])


def training_table(measurements: Sequence[TrainingMeasurement]) -> str:
    """Return a table of training steps, in reStructuredText.

    Parameters
    ----------
    measurements : sequence of TrainingMeasurement
        Those of one benchmark follow each other; all but the first are compared with
        the first.

    Returns
    -------
    str
        A simple table with one row for each measurement.
    """
    rows: list[tuple[str, ...]] = [
        (
            "benchmark",
            "side",
            "import",
            "build",
            "first step",
            "step",
            "spread",
            "ratio",
            "memory",
            "training",
            "loss",
        ),
        ("", "", "s", "s", "s", "ms", "ms", "", "MB", "MB", ""),
    ]
    failures: list[str] = []
    first: dict[str, TrainingMeasurement] = {}
    for one in measurements:
        base = first.setdefault(_title(one), one)
        title = _title(one) if base is one else ""
        if one.error is not None:
            rows.append((title, one.simulator, *["failed"] + [""] * 8))
            failures.append(f"{_title(one)} with {one.simulator}: {one.error}")
            continue
        training = _difference(one.peak_bytes, one.build_bytes)
        rows.append(
            (
                title,
                one.simulator,
                _number(one.import_seconds),
                _number(one.build_seconds),
                _number(one.first_seconds),
                _number(one.step, 1e3),
                _number(one.spread, 1e3),
                "" if base is one else _ratio(one.faster_than(base)),
                _number(one.peak_bytes, 1 / _MEGABYTE),
                _number(training, 1 / _MEGABYTE),
                f"{one.loss:.4f}",
            )
        )
    return "\n".join([_simple_table(rows), *failures])


def scaling_table(measurements: Sequence[Measurement]) -> str:
    """Return a table of costs per neuron, in reStructuredText.

    Parameters
    ----------
    measurements : sequence of Measurement
        For networks of different sizes.

    Returns
    -------
    str
        A simple table with one row for each measurement.
    """
    rows: list[tuple[str, ...]] = [
        (
            "neurons",
            "simulator",
            "build",
            "first run",
            "step",
            "build",
            "step",
            "memory",
        ),
        ("", "", "s", "s", "µs", "µs/neuron", "ns/neuron", "bytes/neuron"),
    ]
    failures: list[str] = []
    for one in measurements:
        if one.error is not None:
            rows.append((_title(one), one.simulator, "failed", *[""] * 5))
            failures.append(f"{_title(one)} with {one.simulator}: {one.error}")
            continue
        assert one.n_neurons is not None, "known of what did not fail"
        rows.append(
            (
                f"{one.n_neurons:,}",
                one.simulator,
                _number(one.build_seconds),
                _number(one.first_seconds),
                _number(one.step, 1e6),
                _number(one.build_seconds, 1e6 / one.n_neurons),
                _number(one.step, 1e9 / one.n_neurons),
                _number(_bytes_per_neuron(one)),
            )
        )
    return "\n".join([_simple_table(rows), *failures])


def bar_chart(
    measurements: Sequence[Measurement | TrainingMeasurement],
    path: str | Path,
    what: str = "time step and item",
) -> None:
    """Draw the time per step of each simulator and benchmark.

    Parameters
    ----------
    measurements : sequence of Measurement or TrainingMeasurement
        As for `table` or `training_table`; failures are left out.
    path : str or Path
        Image to write; its suffix chooses the format.
    what : str
        What takes this time.
    """
    figure = _figure(8, 1.5 + 0.18 * len(measurements))
    axes = figure.add_subplot()
    simulators = list(dict.fromkeys(one.simulator for one in measurements))
    titles = list(dict.fromkeys(_title(one) for one in measurements))
    height = 0.8 / len(simulators)
    for number, simulator in enumerate(simulators):
        bars = [
            (titles.index(_title(one)) + (number + 0.5) * height - 0.4, one.step, one)
            for one in measurements
            if one.simulator == simulator and one.step
        ]
        axes.barh(
            [place for place, *_ in bars],
            [1e6 * step / one.items for _, step, one in bars],
            xerr=[1e6 * (one.spread or 0) / one.items for *_, one in bars],
            height=height,
            label=simulator,
        )
    axes.set_yticks(range(len(titles)), titles)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"µs per {what} (logarithmic)")
    axes.legend()
    figure.savefig(path, dpi=120)


def scaling_chart(measurements: Sequence[Measurement], path: str | Path) -> None:
    """Draw costs per neuron over the number of neurons.

    Parameters
    ----------
    measurements : sequence of Measurement
        As for `scaling_table`; failures are left out.
    path : str or Path
        Image to write; its suffix chooses the format.
    """
    figure = _figure(8, 5.5)
    panels = {
        "constructor (µs)": lambda one: 1e6 * one.build_seconds / one.n_neurons,
        "first run (µs)": lambda one: 1e6 * one.first_seconds / one.n_neurons,
        "step (ns)": lambda one: 1e9 * one.step / one.n_neurons,
        "memory (KB)": lambda one: (_bytes_per_neuron(one) or 0) / 1024,
    }
    simulators = list(dict.fromkeys(one.simulator for one in measurements))
    for axes, (title, value) in zip(
        figure.subplots(2, 2, sharex=True).flat, panels.items(), strict=True
    ):
        for simulator in simulators:
            some = [one for one in measurements if one.simulator == simulator]
            some = [one for one in some if one.step]
            axes.plot(
                [one.n_neurons for one in some],
                [value(one) for one in some],
                marker="o",
                label=simulator,
            )
        axes.set_xscale("log")
        low, high = axes.get_ylim()
        if low <= 0 or high > 10 * low:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.set_title(f"{title} per neuron")
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("neurons")
    if len(simulators) > 1:
        axes.legend()
    figure.savefig(path, dpi=120)


def _figure(width: float, height: float):
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "Charts need Matplotlib: pip install matplotlib, or leave out --plot"
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def _title(one: Measurement | TrainingMeasurement) -> str:
    sizes = ",".join(f"{name}={value}" for name, value in one.sizes.items())
    return f"{one.benchmark}:{sizes}" if sizes else one.benchmark


def _bytes_per_neuron(one: Measurement) -> float | None:
    """Memory beyond what the import took."""
    more = _difference(one.peak_bytes, one.import_bytes)
    return None if more is None or not one.n_neurons else more / one.n_neurons


def _difference(more: int | None, less: int | None) -> int | None:
    """Return a difference of what may not have been measured."""
    return None if not more or less is None else more - less


def _number(value: float | None, scale: float = 1) -> str:
    if value is None:
        return "?"
    value *= scale
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{decimals}f}"


def _ratio(value: float | None) -> str:
    return "?" if value is None else f"{_number(value)}x"


def _simple_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table; the first two rows are its header."""
    n_columns = len(rows[0])
    # an empty first cell would continue the row above
    filled = [(row[0] or "\\", *row[1:]) for row in rows]
    right = [column >= 2 for column in range(n_columns)]
    widths = [max(2, *map(len, column)) for column in zip(*rows)]
    line = "  ".join("=" * width for width in widths)
    lines = aligned(filled, right, least=2)
    return "\n".join([line, *lines[:2], line, *lines[2:], line])
