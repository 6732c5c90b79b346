"""What a sweep found: one record for each set of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nengo_dl.sweeps.jobs import Outcome

__all__ = ["Failure", "SweepResults"]


@dataclass(frozen=True)
class Failure:
    """A call that raised an error.

    Attributes
    ----------
    parameters : dict of {str: object}
        Its arguments.
    error : str
        Type and text of the error.
    details : str
        Where it came from.
    """

    parameters: dict[str, Any]
    error: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.parameters}: {self.error}"


class SweepResults(Sequence):
    """What a sweep found, as records; it is a sequence of them.

    Attributes
    ----------
    records : list of dict
        Parameters and results by name, in the order of the parameters. What failed is
        not among them.
    failures : list of Failure
        What failed, with its parameters.
    seconds : float
        Sum of the times of all calls, including those of earlier runs.
    """

    def __init__(
        self, parameters: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]
    ):
        pairs = list(zip(parameters, outcomes, strict=True))
        self.records = [{**p, **o.results} for p, o in pairs if o.error is None]
        self.failures = [
            Failure(p, o.error, o.details) for p, o in pairs if o.error is not None
        ]
        self.seconds = sum(outcome.seconds for outcome in outcomes)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: Any) -> Any:
        return self.records[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"<{len(self.records)} results of a sweep{failed}>"

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each record.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "A table needs pandas (pip install pandas); the records are in .records"
            ) from error
        return pandas.DataFrame.from_records(self.records)
