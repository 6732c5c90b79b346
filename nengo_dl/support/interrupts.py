"""Interrupts that wait until the state of a simulation is consistent."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

__all__ = ["DeferredInterrupt"]

#: Packages whose code is no user's: whoever calls them may rely on what they finish.
_LIBRARIES = frozenset(
    (
        *("concurrent", "contextlib", "functools", "importlib", "logging", "nengo"),
        *("numpy", "queue", "scipy", "tensorflow", "keras", "threading"),
    )
)

#: Modules that call code of users, and leave everything as it was if that fails.
_CALLERS = (
    "nengo_dl.builders.callbacks",
    "nengo_dl.execution.numpy_executor",
    "nengo_dl.execution.numpy_steps",
    "nengo_dl.execution.single_steps",
    "nengo_dl.execution.source_rows",
    "nengo_dl.execution.sources",
    "nengo_dl.training.callbacks",
    "nengo_dl.training.data",
)


class DeferredInterrupt:
    """Context in which Ctrl-C waits for the next call of `check`.

    Further ones wait, too, unless code of the user is running, such as the function of
    a Node, which may never return. Outside the main thread, or where a program handles
    interrupts on its own, nothing is changed. Within another such context, this one has
    no effect but that its `check` is that of the other.
    """

    def __init__(self) -> None:
        self._pending = False
        self._installed = False
        self._outer: DeferredInterrupt | None = None

    def __enter__(self) -> DeferredInterrupt:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if handler is signal.default_int_handler:
                self._installed = True
                signal.signal(signal.SIGINT, self._handle)
            else:
                owner = getattr(handler, "__self__", None)
                self._outer = owner if isinstance(owner, DeferredInterrupt) else None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._installed = False
        if kind is None and self._outer is None:
            self.check()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._pending and _in_code_of_users(frame):
            signal.default_int_handler(number, frame)
        self._pending = True

    @property
    def is_pending(self) -> bool:
        """Whether Ctrl-C was pressed, and `check` would raise."""
        return self._pending if self._outer is None else self._outer.is_pending

    def forget(self) -> None:
        """Take no note of Ctrl-C any more, because somebody else raises."""
        if self._outer is not None:
            self._outer.forget()
        self._pending = False

    def check(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._outer is not None:
            self._outer.check()
        elif self._pending:
            self._pending = False
            raise KeyboardInterrupt


def _in_code_of_users(frame: FrameType | None) -> bool:
    """Whether a frame belongs to code that one of `_CALLERS` called."""
    found = False
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        package = name.partition(".")[0]
        if package == "nengo_dl":
            return found and name.startswith(_CALLERS)
        found = found or package not in _LIBRARIES
        frame = frame.f_back
    return False
