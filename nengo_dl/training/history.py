"""What training gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nengo
import numpy as np

from nengo_dl.support.plots import new_figure
from nengo_dl.support.tables import Table, aligned

__all__ = ["TrainingHistory"]


#: Lines that are printed of the beginning and of the end.
_MOST_LINES = 10


class TrainingHistory:
    """Losses and metrics of a call of ``Simulator.train``.

    Attributes
    ----------
    history : dict of {str: list of float}
        One number for each epoch: ``"loss"``, metrics, and with validation data the
        same with ``"val_"`` before the name.
    probe_losses : dict of {Probe or tuple of Probe: list of float}
        The summands of the loss.
    batch_losses : list of float
        Loss of each minibatch (of each part of one, with truncation).
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.probe_losses: dict[Any, list[float]] = {}
        self.batch_losses: list[float] = []

    @property
    def loss(self) -> list[float]:
        """Mean loss of each epoch."""
        return self.history.get("loss", [])

    @property
    def n_epochs(self) -> int:
        """Number of epochs that were completed."""
        return len(self.loss)

    def add_epoch(self, values: dict[str, float]) -> None:
        """Add the numbers of an epoch."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(float(value))

    def add_probe_losses(
        self, keys: Sequence[tuple[nengo.Probe, ...]], values: np.ndarray
    ) -> None:
        """Add the summands of an epoch's loss."""
        for key, value in zip(keys, values, strict=True):
            single = key[0] if len(key) == 1 else key
            self.probe_losses.setdefault(single, []).append(float(value))

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __repr__(self) -> str:
        if not self.loss:
            return "<TrainingHistory without epochs>"
        parts = [f"{name}={values[-1]:.4g}" for name, values in self.history.items()]
        plural = "s" if self.n_epochs > 1 else ""
        return f"<TrainingHistory of {self.n_epochs} epoch{plural}: {', '.join(parts)}>"

    def __str__(self) -> str:
        names = list(self.history)
        rows = [("epoch", *names), *self._rows()]
        return "\n".join(aligned(rows, [True] * (len(names) + 1)))

    def _repr_html_(self) -> str:
        columns = ("epoch>", *(f"{name}>" for name in self.history))
        return Table("Training", columns, self._rows()).html()

    def _rows(self) -> list[tuple[str, ...]]:
        """Return the cells of each epoch that is shown."""
        rows = []
        for epoch in self._shown_epochs():
            if epoch is None:
                rows.append(("...", *("" for _ in self.history)))
                continue
            columns = self.history.values()
            values = [f"{c[epoch]:.5g}" if epoch < len(c) else "" for c in columns]
            rows.append((str(epoch + 1), *values))
        return rows

    def _shown_epochs(self) -> list[int | None]:
        """Return the epochs to print: all, or some of the first and of the last."""
        epochs: list[int | None] = list(range(self.n_epochs))
        if len(epochs) <= 2 * _MOST_LINES:
            return epochs
        return [*epochs[:_MOST_LINES], None, *epochs[-_MOST_LINES:]]

    def plot(self, names: Sequence[str] | None = None, ax: Any = None) -> Any:
        """Draw the numbers over epochs with matplotlib.

        Parameters
        ----------
        names : sequence of str, optional
            Which ones. Default: all.
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Where it was drawn.

        Raises
        ------
        ImportError
            If Matplotlib is not installed.
        """
        if ax is None:
            figure = new_figure("the same numbers are in the table, print(history)")
            ax = figure.add_subplot()
        for name in self.history if names is None else names:
            values = self.history[name]
            ax.plot(np.arange(1, len(values) + 1), values, label=name)
        ax.set_xlabel("epoch")
        ax.legend()
        return ax
