"""Where the older library kept its builders; other packages look for them here.

Classes can derive from `OpBuilder` and be registered, so that such packages can be
imported. What they register is not used: operators without a builder of ours run with
their NumPy steps, whose results are right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from nengo_dl.support.user_warnings import warn_user

__all__ = ["Builder", "OpBuilder", "say_unused"]


def say_unused(name: str) -> None:
    """Warn that a builder in the form of the older library has no effect."""
    warn_user(
        f"The builder of {name} has the form of an older library and is not used: "
        f"{name} runs with its NumPy step, which is slow and has no gradient. The form "
        "that is used is that of nengo_dl.builders.register"
    )


class OpBuilder:
    """Base class of builders of the older library, which are not used here."""


class Builder:
    """The older library's registry of builders."""

    builders: ClassVar[dict[type, type]] = {}

    @classmethod
    def register(cls, nengo_op: type) -> Callable[[Any], Any]:
        """Return a decorator that keeps a builder, and warns that it is not used."""

        def register_builder(build_class: Any) -> Any:
            say_unused(nengo_op.__name__)
            cls.builders[nengo_op] = build_class
            return build_class

        return register_builder
