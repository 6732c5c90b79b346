"""Arguments of other libraries and versions, and what they are called here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["arguments_of", "raise_unknown"]

_HERE = {
    "batch_size": "minibatch_size of the Simulator",
    "minibatch_size": "minibatch_size of the Simulator",
    "data": "inputs and targets",
    "epochs": "n_epochs",
    "initial_epoch": "n_epochs, and one optimizer for all calls",
    "learning_rate": "optimizer=keras.optimizers.Adam(learning_rate)",
    "lr": "optimizer=keras.optimizers.Adam(learning_rate)",
    "loss": "objective",
    "n_steps": "a number of steps as inputs, if no Node is fed",
    "opt": "optimizer",
    "sample_weight": "an objective with a parameter named sample_weight",
    "steps_per_epoch": "an iterable with as many minibatches as inputs",
    "stateful": "truncation, which hands the state on",
    "validation_data": "validation",
    "validation_split": "validation=(inputs, targets), divided by hand",
    "verbose": "progress_bar",
    "x": "inputs",
    "y": "targets",
}


def arguments_of(method: Callable[..., Any]) -> list[str]:
    """Return the names of a method's arguments."""
    return [
        name
        for name, parameter in inspect.signature(method).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    ]


def raise_unknown(method: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise if there are arguments that a method does not have.

    Parameters
    ----------
    method : str
        Its name.
    given : mapping of {str: object}
        Keyword arguments that it does not have.
    known : iterable of str
        Those that it has.

    Raises
    ------
    TypeError
        As for any other function; the message says what the argument is called here.
    """
    for name in given:
        hint = f"they are {', '.join(known)}"
        if name in _HERE:
            hint = f"use {_HERE[name]}"
        raise TypeError(f"{method}() has no argument {name!r}; {hint}")
