"""A limit on the time that code of someone else's may take."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from datakit.core.errors import DatakitError

__all__ = ["time_limit"]


class _Late(BaseException):
    """Not an Exception, so that what runs does not take it for an error of its own."""


@contextlib.contextmanager
def time_limit(seconds: float, message: str, hint: str | None = None) -> Iterator[None]:
    """Ends Python code that takes longer; nothing outside the main thread, or where a timer runs already.

    Args:
        seconds: How long it may take.
        message: Of the error.
        hint: Of the error.

    Raises:
        DatakitError: It took longer.
    """

    def late(number: int, frame: FrameType | None) -> None:
        raise _Late

    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return
    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Late:
        raise DatakitError(message, hint=hint) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
