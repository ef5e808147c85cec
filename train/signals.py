"""SIGINT and SIGTERM while training: the step in progress is finished and saved before they take effect."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

__all__ = ["Waiting", "waiting_signals"]


class Waiting:
    """A signal that waits for the end of a step.

    Attributes:
        number: Of the signal; None where none came.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def name(self) -> str:
        """Such as SIGTERM."""
        return "" if self.number is None else signal.Signals(self.number).name

    def hold(self) -> None:
        """SIGINT and SIGTERM wait from now on; one that is ignored, as in a background job, stays so."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # None: set outside of Python
                self._before[number] = signal.signal(number, self._came)

    def release(self) -> None:
        """They take effect at once again."""
        for number, action in self._before.items():
            signal.signal(number, action)
        self._before = {}

    def deliver(self) -> None:
        """The signal that came takes the effect it would have had; where the program survives it, the next waits."""
        if self.number is None:
            return
        number, self.number = self.number, None
        self.release()
        signal.raise_signal(number)
        self.hold()

    def _came(self, number: int, frame: FrameType | None) -> None:
        second = self.number is not None
        self.number = number
        if second:
            self.deliver()


@contextlib.contextmanager
def waiting_signals() -> Iterator[Waiting]:
    """Holds SIGINT and SIGTERM back while the block runs; whoever uses it delivers the one that came.

    A second one does not wait. Outside the main thread, where Python delivers no signals, nothing is held back.
    """
    waiting = Waiting()
    if threading.current_thread() is threading.main_thread():
        waiting.hold()
    try:
        yield waiting
    finally:
        waiting.release()
