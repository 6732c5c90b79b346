"""What is measured of data of one time step, in which spikes would say nothing."""

from __future__ import annotations

from nengo_dl.support.user_warnings import warn_user
from nengo_dl.training.programs import TrainingPrograms

__all__ = ["SingleSteps"]


class SingleSteps:
    """Decides whether data of one step is measured with rates, and says so once.

    Parameters
    ----------
    programs : TrainingPrograms
        Know whether training replaces spikes by rates.
    """

    def __init__(self, programs: TrainingPrograms):
        self.programs = programs
        self._said: set[str] = set()

    def use_rates(self, n_steps: int, method: str) -> bool:
        """Return whether to measure with rates, and say so once.

        Parameters
        ----------
        n_steps : int
            Number of steps of the data.
        method : str
            The method of the simulator that asks.
        """
        if n_steps > 1 or not self.programs.rates_replace_spikes:
            return False
        if method in ("train", "fit"):
            what, argument = "The validation data", "validation_rates"
            done = "it is evaluated with the rates that training uses"
        else:
            what, argument = "The data", "rates"
            done = f"{method} uses the rates that training uses"
        self._say_once(
            f"{what} has one time step, so {done}: a single step of spikes says "
            f"nothing about them. Pass {argument}=False for spikes, {argument}=True "
            "for rates without this message"
        )
        return True

    def warn_of_spikes(self, n_steps: int) -> None:
        """Say once that the loss of a single step of spikes says little.

        Parameters
        ----------
        n_steps : int
            Number of steps of the data.
        """
        if n_steps == 1 and self.programs.rates_replace_spikes:
            self._say_once(
                "This is the loss of one time step of spikes, which says little about "
                "the rates that were trained. Use loss(..., training=True) for these, "
                "or give data of many steps"
            )

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            warn_user(message)
