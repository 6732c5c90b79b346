"""Which parameters training changes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from nengo_dl.compiler.parameters import Parameter
from nengo_dl.config import Settings

__all__ = ["find_trainable", "name_of_parameter"]


def find_trainable(
    parameters: Sequence[Parameter], settings: Settings
) -> list[Parameter]:
    """Return the parameters that training changes.

    Parameters
    ----------
    parameters : sequence of Parameter
        All parameters of a model.
    settings : Settings
        The user's settings.

    Returns
    -------
    list of Parameter
        Those of the network's objects that no learning rule changes, unless a setting
        says otherwise.
    """
    found = []
    for parameter in parameters:
        # the connection of a probe is not the user's object; the probe is
        obj = parameter.obj.post_obj if parameter.internal else parameter.obj
        wanted = settings.value(obj, "trainable", default=not parameter.internal)
        if not wanted or parameter.signal.dtype.kind != "f":
            continue
        if parameter.learned:
            if settings.own_value(obj, "trainable"):
                warnings.warn(
                    f"{name_of_parameter(parameter)} is set to be trainable, but a "
                    "learning rule changes it during each simulation; training leaves "
                    "it alone",
                    stacklevel=2,
                )
            continue
        found.append(parameter)
    return found


def name_of_parameter(parameter: Parameter) -> str:
    """Return a readable name, such as ``"<Ensemble 'a'>.encoders"``."""
    return f"{parameter.obj}.{parameter.attribute}"
