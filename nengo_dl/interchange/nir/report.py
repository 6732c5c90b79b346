"""What of a network a file does not say, or says differently."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nengo_dl.support.tables import Table

__all__ = ["ExchangeReport", "Loss"]

_COLUMNS = ("place", "kind", "what")


@dataclass(frozen=True)
class Loss:
    """One difference between the copy and the network.

    Attributes
    ----------
    place : str
        The object of the network, or the node of the file.
    kind : str
        ``"approximated"`` or ``"left out"``.
    what : str
        What it is.
    """

    place: str
    kind: str
    what: str


@dataclass
class ExchangeReport:
    """What was approximated or left out, as a table; empty if the copy is exact.

    Attributes
    ----------
    losses : list of Loss
        In the order in which they were found.

    Examples
    --------
    >>> from nengo_dl.interchange.nir.report import ExchangeReport
    >>> report = ExchangeReport()
    >>> report.left_out("<Ensemble a>", "the refractory period of 0.002 s")
    >>> len(report), [loss.kind for loss in report]
    (1, ['left out'])
    >>> print(report)
    Differences between the copy and the network
      place         kind      what
      <Ensemble a>  left out  the refractory period of 0.002 s
    """

    losses: list[Loss] = field(default_factory=list)

    def left_out(self, place: object, what: str) -> None:
        """Note that something is missing from the copy.

        Parameters
        ----------
        place : object
            Where; its ``str`` is kept.
        what : str
            What is missing.
        """
        self.losses.append(Loss(str(place), "left out", what))

    def approximated(self, place: object, what: str) -> None:
        """Note that something is different in the copy.

        Parameters
        ----------
        place : object
            Where; its ``str`` is kept.
        what : str
            What is different.
        """
        self.losses.append(Loss(str(place), "approximated", what))

    def __iter__(self) -> Iterator[Loss]:
        return iter(self.losses)

    def __len__(self) -> int:
        return len(self.losses)

    def __str__(self) -> str:
        if not self.losses:
            return "nothing was approximated or left out"
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> Table:
        rows = [(loss.place, loss.kind, loss.what) for loss in self.losses]
        return Table("Differences between the copy and the network", _COLUMNS, rows)
