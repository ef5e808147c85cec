"""How long something ran, pauses left out."""

from __future__ import annotations

import math
import time

__all__ = ["Stopwatch"]


class Stopwatch:
    """Stands still until it is resumed."""

    def __init__(self) -> None:
        self._seconds, self._started = 0.0, math.nan

    @property
    def seconds(self) -> float:
        """Time between :meth:`resume` and :meth:`pause`, all together."""
        return self._seconds if math.isnan(self._started) else self._seconds + time.perf_counter() - self._started

    def resume(self) -> None:
        """Starts the clock."""
        self._started = time.perf_counter()

    def pause(self) -> None:
        """Stops the clock."""
        self._seconds, self._started = self.seconds, math.nan
