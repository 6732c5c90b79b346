"""Names of losses and metrics: those of Keras, and the longer ones with a probe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Results"]


class Results(dict):
    """Values by name; with one probe, also by the names that several would have.

    Keras puts the name of an output in front if there are several. Scripts for the
    older library have it always: ``probe_accuracy`` is found as ``accuracy`` here.

    Parameters
    ----------
    values : dict of {str: object}
        Values by Keras's names.
    probe : str or None
        Name of the only probe. None: there are several.

    Examples
    --------
    >>> from nengo_dl.training.result_names import Results
    >>> results = Results({"loss": 1.0, "val_mae": 2.0}, "out")
    >>> results["out_loss"], results["val_out_mae"], list(results)
    (1.0, 2.0, ['loss', 'val_mae'])
    """

    def __init__(self, values: Mapping[str, Any], probe: str | None):
        super().__init__(values)
        self.probe = probe

    def __missing__(self, name: Any) -> Any:
        short = self._short(name)
        if short is None or short not in self:
            raise KeyError(name)
        return self[short]

    def get(self, name: Any, default: Any = None) -> Any:  # numpydoc: inherits
        """Return a value, or the default."""
        try:
            return self[name]
        except KeyError:
            return default

    def _short(self, name: Any) -> str | None:
        """Return a name without the probe."""
        if self.probe is None or not isinstance(name, str):
            return None
        start = "val_" if name.startswith("val_") else ""
        rest = name.removeprefix(start)
        if not rest.startswith(f"{self.probe}_"):
            return None
        return start + rest.removeprefix(f"{self.probe}_")
