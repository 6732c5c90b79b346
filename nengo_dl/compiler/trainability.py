"""Which parameters training changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nengo
from nengo.ensemble import Neurons

from nengo_dl.compiler.labels import readable
from nengo_dl.compiler.parameters import Parameter
from nengo_dl.config import Settings
from nengo_dl.support.user_warnings import warn_user

__all__ = ["find_trainable", "name_of_parameter", "variable_name"]


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
        Those of the network's objects, unless a setting says otherwise; those that a
        learning rule changes only if a setting of the object itself says so.
    """
    found = []
    for parameter in parameters:
        # the connection of a probe is not the user's object; the probe is
        obj = parameter.obj.post_obj if parameter.internal else parameter.obj
        wanted = settings.value(obj, "trainable", default=not parameter.internal)
        if not wanted or parameter.fixed or parameter.signal.dtype.kind != "f":
            continue
        if parameter.learned:
            if not settings.own_value(obj, "trainable"):
                continue
            warn_user(
                f"{name_of_parameter(parameter)} is set to be trainable, and a "
                "learning rule changes it during each simulation: training sets the "
                "value with which it starts",
            )
        found.append(parameter)
    return found


def name_of_parameter(parameter: Parameter) -> str:
    """Return a readable name, such as ``"<Ensemble 'a'>.encoders"``."""
    return f"{parameter.obj}.{parameter.attribute}"


def variable_name(parameter: Parameter) -> str:
    """Return a name that TensorFlow accepts, such as ``"a->b.weights"``.

    Objects without a label are named after their class.
    """
    obj = parameter.obj
    if isinstance(obj, nengo.Connection) and obj.label is None:
        name = f"{_label(obj.pre_obj)}->{_label(obj.post_obj)}"
    else:
        name = _label(obj)
    attribute = parameter.attribute.replace("[", ".").replace("]", "")
    return f"{name}.{readable(attribute, 'weights')}"


def _label(obj: Any) -> str:
    if isinstance(obj, Neurons):
        return f"{_label(obj.ensemble)}.neurons"
    return readable(getattr(obj, "label", None), type(obj).__name__.lower())
