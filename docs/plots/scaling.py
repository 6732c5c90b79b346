"""Pictures of the page on scaling: what was measured, and a model of what was not.

``scaling.json`` is written by two commands, on a machine that does nothing else::

    python -m nengo_dl.benchmarks.scaling training --json docs/plots/scaling.json
    python -m nengo_dl.benchmarks.scaling sweep --json docs/plots/scaling.json
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

# the documentation runs this in its folder, as code without a file
FILE = Path(globals().get("__file__", "scaling.py")).with_name("scaling.json")

BLUE, ORANGE, GREEN, GREY = "#4269d0", "#ff725c", "#6cc5b0", "#9aa1ab"

#: Time of one message, in seconds.
MESSAGE = 25e-6

#: Bytes of each trained parameter.
BYTES = 4


def panels(n, height=2.8):
    """Return axes side by side, without frames."""
    _, axes = plt.subplots(1, n, figsize=(9, height), layout="constrained")
    for ax in np.atleast_1d(axes):
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def where(found):
    """Return the machine, day and version of measurements."""
    versions, machine = found["versions"], found["machine"]
    return (
        f"{machine['processors']} cores, TensorFlow {versions['tensorflow']}, "
        f"{found['date']}"
    )


def many(count, noun):
    """Return a number of things."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count} {noun}{'' if count == 1 else ending}"


def measured():
    """Draw throughput of training, and how many results sweeps have after a time."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    left, right = panels(2, height=3.2)
    rows = found["training"]["measured"]
    for number, row in enumerate(rows):
        value = row["items_per_second"]
        ratio = value / rows[0]["items_per_second"]
        left.bar(number, value, color=BLUE if row["together"] else GREY, width=0.7)
        text = f"{value:.0f}\n{ratio:.2f} x"
        left.annotate(text, (number, value), ha="center", va="top", color="white")
    names = [
        f"{many(row['processes'], 'process')}\n{many(row['cores'], 'core')}"
        for row in rows
    ]
    for number, row in enumerate(rows):
        if row["processes"] > 1:
            names[number] += "\ntogether" if row["together"] else "\neach alone"
    left.set_xticks(range(len(rows)), names, fontsize=8)
    left.set(title="training: items in a second")
    for row, style in zip(found["sweep"]["measured"], ("-", "--", ":")):
        for (count, curve), colour in zip(row["curves"].items(), (GREY, BLUE)):
            n, t = np.transpose(curve)
            label = f"{row['title']}, {many(int(count), 'process')}"
            right.plot(t, n, style, color=colour, label=label)
    right.set(title="sweeps: results after seconds", xlabel="seconds", ylim=(0, None))
    right.set_xlim(0, 1.6 * right.get_xlim()[1])  # with room for the legend
    right.legend(frameon=False, fontsize=7, loc="lower right")
    for ax, kind in ((left, "training"), (right, "sweep")):
        ax.annotate(
            *(where(found[kind]), (0, 0)),
            xytext=(0, -48),
            textcoords="offset points",
            xycoords="axes fraction",
            fontsize=7,
        )


def sum_seconds(n_workers, n_parameters, gigabits):
    """Return how long the sum of all gradients takes in a ring, in seconds.

    Parameters
    ----------
    n_workers : ndarray
        Number of processes.
    n_parameters : int
        Number of trained parameters.
    gigabits : float
        Bandwidth, in Gbit/s.
    """
    n_bytes, bandwidth = BYTES * n_parameters, gigabits * 1e9 / 8
    share = (n_workers - 1) / n_workers
    return 2 * (n_workers - 1) * MESSAGE + 2 * share * n_bytes / bandwidth


def model():
    """Draw the time of an update, and which part of it brings something."""
    n = np.unique(np.geomspace(1, 1000, 300).round())
    left, right = panels(2)
    gradient = 0.2
    for gigabits, colour in ((1, ORANGE), (10, BLUE), (100, GREEN)):
        update = gradient + sum_seconds(n, 1_000_000, gigabits)
        left.semilogx(n, 1e3 * update, color=colour, label=f"{gigabits} Gbit/s")
    left.axhline(1e3 * gradient, color=GREY, lw=1, ls=":")
    left.annotate("gradient alone", (1.2, 1e3 * gradient - 3), va="top", color=GREY)
    left.set(title="time of an update (ms)", xlabel="processes", ylim=(150, None))
    left.legend(frameon=False)
    for n_parameters, gradient, colour in (
        (10_000, 0.002, ORANGE),
        (1_000_000, 0.02, BLUE),
        (1_000_000, 0.2, GREEN),
        (25_000_000, 0.5, "#a463f2"),
    ):
        for gigabits, style in ((10, "-"), (100, "--")):
            update = gradient + sum_seconds(n, n_parameters, gigabits)
            label = f"{n_parameters:,} parameters, {1e3 * gradient:.0f} ms"
            right.semilogx(
                *(n, 100 * gradient / update, style),
                color=colour,
                label=label if style == "-" else None,
            )
    right.axhline(50, color=GREY, lw=1, ls=":")
    right.set(title="gradient, in % of an update", xlabel="processes", ylim=(0, 102))
    right.legend(frameon=False, fontsize=7, loc="lower left")
