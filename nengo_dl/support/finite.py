"""A parameter of Nengo's objects that holds a finite number."""

from __future__ import annotations

from typing import Any

import numpy as np
from nengo.exceptions import ValidationError
from nengo.params import NumberParam
from nengo.utils.numpy import is_number

__all__ = ["FiniteParam"]


class FiniteParam(NumberParam):
    """A number that is neither infinite nor NaN, which Nengo's parameters accept."""

    def coerce(self, instance, num: Any) -> Any:
        """Return the value, or raise a ValidationError."""
        if is_number(num) and not np.isfinite(num):
            raise ValidationError(
                f"Must be a finite number (got {num!r})", attr=self.name, obj=instance
            )
        return super().coerce(instance, num)
